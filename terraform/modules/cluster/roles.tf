locals {
  # IAM takes 38 characters before what makes a name unique.
  role_prefixes = { for key in concat(["autoscaler"], keys(local.addon_identities), keys(var.identities)) : key => "${substr("${var.name}-${key}", 0, 37)}-" }
}

data "aws_iam_policy_document" "assume" {
  for_each = { eks = ["sts:AssumeRole"], ec2 = ["sts:AssumeRole"], "pods.eks" = ["sts:AssumeRole", "sts:TagSession"] }
  statement {
    actions = each.value
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "control_plane" {
  name_prefix        = "${var.name}-eks-"
  assume_role_policy = data.aws_iam_policy_document.assume["eks"].json
}

resource "aws_iam_role_policy_attachment" "control_plane" {
  role       = aws_iam_role.control_plane.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

# Nodes pull images and join, no more: the network add-on and the driver of volumes have roles of their own.
resource "aws_iam_role" "node" {
  name_prefix        = "${var.name}-node-"
  assume_role_policy = data.aws_iam_policy_document.assume["ec2"].json
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryReadOnly"])
  role       = aws_iam_role.node.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.key}"
}
