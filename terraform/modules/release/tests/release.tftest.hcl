mock_provider "helm" {}

variables {
  charts      = "../../../helm"
  environment = "kind"
  image       = { repository = "registry.example.com/shop", tag = "1.0" }
}

run "without_more_it_is_the_environment_and_the_image" {
  assert {
    condition     = local.values[0] == file("../../../helm/celery/environments/kind.yaml")
    error_message = "the environment's file must come first"
  }
  assert {
    condition     = yamldecode(local.values[1]) == { image = { repository = "registry.example.com/shop", tag = "1.0" } }
    error_message = "what is not given must not be set"
  }
  assert {
    condition     = alltrue([for text in slice(local.values, 2, length(local.values)) : yamldecode(text) == {}])
    error_message = "nothing else may be set"
  }
}

run "no_charts" {
  command = plan
  variables {
    charts = "."
  }
  expect_failures = [var.charts]
}

run "an_unknown_environment" {
  command = plan
  variables {
    environment = "contexts"
  }
  expect_failures = [var.environment]
}

run "a_name_in_capitals" {
  command = plan
  variables {
    name = "Celery"
  }
  expect_failures = [var.name]
}

run "a_namespace_with_a_dot" {
  command = plan
  variables {
    namespace = "a.b"
  }
  expect_failures = [var.namespace]
}

run "a_tag_in_the_repository" {
  command = plan
  variables {
    image = { repository = "registry.example.com/shop:1.0" }
  }
  expect_failures = [var.image]
}

run "a_digest_cut_off" {
  command = plan
  variables {
    image = { repository = "registry.example.com/shop", digest = "sha256:abc" }
  }
  expect_failures = [var.image]
}

run "a_broker_without_a_secret" {
  command = plan
  variables {
    broker = { host = "broker.example.com", existing_secret = "" }
  }
  expect_failures = [var.broker]
}

run "a_store_without_a_key" {
  command = plan
  variables {
    broker = { host = "broker.example.com", existing_secret = "celery-broker", secret_store = "aws" }
  }
  expect_failures = [var.broker]
}

run "values_that_are_no_mapping" {
  command = plan
  variables {
    values = ["- a"]
  }
  expect_failures = [var.values]
}

run "no_time_at_all" {
  command = plan
  variables {
    timeout_seconds = 1
  }
  expect_failures = [var.timeout_seconds]
}

run "a_secret_that_is_none" {
  command = plan
  variables {
    grafana_secret = "Grafana Login"
  }
  expect_failures = [var.grafana_secret]
}

run "monitoring_where_its_chart_is_not" {
  command = plan
  variables {
    charts     = "./tests/charts-without-monitoring"
    monitoring = true
  }
  expect_failures = [var.monitoring]
}
