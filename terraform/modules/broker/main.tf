data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  # ElastiCache names members so: known before they are, so that alarms can be planned with them.
  members = toset([for number in range(1, var.replicas + 2) : format("%s-%03d", var.name, number)])
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-${var.engine}${split(".", var.engine_version)[0]}"
  family = "${var.engine}${split(".", var.engine_version)[0]}"
  # A full broker refuses new tasks, and the publisher hears of it; any other policy forgets accepted ones.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-broker"
  description = "The broker: only its clients come in, and it goes nowhere"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-broker" }
}

resource "aws_vpc_security_group_ingress_rule" "client" {
  for_each                     = var.clients
  security_group_id            = aws_security_group.this.id
  description                  = "Redis over TLS from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Celery's broker, backend and store"
  engine                     = var.engine
  engine_version             = var.engine_version
  node_type                  = var.node_type
  num_cache_clusters         = var.replicas + 1
  cluster_mode               = "disabled"
  automatic_failover_enabled = true
  multi_az_enabled           = true
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  port                       = 6379
  transit_encryption_enabled = true
  auth_token                 = var.auth_token
  # ROTATE leaves the former token valid until the next change, so that running workers go on.
  auth_token_update_strategy = "ROTATE"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this.arn
  snapshot_retention_limit   = var.snapshot_days
  snapshot_window            = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  apply_immediately          = true
  auto_minor_version_upgrade = true
}

# Where the cluster gets the password from, in the chart's own words.
resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Rotating takes the broker's token along, which a function of Secrets Manager can't; docs/aws.md says how
  name                    = "${var.name}/broker"
  description             = "The broker's password, key broker-password"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id                = aws_secretsmanager_secret.this.id
  secret_string_wo         = jsonencode({ broker-password = var.auth_token })
  secret_string_wo_version = var.auth_token_version
}
