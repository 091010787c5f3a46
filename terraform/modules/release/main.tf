resource "helm_release" "celery" {
  name             = var.name
  namespace        = var.namespace
  create_namespace = true
  chart            = "${var.charts}/celery"
  description      = "Files ${local.fingerprints["celery"]}"
  # A first install that fails leaves nothing, an upgrade that fails is rolled back.
  atomic      = true
  timeout     = var.timeout_seconds
  max_history = 10
  values      = local.values
}

resource "helm_release" "monitoring" {
  count       = var.monitoring ? 1 : 0
  name        = "monitoring"
  namespace   = helm_release.celery.namespace
  chart       = "${var.charts}/monitoring"
  description = "Files ${local.fingerprints["monitoring"]}"
  atomic      = true
  timeout     = var.timeout_seconds
  max_history = 10
  values      = local.monitoring_values
}
