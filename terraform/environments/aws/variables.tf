variable "region" {
  description = "The region that all of it is in."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be a region's name: write region = \"eu-central-1\"."
  }
}

variable "expected_account_id" {
  description = "The account that all of it is in; with credentials of any other nothing is done."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.expected_account_id))
    error_message = "expected_account_id must be the 12 digits of an AWS account: aws sts get-caller-identity prints yours."
  }
}

variable "name" {
  description = "The cluster's name, and before the names of everything else."
  type        = string
  default     = "celery"
}

variable "availability_zones" {
  description = "Two zones of the region or more."
  type        = list(string)
  validation {
    condition     = alltrue([for zone in var.availability_zones : startswith(zone, var.region)])
    error_message = "availability_zones must be in the region: write those that aws ec2 describe-availability-zones lists for it."
  }
}

variable "cidr" {
  description = "The VPC's range."
  type        = string
  default     = "10.0.0.0/16"
}

variable "nat" {
  description = "one, per_zone or none (modules/network)."
  type        = string
  default     = "one"
}

variable "interface_endpoints" {
  description = "AWS services reached without leaving the VPC (modules/network)."
  type        = set(string)
  default     = []
}

variable "kubernetes_version" {
  description = "Kubernetes' version on EKS."
  type        = string
  default     = "1.33"
}

variable "public_access_cidrs" {
  description = "Who reaches the API server from outside. Empty: Terraform must run inside of the VPC to install the charts."
  type        = list(string)
  default     = []
}

variable "private_access_cidrs" {
  description = "Who reaches the API server inside of the VPC besides nodes: where Terraform and kubectl run, a VPN, a runner."
  type        = list(string)
  default     = []
}

variable "access" {
  description = "Who may use the cluster (modules/cluster). The role or user that Terraform runs as must have AmazonEKSClusterAdminPolicy in it, without namespaces: it installs the charts."
  type = map(object({
    principal_arn = string
    policy        = string
    namespaces    = optional(list(string), [])
  }))
}

variable "installer_arn" {
  description = "The role or user that applies, where somebody else plans; empty: whoever plans."
  type        = string
  default     = ""
}

variable "system_nodes" {
  description = "On-demand nodes for the broker's clients that stay: beat, Flower, the API, add-ons."
  type = object({
    instance_types = optional(list(string), ["m6i.large"])
    min            = optional(number, 2)
    max            = optional(number, 4)
  })
  default = {}
}

variable "worker_nodes" {
  description = "Nodes for workers alone; spot unless said otherwise (docs/aws.md says what that means for long tasks)."
  type = object({
    capacity_type  = optional(string, "SPOT")
    instance_types = optional(list(string), ["m6i.large", "m6a.large", "m5.large", "m5a.large"])
    min            = optional(number, 0)
    max            = optional(number, 10)
  })
  default = {}
}

variable "policies" {
  description = "IAM policies of workers and the API by a name of yours, for what your tasks do in AWS."
  type        = map(string)
  default     = {}
}

variable "broker" {
  description = "The broker's engine, size and copies (modules/broker)."
  type = object({
    engine             = optional(string, "valkey")
    engine_version     = optional(string, "8.0")
    node_type          = optional(string, "cache.t4g.small")
    replicas           = optional(number, 1)
    auth_token_version = optional(number, 1)
  })
  default = {}
}

variable "auth_token" {
  description = "The broker's password: export TF_VAR_auth_token, and write it in no file."
  type        = string
  sensitive   = true
}

variable "alarm_emails" {
  description = "Who hears of the broker's alarms."
  type        = set(string)
  default     = []
}

variable "image" {
  description = "The application's image, where the nodes can pull it."
  type = object({
    repository = string
    tag        = optional(string, "")
    digest     = optional(string, "")
  })
}

variable "secret_store" {
  description = "The ClusterSecretStore of the External Secrets Operator that reads Secrets Manager. Empty: you make the Secret celery-broker (docs/aws.md)."
  type        = string
  default     = ""
}

variable "monitoring" {
  description = "Whether the chart monitoring is installed too."
  type        = bool
  default     = false
}

variable "grafana_secret" {
  description = "With monitoring: a Secret of the release's namespace with Grafana's login; empty: no Grafana."
  type        = string
  default     = ""
}

variable "values" {
  description = "Paths of values files of your own."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for path in var.values : fileexists(path)])
    error_message = "values: one of these files isn't there: write paths as seen from terraform/environments/aws, or whole ones."
  }
}

variable "tags" {
  description = "Tags of everything, for your bills."
  type        = map(string)
  default     = {}
}
