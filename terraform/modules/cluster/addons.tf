locals {
  # vpc-cni enforces the chart's NetworkPolicies only when it is told to.
  early_addons = {
    vpc-cni                = jsonencode({ enableNetworkPolicy = "true" })
    kube-proxy             = null
    eks-pod-identity-agent = null
  }
  late_addons = ["aws-ebs-csi-driver", "coredns", "metrics-server"]
  # Which add-ons call AWS, as whom.
  addon_identities = {
    vpc-cni            = { service_account = "aws-node", policy = "AmazonEKS_CNI_Policy" }
    aws-ebs-csi-driver = { service_account = "ebs-csi-controller-sa", policy = "service-role/AmazonEBSCSIDriverPolicy" }
  }
}

resource "aws_iam_role" "addon" {
  for_each           = local.addon_identities
  name_prefix        = local.role_prefixes[each.key]
  assume_role_policy = data.aws_iam_policy_document.assume["pods.eks"].json
}

resource "aws_iam_role_policy_attachment" "addon" {
  for_each   = local.addon_identities
  role       = aws_iam_role.addon[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value.policy}"
}

resource "aws_eks_pod_identity_association" "addon" {
  for_each        = local.addon_identities
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = each.value.service_account
  role_arn        = aws_iam_role.addon[each.key].arn
  depends_on      = [aws_iam_role_policy_attachment.addon]
}

# Before the nodes: a node is not ready without its network.
resource "aws_eks_addon" "early" {
  for_each             = local.early_addons
  cluster_name         = aws_eks_cluster.this.name
  addon_name           = each.key
  addon_version        = lookup(var.addon_versions, each.key, null)
  configuration_values = each.value
  depends_on           = [aws_eks_pod_identity_association.addon]
}

# After them: AWS calls an add-on degraded whose pods find no node.
resource "aws_eks_addon" "late" {
  for_each      = toset(local.late_addons)
  cluster_name  = aws_eks_cluster.this.name
  addon_name    = each.key
  addon_version = lookup(var.addon_versions, each.key, null)
  depends_on    = [aws_eks_node_group.this, aws_eks_pod_identity_association.addon]
}
