locals {
  accounts = merge([for name, identity in var.identities : {
    for account in identity.service_accounts : "${name}/${account}" => { identity = name, namespace = identity.namespace, account = account }
  }]...)
  identity_policies = merge([for name, identity in var.identities : {
    for key, arn in identity.policies : "${name}/${key}" => { identity = name, arn = arn }
  }]...)
}

resource "aws_iam_role" "identity" {
  for_each           = var.identities
  name_prefix        = local.role_prefixes[each.key]
  assume_role_policy = data.aws_iam_policy_document.assume["pods.eks"].json
}

resource "aws_iam_role_policy_attachment" "identity" {
  for_each   = local.identity_policies
  role       = aws_iam_role.identity[each.value.identity].name
  policy_arn = each.value.arn
}

resource "aws_eks_pod_identity_association" "identity" {
  for_each        = local.accounts
  cluster_name    = aws_eks_cluster.this.name
  namespace       = each.value.namespace
  service_account = each.value.account
  role_arn        = aws_iam_role.identity[each.value.identity].arn
}

# KEDA makes pods, and somebody has to make nodes for them: the cluster autoscaler, in kube-system under this name.
data "aws_iam_policy_document" "autoscaler" {
  #checkov:skip=CKV_AWS_356:What only describes knows no narrower resources
  statement {
    actions = [
      "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLaunchConfigurations",
      "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags", "ec2:DescribeImages", "ec2:DescribeInstanceTypes",
      "ec2:DescribeLaunchTemplateVersions", "ec2:GetInstanceTypesFromInstanceRequirements",
    ]
    resources = ["*"]
  }
  statement {
    actions   = ["eks:DescribeNodegroup"]
    resources = ["arn:${local.partition}:eks:${local.region}:${local.account}:nodegroup/${var.name}/*"]
  }
  statement {
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["arn:${local.partition}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}"
      values   = ["owned"]
    }
  }
}

resource "aws_iam_role" "autoscaler" {
  name_prefix        = local.role_prefixes["autoscaler"]
  assume_role_policy = data.aws_iam_policy_document.assume["pods.eks"].json
}

resource "aws_iam_role_policy" "autoscaler" {
  name   = "nodes"
  role   = aws_iam_role.autoscaler.id
  policy = data.aws_iam_policy_document.autoscaler.json
}

resource "aws_eks_pod_identity_association" "autoscaler" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = "cluster-autoscaler"
  role_arn        = aws_iam_role.autoscaler.arn
}
