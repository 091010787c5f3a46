locals {
  repository  = abspath("${path.module}/../../..")
  contexts    = yamldecode(file("${local.repository}/helm/celery/environments/contexts.yaml"))
  context     = var.context != "" ? var.context : lookup(local.contexts, var.environment, "")
  kubeconfigs = [for path in compact(split(":", var.kubeconfig)) : pathexpand(path)]
}
