variable "name" {
  description = "The cluster's name, and before the names of everything that belongs to it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 30 small letters, digits and dashes, starting with a letter: write name = \"celery\"."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes' version; AWS upgrades one minor version at a time."
  type        = string
  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version must be a minor version that EKS offers: write kubernetes_version = \"1.33\"."
  }
}

variable "subnet_ids" {
  description = "Private subnets of at least two zones, for the control plane's interfaces and the nodes."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must be private subnets of two zones or more: write subnet_ids = module.network.private_subnet_ids."
  }
}

variable "public_access_cidrs" {
  description = "Who reaches the API server from outside of the VPC. Empty: nobody, Terraform and kubectl run inside of it."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "public_access_cidrs must be ranges of /8 or smaller, and not the whole internet (0.0.0.0/0): write your office's or VPN's, such as [\"198.51.100.7/32\"]."
  }
}

variable "private_access_cidrs" {
  description = "Who reaches the API server inside of the VPC besides nodes: where Terraform and kubectl run, a VPN, a runner."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.private_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "private_access_cidrs must be ranges of /8 or smaller: write the VPC's or the VPN's, such as [\"10.0.0.0/16\"]."
  }
}

variable "access" {
  description = "Who may use the cluster, by a name of yours: an IAM principal, and what EKS calls an access policy (in namespaces, or everywhere). Whoever creates the cluster is not in it by itself."
  type = map(object({
    principal_arn = string
    policy        = string
    namespaces    = optional(list(string), [])
  }))
  validation {
    condition     = alltrue([for entry in var.access : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/", entry.principal_arn))])
    error_message = "access: each principal_arn must be an IAM role or user: write \"arn:aws:iam::123456789012:role/operators\"."
  }
  validation {
    condition     = alltrue([for entry in var.access : contains(["AmazonEKSClusterAdminPolicy", "AmazonEKSAdminPolicy", "AmazonEKSAdminViewPolicy", "AmazonEKSEditPolicy", "AmazonEKSViewPolicy"], entry.policy)])
    error_message = "access: each policy must be AmazonEKSClusterAdminPolicy, AmazonEKSAdminPolicy, AmazonEKSAdminViewPolicy, AmazonEKSEditPolicy or AmazonEKSViewPolicy."
  }
  validation {
    condition     = anytrue([for entry in var.access : entry.policy == "AmazonEKSClusterAdminPolicy" && length(entry.namespaces) == 0])
    error_message = "access: nobody could administer this cluster: give an entry the policy AmazonEKSClusterAdminPolicy without namespaces."
  }
  validation {
    condition     = length(distinct([for entry in var.access : entry.principal_arn])) == length(var.access)
    error_message = "access: a principal_arn is there twice, and EKS has one entry for each: write it once, with the wider of its policies."
  }
  # These two stand here since -target leaves out a variable that no resource looks at, and what it would refuse.
  validation {
    condition     = contains(concat([""], values(var.access)[*].principal_arn), var.installer_arn) || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/", var.installer_arn))
    error_message = "Terraform runs as ${var.installer_arn}, which gets no access entry here and so couldn't install the charts: run it as an IAM role or user, such as AWS_PROFILE=name chooses."
  }
  # Making a namespace is allowed in no namespace, and AmazonEKSAdminPolicy knows no objects of KEDA.
  validation {
    condition = !can(regex(":(role|user)/", var.installer_arn)) || anytrue([
      for entry in var.access : entry.principal_arn == var.installer_arn && entry.policy == "AmazonEKSClusterAdminPolicy" && length(entry.namespaces) == 0
    ])
    error_message = "access: Terraform runs as ${var.installer_arn}, which couldn't install the charts, nor make their namespace: write an entry { principal_arn = \"${var.installer_arn}\", policy = \"AmazonEKSClusterAdminPolicy\" }, without namespaces."
  }
}

variable "installer_arn" {
  description = "The role or user that installs charts as soon as the cluster is there (issuer_arn of aws_iam_session_context); empty: nobody, or nobody who is known."
  type        = string
  default     = ""
}

variable "node_groups" {
  description = <<-EOT
    Managed node groups by name. Pods choose one by the label node-group=<name>; with dedicated = true nobody else's pods come there,
    since nodes have the taint node-group=<name>:NoSchedule. grace_seconds is the longest that one of its pods may take to end.
  EOT
  type = map(object({
    capacity_type  = optional(string, "ON_DEMAND")
    instance_types = list(string)
    min            = number
    max            = number
    dedicated      = optional(bool, false)
    disk_gib       = optional(number, 50)
    grace_seconds  = optional(number, 30)
  }))
  validation {
    condition     = alltrue([for name, _ in var.node_groups : can(regex("^[a-z][a-z0-9-]{0,19}$", name))])
    error_message = "node_groups: a name must be at most 20 small letters, digits and dashes: write system or workers."
  }
  validation {
    condition     = anytrue([for group in var.node_groups : group.capacity_type == "ON_DEMAND" && !group.dedicated && group.min >= 1])
    error_message = "node_groups: beat, the broker and the add-ons need nodes that stay: one group must have capacity_type = \"ON_DEMAND\", min = 1 or more, and not be dedicated."
  }
  validation {
    condition     = alltrue([for group in var.node_groups : contains(["ON_DEMAND", "SPOT"], group.capacity_type)])
    error_message = "node_groups: capacity_type must be ON_DEMAND or SPOT."
  }
  validation {
    condition     = alltrue([for group in var.node_groups : group.capacity_type != "SPOT" || length(distinct(group.instance_types)) >= 2])
    error_message = "node_groups: a SPOT group needs two instance types or more, since AWS takes all of one type back at once: write instance_types = [\"m6i.large\", \"m5.large\", \"m6a.large\"]."
  }
  validation {
    condition     = alltrue([for group in var.node_groups : length(group.instance_types) >= 1 && group.min >= 0 && group.max >= 1 && group.min <= group.max && group.disk_gib >= 20])
    error_message = "node_groups: each group needs an instance type, 0 <= min <= max, max of 1 or more, and disk_gib of 20 or more."
  }
  validation {
    condition     = alltrue([for type in flatten([for group in var.node_groups : group.instance_types]) : !can(regex("^(a1|[a-z]+[0-9]+g[a-z0-9-]*)\\.", type))])
    error_message = "node_groups: the nodes' image is for x86, and Graviton types are not: write instance_types = [\"m6i.large\"]."
  }
  validation {
    condition     = alltrue([for group in var.node_groups : group.grace_seconds >= 0 && group.grace_seconds <= 900])
    error_message = "node_groups: EKS waits 15 minutes for a node's pods when it replaces the node, so grace_seconds may be 900 at most: give the chart's groups with longer tasks a softShutdownSeconds, or nodes that are not EKS's."
  }
}

variable "identities" {
  description = "Service accounts that act as an IAM role of their own (EKS Pod Identity), by a name of yours; policies are ARNs by a name of yours."
  type = map(object({
    namespace        = string
    service_accounts = set(string)
    policies         = map(string)
  }))
  default = {}
  validation {
    condition     = alltrue([for identity in var.identities : length(identity.service_accounts) > 0 && length(identity.policies) > 0])
    error_message = "identities: each needs a service account and a policy: write policies = { reports = \"arn:aws:iam::123456789012:policy/reports\" }."
  }
}

variable "addon_versions" {
  description = "Versions of EKS add-ons by their names; those not named take what AWS calls the default of the Kubernetes version."
  type        = map(string)
  default     = {}
  validation {
    condition = length(setsubtract(keys(var.addon_versions), [
      "aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni",
    ])) == 0
    error_message = "addon_versions may name aws-ebs-csi-driver, coredns, eks-pod-identity-agent, kube-proxy, metrics-server and vpc-cni."
  }
}

variable "log_days" {
  description = "Days for which the control plane's logs are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "log_days must be a time that CloudWatch offers, such as 30, 90 or 365."
  }
}
