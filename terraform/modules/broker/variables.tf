variable "name" {
  description = "The replication group's name, and before the names of everything that belongs to it."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,28}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must be 3 to 30 small letters, digits and single dashes, starting with a letter: write name = \"celery\"."
  }
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids must be private subnets of two zones or more: write subnet_ids = module.network.private_subnet_ids."
  }
}

variable "clients" {
  description = "Security groups whose members may connect, by a name of yours."
  type        = map(string)
  validation {
    condition     = length(var.clients) > 0
    error_message = "clients: nobody could connect: write clients = { nodes = module.cluster.security_group_id }."
  }
}

variable "engine" {
  description = "valkey (cheaper) or redis."
  type        = string
  default     = "valkey"
  validation {
    condition     = contains(["valkey", "redis"], var.engine)
    error_message = "engine must be valkey or redis."
  }
}

variable "engine_version" {
  description = "The engine's version; of redis 7.x and of valkey 7.2 or later."
  type        = string
  default     = "8.0"
  validation {
    condition     = can(regex(var.engine == "redis" ? "^7\\.[0-9]+$" : "^([78])\\.[0-9]+$", var.engine_version))
    error_message = "engine_version must be one of the engine's that the tests run: write \"8.0\" for valkey or \"7.1\" for redis."
  }
}

variable "node_type" {
  description = "The type of the nodes."
  type        = string
  default     = "cache.t4g.small"
  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.node_type)) && !can(regex("^cache\\.t1\\.", var.node_type))
    error_message = "node_type must be a type of ElastiCache: write node_type = \"cache.m7g.large\"."
  }
}

variable "replicas" {
  description = "Copies of the primary, in other zones; the first takes over when the primary dies. What it had not got yet is lost then."
  type        = number
  default     = 1
  validation {
    condition     = var.replicas >= 1 && var.replicas <= 5 && floor(var.replicas) == var.replicas
    error_message = "replicas must be 1 to 5: with none, a node that dies takes every waiting task with it."
  }
}

variable "num_node_groups" {
  description = "There to be refused: a broker of Celery has one."
  type        = number
  default     = 1
  validation {
    condition     = var.num_node_groups == 1
    error_message = "num_node_groups must be 1: Celery's queues and what is noted of them are in different slots of a Redis Cluster, so cluster mode can't be a broker; take a larger node_type instead."
  }
}

variable "auth_token" {
  description = "The password. It becomes part of a URL, and ElastiCache's provider keeps it in the state (docs/aws.md)."
  type        = string
  sensitive   = true
  validation {
    condition     = can(regex("^[A-Za-z0-9-]{16,128}$", var.auth_token))
    error_message = "auth_token must be 16 to 128 letters, digits and dashes, which ElastiCache and a URL both take: export TF_VAR_auth_token=$(openssl rand -hex 32)."
  }
}

variable "auth_token_version" {
  description = "Raise it with a new auth_token: the copy in Secrets Manager is in no state, so Terraform can't see that it changed."
  type        = number
  default     = 1
  validation {
    condition     = var.auth_token_version >= 1 && floor(var.auth_token_version) == var.auth_token_version
    error_message = "auth_token_version must be 1, 2, 3 and so on."
  }
}

variable "snapshot_days" {
  description = "Days for which a snapshot of each night is kept; 0: none."
  type        = number
  default     = 1
  validation {
    condition     = var.snapshot_days >= 0 && var.snapshot_days <= 35
    error_message = "snapshot_days must be 0 to 35."
  }
}

variable "max_connections" {
  description = "Connections from which an alarm rings; a worker has about 10, and nodes take 65000."
  type        = number
  default     = 10000
  validation {
    condition     = var.max_connections >= 100 && var.max_connections <= 65000
    error_message = "max_connections must be 100 to 65000."
  }
}

variable "alarm_emails" {
  description = "Who gets a mail when an alarm rings; each has to confirm it once."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alarm_emails must be mail addresses: write alarm_emails = [\"oncall@example.com\"]."
  }
}
