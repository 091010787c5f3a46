variable "environment" {
  description = "The environment of the charts that is installed: a file of helm/celery/environments."
  type        = string
  default     = "kind"
}

variable "context" {
  description = "The kube context; empty: the one that helm/celery/environments/contexts.yaml has for the environment."
  type        = string
  default     = ""
  validation {
    condition     = var.context != "" || lookup(local.contexts, var.environment, "") != ""
    error_message = "Environment ${var.environment} is bound to no cluster: write context = \"name\" (kubectl config get-contexts lists them), or enter it in helm/celery/environments/contexts.yaml."
  }
}

variable "kubeconfig" {
  description = "The file with the context, or several as in KUBECONFIG, which stands in for this where nobody gives it."
  type        = string
  default     = "~/.kube/config"
  validation {
    condition     = length(compact(split(":", var.kubeconfig))) > 0
    error_message = "kubeconfig must name a file: write kubeconfig = \"~/.kube/config\"."
  }
}

variable "image" {
  description = "The application's image, which the cluster's nodes have or can pull: make deploy ENV=kind builds and carries the example's."
  type = object({
    repository = string
    tag        = optional(string, "")
    digest     = optional(string, "")
  })
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
    error_message = "values: one of these files isn't there: write paths as seen from terraform/environments/local, or whole ones."
  }
}
