mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "celery"
  kubernetes_version = "1.33"
  subnet_ids         = ["subnet-1", "subnet-2"]
  access = {
    operators = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSClusterAdminPolicy" }
    team      = { principal_arn = "arn:aws:iam::123456789012:role/team", policy = "AmazonEKSEditPolicy", namespaces = ["celery"] }
  }
  node_groups = {
    system  = { instance_types = ["m6i.large"], min = 2, max = 4 }
    workers = { instance_types = ["m6i.large", "m5.large"], min = 0, max = 10, capacity_type = "SPOT", dedicated = true, grace_seconds = 630 }
  }
}

run "private_unless_ranges_are_given" {
  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "without ranges nobody outside may reach the API server"
  }
  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "only access entries may let anybody in"
  }
  assert {
    condition     = one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"])
    error_message = "Secrets must be encrypted with a key of ours"
  }
  assert {
    condition     = aws_eks_access_policy_association.this["team"].access_scope[0].type == "namespace" && aws_eks_access_policy_association.this["operators"].access_scope[0].type == "cluster"
    error_message = "who has namespaces must be kept to them"
  }
}

run "a_long_name_leaves_room_for_what_iam_adds" {
  variables {
    name       = "celery-of-the-shop-frankfurt-1"
    identities = { reports-of-every-month = { namespace = "celery", service_accounts = ["celery-api"], policies = { read = "arn:aws:iam::123456789012:policy/read" } } }
  }
  assert {
    condition     = alltrue([for role in concat(values(aws_iam_role.addon), values(aws_iam_role.identity), [aws_iam_role.autoscaler, aws_iam_role.node]) : length(role.name_prefix) <= 38])
    error_message = "IAM takes prefixes of 38 characters"
  }
}

run "workers_are_on_spot_alone_and_beat_on_nodes_that_stay" {
  assert {
    condition     = aws_eks_node_group.this["workers"].capacity_type == "SPOT" && one(aws_eks_node_group.this["workers"].taint).value == "workers"
    error_message = "workers' nodes must be spot, with a taint"
  }
  assert {
    condition     = aws_eks_node_group.this["system"].capacity_type == "ON_DEMAND" && length(aws_eks_node_group.this["system"].taint) == 0
    error_message = "system's nodes must be on demand, for everybody"
  }
  assert {
    condition     = alltrue([for name, group in aws_eks_node_group.this : group.labels["node-group"] == name])
    error_message = "pods find nodes by the label node-group"
  }
}

run "a_node_that_is_shut_down_grants_what_pods_need_as_far_as_ec2_waits" {
  assert {
    condition     = strcontains(base64decode(aws_launch_template.this["workers"].user_data), "\"shutdownGracePeriod\": \"135s\"")
    error_message = "a node must be done before EC2 ends it"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.this["system"].user_data), "\"shutdownGracePeriod\": \"45s\"")
    error_message = "short grace periods are granted as they are"
  }
  assert {
    condition     = output.drain["workers"].cut_short && !output.drain["system"].cut_short
    error_message = "who is cut short must be told"
  }
}

run "whom_the_vpc_lets_in_is_said" {
  variables {
    private_access_cidrs = ["10.0.0.0/16"]
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.api["10.0.0.0/16"].from_port == 443 && aws_vpc_security_group_ingress_rule.api["10.0.0.0/16"].to_port == 443
    error_message = "who is named must reach the API server, and nothing else"
  }
}

run "a_private_range_that_is_none" {
  command = plan
  variables {
    private_access_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.private_access_cidrs]
}

run "nodes_for_another_processor" {
  command = plan
  variables {
    node_groups = {
      system = { instance_types = ["m7g.large"], min = 2, max = 4 }
    }
  }
  expect_failures = [var.node_groups]
}

