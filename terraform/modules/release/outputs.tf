output "name" {
  description = "The release, for helm test and helm status."
  value       = helm_release.celery.name
}

output "namespace" {
  description = "Where it is."
  value       = helm_release.celery.namespace
}

output "monitoring" {
  description = "The namespace of Prometheus and Alertmanager, or null."
  value       = one(helm_release.monitoring[*].namespace)
}
