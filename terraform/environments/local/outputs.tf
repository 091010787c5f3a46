output "context" {
  description = "The kube context of what was installed."
  value       = local.contexts[var.environment]
}

output "release" {
  description = "What was installed, and where."
  value       = { name = module.release.name, namespace = module.release.namespace }
}
