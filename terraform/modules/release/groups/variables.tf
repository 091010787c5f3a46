variable "chart" {
  description = "The folder of the chart celery."
  type        = string
  validation {
    condition     = fileexists("${var.chart}/values.yaml")
    error_message = "chart: there is no values.yaml in that folder: write the path of helm/celery."
  }
}

variable "release" {
  description = "The release's name."
  type        = string
}

variable "values" {
  description = "Values as YAML, the last one wins, as for helm."
  type        = list(string)
  default     = []
}
