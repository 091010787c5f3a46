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
