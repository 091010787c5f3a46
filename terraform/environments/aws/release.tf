# A token for each call, from the identity that Terraform runs as: none in the state, and none that expires midway.
provider "helm" {
  kubernetes = {
    host                   = module.cluster.endpoint
    cluster_ca_certificate = module.cluster.ca
    exec = {
      api_version = "client.authentication.k8s.io/v1beta1"
      command     = "aws"
      args        = ["eks", "get-token", "--cluster-name", module.cluster.name, "--region", var.region]
    }
  }
}

module "release" {
  source         = "../../modules/release"
  charts         = local.charts
  environment    = local.environment
  name           = local.release
  image          = var.image
  node_groups    = { system = "system", workers = "workers" }
  pod_identity   = length(var.policies) > 0
  monitoring     = var.monitoring
  grafana_secret = var.grafana_secret
  values         = local.values
  broker = {
    host            = module.broker.host
    port            = module.broker.port
    existing_secret = "celery-broker"
    secret_store    = var.secret_store
    secret_key      = var.secret_store == "" ? "" : module.broker.secret_name
  }
  # Also when it is taken away: nodes and access go after the charts, not with them.
  depends_on = [module.cluster, module.broker]
}
