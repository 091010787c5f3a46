# All that Helm is told; main.tf hands it over.
locals {
  image = { image = { for key, value in { repository = var.image.repository, tag = var.image.tag, digest = var.image.digest } : key => value if value != "" } }

  broker = var.broker == null ? {} : {
    broker = {
      existingSecret = var.broker.existing_secret
      external = {
        host     = var.broker.host
        port     = var.broker.port
        username = var.broker.username
        tls      = true
      }
    }
  }
  # The operator carries the password past Terraform, so no state has it. Lists replace each other in Helm, so objects of
  # your own are taken along.
  external_secret = try(var.broker.secret_store, "") == "" ? {} : {
    extraObjects = concat(flatten([for text in var.values : try(yamldecode(text).extraObjects, [])]), [{
      apiVersion = "external-secrets.io/v1"
      kind       = "ExternalSecret"
      metadata   = { name = var.broker.existing_secret, namespace = var.namespace }
      spec = {
        refreshInterval = "1h"
        secretStoreRef  = { kind = "ClusterSecretStore", name = var.broker.secret_store }
        target          = { name = var.broker.existing_secret }
        data            = [{ secretKey = "broker-password", remoteRef = { key = var.broker.secret_key, property = "broker-password" } }]
      }
    }])
  }

  on_system        = var.node_groups.system == "" ? {} : { nodeSelector = { node-group = var.node_groups.system } }
  placement        = var.node_groups.system == "" ? {} : { for component in ["beat", "flower", "exporter", "api", "test", "secretJob"] : component => local.on_system }
  broker_placement = var.node_groups.system == "" ? {} : { broker = local.on_system }
  workers = var.node_groups.workers == "" ? {} : {
    workers = {
      defaults = {
        nodeSelector = { node-group = var.node_groups.workers }
        tolerations  = [{ key = "node-group", operator = "Equal", value = var.node_groups.workers, effect = "NoSchedule" }]
      }
    }
  }

  identity = { for key, value in { networkPolicy = { podIdentity = true } } : key => value if var.pod_identity }

  fullname = strcontains(var.name, "celery") ? var.name : "${var.name}-celery"
  pages = { for key, value in {
    metrics    = { enabled = true }
    exporter   = { enabled = true }
    monitoring = { annotations = true, rules = { enabled = true }, dashboards = { enabled = true } }
    networkPolicy = {
      prometheus = [{ podSelector = { matchLabels = { "app.kubernetes.io/name" = "monitoring", "app.kubernetes.io/component" = "prometheus" } } }]
    }
  } : key => value if var.monitoring }
  # Beside celery, since it mounts its ConfigMaps; the environment's file may say more, the last one wins.
  monitoring_values = concat(
    [for path in fileset("${var.charts}/monitoring/environments", "${var.environment}.yaml") : file("${var.charts}/monitoring/environments/${path}")],
    [yamlencode({
      releases = [local.fullname]
      keda     = { enabled = true }
      grafana  = { enabled = var.grafana_secret != "", existingSecret = var.grafana_secret }
    })],
  )

  # Helm reads a chart's folder only when something else changed; a change of any of its files is something.
  fingerprints = { for chart in ["celery", "monitoring"] : chart => sha1(join("", [
    for path in sort(fileset("${var.charts}/${chart}", "**")) : "${path}${filesha1("${var.charts}/${chart}/${path}")}"
  ])) }

  # The last one wins.
  values = concat(
    [file("${var.charts}/celery/environments/${var.environment}.yaml")],
    [yamlencode(local.image), yamlencode(local.broker), yamlencode(local.broker_placement), yamlencode(local.placement)],
    [yamlencode(local.workers), yamlencode(local.identity), yamlencode(local.pages)],
    var.values,
    [yamlencode(local.external_secret)],
  )
}
