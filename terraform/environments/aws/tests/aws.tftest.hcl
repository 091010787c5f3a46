mock_provider "aws" {
  source = "../../mocks"
}

mock_provider "helm" {}

variables {
  region              = "eu-central-1"
  expected_account_id = "123456789012"
  availability_zones  = ["eu-central-1a", "eu-central-1b"]
  access = {
    operators = { principal_arn = "arn:aws:iam::123456789012:role/operators", policy = "AmazonEKSClusterAdminPolicy" }
  }
  image      = { repository = "registry.example.com/shop", tag = "1.0" }
  auth_token = "0123456789abcdef"
}

run "nodes_are_told_of_the_longest_task_that_the_charts_values_allow" {
  command = plan
  assert {
    condition     = output.drain["workers"].grace_seconds == 630
    error_message = "the chart's longest grace period must reach the nodes of workers"
  }
}

run "a_region_by_its_city" {
  command = plan
  variables {
    region             = "frankfurt"
    availability_zones = ["frankfurt-1a", "frankfurt-1b"]
  }
  expect_failures = [var.region]
}

run "an_account_by_its_name" {
  command = plan
  variables {
    expected_account_id = "shop"
  }
  expect_failures = [var.expected_account_id]
}

run "zones_of_another_region" {
  command = plan
  variables {
    availability_zones = ["eu-central-1a", "eu-west-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "a_file_that_is_not_there" {
  command = plan
  variables {
    values = ["mine.yaml"]
  }
  expect_failures = [var.values]
}
