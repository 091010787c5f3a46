mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name       = "celery"
  vpc_id     = "vpc-1"
  subnet_ids = ["subnet-1", "subnet-2"]
  clients    = { nodes = "sg-1" }
  auth_token = "0123456789abcdef"
}

run "a_primary_that_fails_over_and_forgets_nothing_when_full" {
  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled && aws_elasticache_replication_group.this.num_cache_clusters == 2
    error_message = "a replica in another zone must take over"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.cluster_mode == "disabled"
    error_message = "cluster mode can't be a broker"
  }
  assert {
    condition     = one([for parameter in aws_elasticache_parameter_group.this.parameter : parameter.value if parameter.name == "maxmemory-policy"]) == "noeviction"
    error_message = "a full broker must refuse, not forget"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.at_rest_encryption_enabled && aws_elasticache_replication_group.this.kms_key_id == aws_kms_key.this.arn
    error_message = "it must be encrypted on the way and at rest"
  }
  assert {
    condition     = aws_elasticache_parameter_group.this.family == "valkey8"
    error_message = "the parameters must be of the engine's family"
  }
}

run "alarms_ring_for_every_member" {
  assert {
    condition     = toset([for alarm in aws_cloudwatch_metric_alarm.this : alarm.dimensions["CacheClusterId"]]) == toset(["celery-001", "celery-002"]) && length(aws_cloudwatch_metric_alarm.this) == 10
    error_message = "five alarms for each of two members"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : contains(alarm.alarm_actions, aws_sns_topic.alarms.arn)])
    error_message = "each must reach the topic"
  }
}

run "redis_has_its_own_family" {
  variables {
    engine         = "redis"
    engine_version = "7.1"
  }
  assert {
    condition     = aws_elasticache_parameter_group.this.family == "redis7"
    error_message = "the parameters must be of the engine's family"
  }
}

run "only_clients_come_in" {
  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.client : rule.referenced_security_group_id] == ["sg-1"]
    error_message = "nobody but the clients may connect"
  }
}

run "the_copy_of_the_password_is_in_no_state" {
  assert {
    condition     = aws_secretsmanager_secret_version.this.secret_string_wo == null && aws_secretsmanager_secret_version.this.secret_string_wo_version == 1
    error_message = "Secrets Manager's copy must be write-only"
  }
}

run "cluster_mode" {
  command = plan
  variables {
    num_node_groups = 2
  }
  expect_failures = [var.num_node_groups]
}

run "a_name_that_elasticache_refuses" {
  command = plan
  variables {
    name = "my--celery"
  }
  expect_failures = [var.name]
}

run "one_subnet" {
  command = plan
  variables {
    subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.subnet_ids]
}

run "no_client" {
  command = plan
  variables {
    clients = {}
  }
  expect_failures = [var.clients]
}

run "an_unknown_engine" {
  command = plan
  variables {
    engine = "memcached"
  }
  expect_failures = [var.engine]
}

run "redis_at_a_version_of_valkey" {
  command = plan
  variables {
    engine         = "redis"
    engine_version = "8.0"
  }
  expect_failures = [var.engine_version]
}

run "a_type_of_virtual_machines" {
  command = plan
  variables {
    node_type = "m6i.large"
  }
  expect_failures = [var.node_type]
}

run "no_replica" {
  command = plan
  variables {
    replicas = 0
  }
  expect_failures = [var.replicas]
}

run "a_password_that_breaks_a_url" {
  command = plan
  variables {
    auth_token = "0123456789abcdef@"
  }
  expect_failures = [var.auth_token]
}

run "a_version_before_the_first" {
  command = plan
  variables {
    auth_token_version = 0
  }
  expect_failures = [var.auth_token_version]
}

run "snapshots_for_a_year" {
  command = plan
  variables {
    snapshot_days = 365
  }
  expect_failures = [var.snapshot_days]
}

run "more_connections_than_a_node_takes" {
  command = plan
  variables {
    max_connections = 100000
  }
  expect_failures = [var.max_connections]
}

run "a_mail_address_without_a_host" {
  command = plan
  variables {
    alarm_emails = ["oncall"]
  }
  expect_failures = [var.alarm_emails]
}
