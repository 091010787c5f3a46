"""Terraform, bound to an environment of terraform/environments, its account and its cluster."""
