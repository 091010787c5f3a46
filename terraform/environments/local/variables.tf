variable "environment" {
  description = "The environment of the charts that is installed: one with a context of its own in helm/celery/environments/contexts.yaml."
  type        = string
  default     = "kind"
}

variable "kubeconfig" {
  description = "The file with the context."
  type        = string
  default     = "~/.kube/config"
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
