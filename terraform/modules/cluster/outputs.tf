output "name" {
  description = "The cluster's name, for aws eks update-kubeconfig."
  value       = aws_eks_cluster.this.name
  # Whoever installs something waits for nodes and add-ons, is let in, and finds pods' roles: a pod asks once, when it is made.
  depends_on = [
    aws_eks_node_group.this, aws_eks_addon.late,
    aws_eks_access_policy_association.this, aws_vpc_security_group_ingress_rule.api,
    aws_eks_pod_identity_association.identity, aws_iam_role_policy_attachment.identity,
  ]
}

output "endpoint" {
  description = "The API server's address."
  value       = aws_eks_cluster.this.endpoint
}

output "ca" {
  description = "The API server's authority, PEM."
  value       = base64decode(aws_eks_cluster.this.certificate_authority[0].data)
}

output "oidc_issuer" {
  description = "Who signs the tokens of service accounts, for identities outside of AWS."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "security_group_id" {
  description = "The security group of nodes and control plane: whom the broker lets in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "drain" {
  description = "For each node group: the seconds that its pods may take to end, those that they get when the node is shut down, and whether tasks are cut short then and run again."
  value = { for name, group in var.node_groups : name => {
    grace_seconds    = group.grace_seconds
    shutdown_seconds = local.shutdown_seconds[name]
    cut_short        = local.shutdown_seconds[name] < group.grace_seconds
  } }
}
