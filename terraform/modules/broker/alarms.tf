locals {
  alarms = {
    # A full broker refuses tasks: this rings well before. A quarter of a node's memory is ElastiCache's own in any case.
    memory = { metric = "DatabaseMemoryUsagePercentage", above = 75, minutes = 5, text = "fills up: look for a queue without workers, or take a larger node_type" }
    # Never with noeviction; that it happens says that the parameter group was changed.
    evictions   = { metric = "Evictions", above = 0, minutes = 1, text = "forgets keys, so tasks are lost: its parameter group must say maxmemory-policy noeviction" }
    cpu         = { metric = "EngineCPUUtilization", above = 80, minutes = 5, text = "is short of its one thread: take a node_type with faster cores" }
    connections = { metric = "CurrConnections", above = var.max_connections, minutes = 5, text = "has more connections than workers need: look who holds them" }
    lag         = { metric = "ReplicationLag", above = 5, minutes = 5, text = "is seconds behind, and a failover would lose them" }
  }
  rings = merge([for member in local.members : { for name, alarm in local.alarms : "${member}-${name}" => merge(alarm, { member = member }) }]...)
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-broker-alarms"
  kms_master_key_id = aws_kms_key.this.id
}

resource "aws_sns_topic_subscription" "mail" {
  for_each  = var.alarm_emails
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.rings
  alarm_name          = each.key
  alarm_description   = "The broker ${each.value.member} ${each.value.text}."
  namespace           = "AWS/ElastiCache"
  metric_name         = each.value.metric
  dimensions          = { CacheClusterId = each.value.member }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.minutes
  # A primary has no lag to tell.
  treat_missing_data = "notBreaching"
  alarm_actions      = [aws_sns_topic.alarms.arn]
  ok_actions         = [aws_sns_topic.alarms.arn]
}