run "network_policies_are_enforced_and_the_network_is_there_before_nodes" {
  assert {
    condition     = jsondecode(aws_eks_addon.early["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "the chart's NetworkPolicies must be enforced"
  }
  assert {
    condition     = toset([for identity in aws_eks_pod_identity_association.addon : identity.service_account]) == toset(["aws-node", "ebs-csi-controller-sa"])
    error_message = "add-ons that call AWS must have roles of their own"
  }
}

run "each_account_of_an_identity_gets_its_role" {
  variables {
    identities = { app = { namespace = "celery", service_accounts = ["celery-api", "celery-worker-email"], policies = { s3 = "arn:aws:iam::123456789012:policy/s3" } } }
  }
  assert {
    condition     = length(aws_eks_pod_identity_association.identity) == 2 && length(aws_iam_role.identity) == 1 && length(aws_iam_role_policy_attachment.identity) == 1
    error_message = "two accounts must share one role with one policy"
  }
}

run "a_name_with_a_space" {
  command = plan
  variables {
    name = "my celery"
  }
  expect_failures = [var.name]
}

run "a_patch_version" {
  command = plan
  variables {
    kubernetes_version = "1.33.1"
  }
  expect_failures = [var.kubernetes_version]
}

run "one_subnet" {
  command = plan
  variables {
    subnet_ids = ["subnet-1"]
  }
  expect_failures = [var.subnet_ids]
}

run "the_whole_internet" {
  command = plan
  variables {
    public_access_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.public_access_cidrs]
}

run "the_whole_internet_in_two_halves" {
  command = plan
  variables {
    public_access_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
  }
  expect_failures = [var.public_access_cidrs]
}

run "access_for_what_is_no_principal" {
  command = plan
  variables {
    access = {
      operators = { principal_arn = "operators", policy = "AmazonEKSClusterAdminPolicy" }
    }
  }
  expect_failures = [var.access]
}

run "access_by_an_unknown_policy" {
  command = plan
  variables {
    access = {
      operators = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSClusterAdminPolicy" }
      team      = { principal_arn = "arn:aws:iam::123456789012:role/team", policy = "Everything" }
    }
  }
  expect_failures = [var.access]
}

run "access_for_nobody_who_administers" {
  command = plan
  variables {
    access = {
      team = { principal_arn = "arn:aws:iam::123456789012:role/team", policy = "AmazonEKSEditPolicy", namespaces = ["celery"] }
    }
  }
  expect_failures = [var.access]
}

run "access_for_one_principal_by_two_names" {
  command = plan
  variables {
    access = {
      operators = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSClusterAdminPolicy" }
      team      = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSEditPolicy", namespaces = ["celery"] }
    }
  }
  expect_failures = [var.access]
}

run "an_installer_who_administers" {
  command = plan
  variables {
    installer_arn = "arn:aws:iam::123456789012:role/operators"
  }
}

run "an_installer_kept_to_a_namespace" {
  command = plan
  variables {
    installer_arn = "arn:aws:iam::123456789012:role/team"
    access = {
      operators = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSClusterAdminPolicy" }
      team      = { principal_arn = "arn:aws:iam::123456789012:role/team", policy = "AmazonEKSClusterAdminPolicy", namespaces = ["celery"] }
    }
  }
  expect_failures = [var.access]
}

run "an_installer_who_may_only_look" {
  command = plan
  variables {
    installer_arn = "arn:aws:iam::123456789012:role/team"
    access = {
      operators = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSClusterAdminPolicy" }
      team      = { principal_arn = "arn:aws:iam::123456789012:role/team", policy = "AmazonEKSViewPolicy" }
    }
  }
  expect_failures = [var.access]
}

run "an_installer_whom_nobody_named" {
  command = plan
  variables {
    installer_arn = "arn:aws:iam::123456789012:user/ci/installer"
  }
  expect_failures = [var.access]
}

run "the_account_itself_as_installer" {
  command = plan
  variables {
    installer_arn = "arn:aws:iam::123456789012:root"
  }
  expect_failures = [var.access]
}

run "a_session_as_installer" {
  command = plan
  variables {
    installer_arn = "arn:aws:sts::123456789012:federated-user/me"
  }
  expect_failures = [var.access]
}

run "a_node_group_with_an_underscore" {
  command = plan
  variables {
    node_groups = {
      my_system = { instance_types = ["m6i.large"], min = 2, max = 4 }
    }
  }
  expect_failures = [var.node_groups]
}

run "two_nodes" {
}

run "three_nodes_at_least_where_there_are_two" {
  command = plan
  variables {
    node_groups = {
      system = { instance_types = ["m6i.large"], min = 3, max = 4 }
    }
  }
  expect_failures = [aws_eks_node_group.this]
}

run "one_node_at_most_where_there_are_two" {
  command = plan
  variables {
    node_groups = {
      system = { instance_types = ["m6i.large"], min = 1, max = 1 }
    }
  }
  expect_failures = [aws_eks_node_group.this]
}

run "nothing_but_spot" {
  command = plan
  variables {
    node_groups = {
      workers = { instance_types = ["m6i.large", "m5.large"], min = 1, max = 4, capacity_type = "SPOT" }
    }
  }
  expect_failures = [var.node_groups]
}

run "capacity_of_an_unknown_kind" {
  command = plan
  variables {
    node_groups = {
      system  = { instance_types = ["m6i.large"], min = 2, max = 4 }
      workers = { instance_types = ["m6i.large"], min = 0, max = 4, capacity_type = "RESERVED" }
    }
  }
  expect_failures = [var.node_groups]
}

run "spot_of_one_type" {
  command = plan
  variables {
    node_groups = {
      system  = { instance_types = ["m6i.large"], min = 2, max = 4 }
      workers = { instance_types = ["m6i.large"], min = 0, max = 4, capacity_type = "SPOT" }
    }
  }
  expect_failures = [var.node_groups]
}

run "more_nodes_at_least_than_at_most" {
  command = plan
  variables {
    node_groups = {
      system = { instance_types = ["m6i.large"], min = 5, max = 4 }
    }
  }
  expect_failures = [var.node_groups]
}

run "tasks_longer_than_eks_waits" {
  command = plan
  variables {
    node_groups = {
      system  = { instance_types = ["m6i.large"], min = 2, max = 4 }
      workers = { instance_types = ["m6i.large"], min = 0, max = 4, grace_seconds = 3630 }
    }
  }
  expect_failures = [var.node_groups]
}

run "an_identity_without_a_policy" {
  command = plan
  variables {
    identities = { app = { namespace = "celery", service_accounts = ["celery-api"], policies = {} } }
  }
  expect_failures = [var.identities]
}

run "an_unknown_addon" {
  command = plan
  variables {
    addon_versions = { istio = "1.0" }
  }
  expect_failures = [var.addon_versions]
}

run "days_that_cloudwatch_lacks" {
  command = plan
  variables {
    log_days = 42
  }
  expect_failures = [var.log_days]
}
