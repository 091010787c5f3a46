output "kubeconfig" {
  description = "What makes kubectl talk to the cluster."
  value       = "aws eks update-kubeconfig --name ${module.cluster.name} --region ${var.region}"
}

output "nat_ips" {
  description = "The addresses that tasks have outside."
  value       = module.network.nat_ips
}

output "broker" {
  description = "The broker, and where its password is."
  value       = { host = module.broker.host, port = module.broker.port, secret = module.broker.secret_name, secret_arn = module.broker.secret_arn, key_arn = module.broker.key_arn, alarms = module.broker.alarm_topic_arn }
}

output "drain" {
  description = "What a node's shutdown grants its pods; cut_short: longer tasks run again elsewhere."
  value       = module.cluster.drain
}

output "oidc_issuer" {
  description = "Who signs the tokens of service accounts."
  value       = module.cluster.oidc_issuer
}
