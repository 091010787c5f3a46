output "grace_seconds" {
  description = "How long a pod of each worker group may take to end."
  value       = local.grace
}

output "longest_grace_seconds" {
  description = "The longest of them: what a node of workers has to grant."
  value       = max(values(local.grace)...)
}

output "service_accounts" {
  description = "The accounts that the chart makes for workers and the API."
  value       = toset(concat([for name in local.names : "${local.fullname}-worker-${name}"], ["${local.fullname}-api"]))
}
