locals {
  charts      = abspath("${path.module}/../../../helm")
  environment = "production"
  release     = "celery"
  values      = [for path in var.values : file(path)]
  identities = length(var.policies) == 0 ? {} : {
    app = { namespace = "celery", service_accounts = module.groups.service_accounts, policies = var.policies }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.expected_account_id]
  default_tags {
    tags = merge({ Project = var.name }, var.tags)
  }
}

# Whose token the charts are installed with: the role itself behind a session, single sign-on's too.
data "aws_caller_identity" "this" {}

data "aws_iam_session_context" "this" {
  arn = data.aws_caller_identity.this.arn
}

module "network" {
  source              = "../../modules/network"
  name                = var.name
  cidr                = var.cidr
  availability_zones  = var.availability_zones
  nat                 = var.nat
  interface_endpoints = var.interface_endpoints
}

# How long workers take to end, and what their accounts are called: the chart knows.
module "groups" {
  source  = "../../modules/release/groups"
  chart   = "${local.charts}/celery"
  release = local.release
  values  = concat([file("${local.charts}/celery/environments/${local.environment}.yaml")], local.values)
}

module "cluster" {
  source               = "../../modules/cluster"
  name                 = var.name
  kubernetes_version   = var.kubernetes_version
  subnet_ids           = module.network.private_subnet_ids
  public_access_cidrs  = var.public_access_cidrs
  private_access_cidrs = var.private_access_cidrs
  access               = var.access
  installer_arn        = coalesce(var.installer_arn, data.aws_iam_session_context.this.issuer_arn)
  identities           = local.identities
  node_groups = {
    system  = merge(var.system_nodes, { capacity_type = "ON_DEMAND" })
    workers = merge(var.worker_nodes, { dedicated = true, grace_seconds = module.groups.longest_grace_seconds })
  }
}

module "broker" {
  source             = "../../modules/broker"
  name               = var.name
  vpc_id             = module.network.vpc_id
  subnet_ids         = module.network.private_subnet_ids
  clients            = { nodes = module.cluster.security_group_id }
  engine             = var.broker.engine
  engine_version     = var.broker.engine_version
  node_type          = var.broker.node_type
  replicas           = var.broker.replicas
  auth_token         = var.auth_token
  auth_token_version = var.broker.auth_token_version
  alarm_emails       = var.alarm_emails
}
