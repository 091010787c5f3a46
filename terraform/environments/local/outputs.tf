output "context" {
  description = "The kube context of what was installed."
  value       = local.context
}

output "release" {
  description = "What was installed, and where."
  value       = { name = module.release.name, namespace = module.release.namespace }
}
