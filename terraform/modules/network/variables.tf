variable "name" {
  description = "Before the names of everything that is made; the cluster's name too, which load balancers find their subnets by."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 30 small letters, digits and dashes, starting with a letter: write name = \"celery\"."
  }
}

variable "cidr" {
  description = "The VPC's range of IPv4 addresses."
  type        = string
  default     = "10.0.0.0/16"
  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr must be an IPv4 range of /16 to /20, since every pod takes an address: write cidr = \"10.0.0.0/16\"."
  }
}

variable "availability_zones" {
  description = "Zones that get a public and a private subnet each. EKS and a broker that fails over need two."
  type        = list(string)
  validation {
    condition     = length(distinct(var.availability_zones)) == length(var.availability_zones) && length(var.availability_zones) >= 2 && length(var.availability_zones) <= 6
    error_message = "availability_zones must be 2 to 6 different zones: write availability_zones = [\"eu-central-1a\", \"eu-central-1b\"]."
  }
  validation {
    condition     = alltrue([for zone in var.availability_zones : can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", zone))])
    error_message = "availability_zones must be names like eu-central-1a: aws ec2 describe-availability-zones lists your region's."
  }
}

variable "nat" {
  description = "Ways out of the private subnets: one NAT gateway, one per_zone (a zone that dies takes no other's way out), or none."
  type        = string
  default     = "one"
  validation {
    condition     = contains(["one", "per_zone", "none"], var.nat)
    error_message = "nat must be one, per_zone or none: write nat = \"one\"."
  }
  validation {
    condition     = var.nat != "none" || length(setsubtract(["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sts"], var.interface_endpoints)) == 0
    error_message = "nat = \"none\" leaves nodes no way to AWS but endpoints: interface_endpoints must have ec2, ecr.api, ecr.dkr, eks, eks-auth and sts."
  }
}

variable "interface_endpoints" {
  description = "AWS services that are reached without leaving the VPC. Each costs by the hour in each zone; none is needed with a NAT."
  type        = set(string)
  default     = []
  validation {
    condition = alltrue([for service in var.interface_endpoints : contains([
      "autoscaling", "ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticloadbalancing", "kms", "logs", "monitoring", "secretsmanager", "sns", "sqs", "sts",
    ], service)])
    error_message = "interface_endpoints may be autoscaling, ec2, ecr.api, ecr.dkr, eks, eks-auth, elasticloadbalancing, kms, logs, monitoring, secretsmanager, sns, sqs and sts; S3 has its free gateway in any case."
  }
}

variable "log_days" {
  description = "Days for which flow logs are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_days)
    error_message = "log_days must be a time that CloudWatch offers, such as 30, 90 or 365."
  }
}
