mock_provider "helm" {}

variables {
  image = { repository = "registry.example.com/shop", tag = "1.0" }
}

run "the_context_is_that_of_the_charts_environment" {
  command = plan
  assert {
    condition     = output.context == "kind-celery"
    error_message = "environment kind belongs to kind-celery"
  }
}

run "a_file_that_is_not_there" {
  command = plan
  variables {
    values = ["mine.yaml"]
  }
  expect_failures = [var.values]
}

run "a_context_that_is_named_wins" {
  command = plan
  variables {
    environment = "production"
    context     = "shop"
  }
  assert {
    condition     = output.context == "shop"
    error_message = "the one that was named is meant"
  }
}

run "an_environment_of_no_cluster" {
  command = plan
  variables {
    environment = "production"
  }
  expect_failures = [var.context]
}

run "no_kubeconfig" {
  command = plan
  variables {
    kubeconfig = ":"
  }
  expect_failures = [var.kubeconfig]
}
