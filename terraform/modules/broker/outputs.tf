output "host" {
  description = "The primary's name, which follows a failover; for the chart's broker.external.host."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
  # Whoever connects is let in, and finds the password.
  depends_on = [aws_vpc_security_group_ingress_rule.client, aws_secretsmanager_secret_version.this]
}

output "port" {
  description = "For broker.external.port."
  value       = aws_elasticache_replication_group.this.port
}

output "secret_name" {
  description = "The Secret of Secrets Manager with the key broker-password."
  value       = aws_secretsmanager_secret.this.name
  # Whoever reads it finds a password in it.
  depends_on = [aws_secretsmanager_secret_version.this]
}

output "secret_arn" {
  description = "The same, for policies."
  value       = aws_secretsmanager_secret.this.arn
}

output "key_arn" {
  description = "The key that the Secret is encrypted with; who reads it needs kms:Decrypt."
  value       = aws_kms_key.this.arn
}

output "alarm_topic_arn" {
  description = "Where alarms go, for subscribers other than mail."
  value       = aws_sns_topic.alarms.arn
}
