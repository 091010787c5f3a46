variable "charts" {
  description = "The folder with the charts celery and monitoring."
  type        = string
  validation {
    condition     = fileexists("${var.charts}/celery/Chart.yaml")
    error_message = "charts: there is no celery/Chart.yaml in that folder: write the path of helm/."
  }
}

variable "environment" {
  description = "Which of helm/*/environments is taken: kind, production."
  type        = string
  validation {
    condition     = var.environment != "contexts" && fileexists("${var.charts}/celery/environments/${var.environment}.yaml")
    error_message = "environment must be a file of helm/celery/environments, without .yaml: write environment = \"production\"."
  }
}

variable "name" {
  description = "The release's name."
  type        = string
  default     = "celery"
  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$", var.name))
    error_message = "name must be at most 30 small letters, digits and dashes: write name = \"celery\"."
  }
}

variable "namespace" {
  description = "The release's namespace; made if it isn't there."
  type        = string
  default     = "celery"
  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be small letters, digits and dashes: write namespace = \"celery\"."
  }
}

variable "image" {
  description = "The application's image; the digest wins over the tag."
  type = object({
    repository = string
    tag        = optional(string, "")
    digest     = optional(string, "")
  })
  validation {
    condition     = var.image.repository != "" && !strcontains(basename(var.image.repository), ":")
    error_message = "image.repository must be an image without its tag: write image = { repository = \"registry.example.com/shop\", tag = \"1.0\" }."
  }
  validation {
    condition     = var.image.digest == "" || can(regex("^sha256:[0-9a-f]{64}$", var.image.digest))
    error_message = "image.digest must be sha256: and 64 hexadecimal digits, or nothing."
  }
}

variable "broker" {
  description = <<-EOT
    A Redis outside of the cluster; null: the chart runs its own and makes its passwords. The password is in no variable: it comes
    from existing_secret, a Secret with the key broker-password that is there, or that the External Secrets Operator makes of
    secret_key in the ClusterSecretStore secret_store.
  EOT
  type = object({
    host            = string
    port            = optional(number, 6379)
    username        = optional(string, "")
    existing_secret = string
    secret_store    = optional(string, "")
    secret_key      = optional(string, "")
  })
  default = null
  validation {
    condition     = var.broker == null ? true : can(regex("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", var.broker.existing_secret))
    error_message = "broker.existing_secret must be the name of a Secret: write existing_secret = \"celery-broker\"."
  }
  validation {
    condition     = var.broker == null ? true : (var.broker.secret_store == "") == (var.broker.secret_key == "")
    error_message = "broker.secret_store and broker.secret_key go together: write both, or neither for a Secret that you make yourself."
  }
}

variable "node_groups" {
  description = "Node groups for what stays (broker, beat, Flower, API) and for workers, by the label and taint node-group; empty: anywhere."
  type = object({
    system  = optional(string, "")
    workers = optional(string, "")
  })
  default = {}
}

variable "pod_identity" {
  description = "Whether workers and the API act as an IAM role: they may then reach the agent that hands out its credentials, and their pods are made anew when this changes. Tell it once the role is bound to their accounts, since a pod gets its role when it is made."
  type        = bool
  default     = false
}

variable "monitoring" {
  description = "Whether the chart monitoring is installed too, and celery's pages are there for it."
  type        = bool
  default     = false
  validation {
    condition     = !var.monitoring || fileexists("${var.charts}/monitoring/Chart.yaml")
    error_message = "monitoring: there is no monitoring/Chart.yaml in charts: write monitoring = false."
  }
}

variable "grafana_secret" {
  description = "With monitoring: a Secret of the namespace with the keys admin-user and admin-password; empty: no Grafana."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", var.grafana_secret))
    error_message = "grafana_secret must be the name of a Secret: write grafana_secret = \"grafana-login\", or nothing for no Grafana."
  }
}

variable "values" {
  description = "Values of your own as YAML, which win: write values = [file(\"my.yaml\")]."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for text in var.values : can(keys(yamldecode(text)))])
    error_message = "values must be YAML mappings: write values = [file(\"my.yaml\")]."
  }
}

variable "timeout_seconds" {
  description = "How long Helm waits; a rollout waits for running tasks."
  type        = number
  default     = 1800
  validation {
    condition     = var.timeout_seconds >= 60
    error_message = "timeout_seconds must be 60 or more."
  }
}
