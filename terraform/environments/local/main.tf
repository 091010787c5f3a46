# The context is never the current one: it is the environment's, or the one that was named, whatever somebody pointed
# kubectl at meanwhile.
provider "helm" {
  kubernetes = {
    config_paths   = local.kubeconfigs
    config_context = local.context
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
