terraform {
  # 1.11: a validation may look at other variables, and write-only attributes exist.
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100.0"
    }
  }
}
