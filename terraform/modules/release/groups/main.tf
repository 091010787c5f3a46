# What others must know of the worker groups before the release is there, read out of the chart's own values: Terraform
# has no deep merge, so each setting is looked for where Helm would find it last.
locals {
  defaults = yamldecode(file("${var.chart}/values.yaml"))
  layers   = [for text in reverse(var.values) : yamldecode(text)]
  module   = coalesce(concat([for layer in local.layers : try(layer.app.module, null)], [local.defaults.app.module])...)
  runs     = local.module == local.defaults.app.module
  own      = flatten([for layer in local.layers : keys(try(layer.workers.groups, {}))])
  example  = local.runs ? concat(keys(local.defaults.workers.exampleGroups), flatten([for layer in local.layers : keys(try(layer.workers.exampleGroups, {}))])) : []
  names    = toset(length(local.own) + length(local.example) > 0 ? concat(local.own, local.example) : ["default"])

  settings = { for name in local.names : name => {
    for key in ["timeLimitSeconds", "softShutdownSeconds"] : key => coalesce(concat(
      [for layer in local.layers : try(layer.workers.groups[name][key], null)],
      local.runs ? [for layer in local.layers : try(layer.workers.exampleGroups[name][key], null)] : [],
      local.runs ? [try(local.defaults.workers.exampleGroups[name][key], null)] : [],
      [for layer in local.layers : try(layer.workers.defaults[key], null)],
      [local.defaults.workers.defaults[key]],
    )...)
  } }
  # What follows the last task, as in celery.graceSeconds of the chart; tests/terraform holds the two equal.
  margin_seconds = 30
  grace          = { for name, group in local.settings : name => (group.softShutdownSeconds > 0 ? group.softShutdownSeconds : group.timeLimitSeconds) + local.margin_seconds }
  fullname       = strcontains(var.release, "celery") ? var.release : "${var.release}-celery"
}
