locals {
  # EC2 ends a node a few minutes after it began to shut it down, on demand or spot: more than two can't be counted on.
  shutdown_seconds = { for name, group in var.node_groups : name => min(group.grace_seconds, 120) }
  # After those, for the pods that Kubernetes itself needs, which end last.
  critical_seconds = 15
}

resource "aws_launch_template" "this" {
  for_each    = var.node_groups
  name_prefix = "${var.name}-${each.key}-"
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # One hop: no pod reaches the node's own credentials.
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type = "gp3"
      volume_size = each.value.disk_gib
      encrypted   = true
    }
  }
  # A node that is shut down ends its pods with their grace instead of pulling their plug.
  user_data = base64encode(join("\n", [
    "MIME-Version: 1.0",
    "Content-Type: multipart/mixed; boundary=\"//\"",
    "",
    "--//",
    "Content-Type: application/node.eks.aws",
    "",
    yamlencode({
      apiVersion = "node.eks.aws/v1alpha1"
      kind       = "NodeConfig"
      spec = { kubelet = { config = {
        shutdownGracePeriod             = "${local.shutdown_seconds[each.key] + local.critical_seconds}s"
        shutdownGracePeriodCriticalPods = "${local.critical_seconds}s"
      } } }
    }),
    "--//--",
    "",
  ]))
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-${each.key}" }
  }
}

resource "aws_eks_node_group" "this" {
  for_each               = var.node_groups
  cluster_name           = aws_eks_cluster.this.name
  node_group_name_prefix = "${each.key}-"
  node_role_arn          = aws_iam_role.node.arn
  subnet_ids             = var.subnet_ids
  version                = aws_eks_cluster.this.version
  ami_type               = "AL2023_x86_64_STANDARD"
  capacity_type          = each.value.capacity_type
  instance_types         = each.value.instance_types
  labels                 = { node-group = each.key }

  launch_template {
    id      = aws_launch_template.this[each.key].id
    version = aws_launch_template.this[each.key].latest_version
  }
  scaling_config {
    min_size     = each.value.min
    max_size     = each.value.max
    desired_size = max(each.value.min, 1)
  }
  # One node after another, each drained: the budgets of the chart let one pod of a group go at a time.
  update_config {
    max_unavailable = 1
  }
  dynamic "taint" {
    for_each = each.value.dedicated ? [each.key] : []
    content {
      key    = "node-group"
      value  = taint.value
      effect = "NO_SCHEDULE"
    }
  }
  lifecycle {
    create_before_destroy = true
    # The autoscaler of nodes owns it from then on.
    ignore_changes = [scaling_config[0].desired_size]
    # AWS refuses it too, but in the middle of an apply.
    postcondition {
      condition     = self.scaling_config[0].min_size <= self.scaling_config[0].desired_size && self.scaling_config[0].desired_size <= self.scaling_config[0].max_size
      error_message = "node_groups: ${each.key} has ${self.scaling_config[0].desired_size} nodes, which min and max must hold: change all three with aws eks update-nodegroup-config --region ${local.region} --cluster-name ${var.name} --nodegroup-name ${self.node_group_name} --scaling-config minSize=${each.value.min},maxSize=${each.value.max},desiredSize=${max(each.value.min, min(each.value.max, self.scaling_config[0].desired_size))}, then repeat this."
    }
  }
  # Without the network's add-on no node gets ready, and without the policies none joins.
  depends_on = [aws_eks_addon.early, aws_iam_role_policy_attachment.node]
}
