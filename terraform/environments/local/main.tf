locals {
  repository = abspath("${path.module}/../../..")
  contexts   = yamldecode(file("${local.repository}/helm/celery/environments/contexts.yaml"))
}

# The context is never the current one: it is the environment's, whatever somebody pointed kubectl at meanwhile.
provider "helm" {
  kubernetes = {
    config_path    = pathexpand(var.kubeconfig)
    config_context = local.contexts[var.environment]
  }
}

module "release" {
  source         = "../../modules/release"
  charts         = "${local.repository}/helm"
  environment    = var.environment
  image          = var.image
  monitoring     = var.monitoring
  grafana_secret = var.grafana_secret
  values         = [for path in var.values : file(path)]
}
