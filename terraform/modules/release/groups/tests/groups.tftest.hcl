variables {
  chart   = "../../../../helm/celery"
  release = "celery"
}

run "the_last_values_win_as_in_helm" {
  variables {
    values = [
      "workers: {defaults: {timeLimitSeconds: 100}, exampleGroups: {report: {timeLimitSeconds: 200}}}",
      "workers: {groups: {report: {timeLimitSeconds: 300, softShutdownSeconds: 20}, extra: {queues: [extra]}}}",
    ]
  }
  assert {
    condition     = output.grace_seconds["report"] == 50 && output.grace_seconds["extra"] == 130 && output.grace_seconds["email"] == 130
    error_message = "a group's own setting wins over the defaults, and the soft shutdown over the limit"
  }
  assert {
    condition     = contains(output.service_accounts, "celery-worker-extra") && contains(output.service_accounts, "celery-api")
    error_message = "each group has an account"
  }
}

run "an_application_of_its_own_has_its_own_groups" {
  variables {
    values = ["{app: {module: shop.celery}}"]
  }
  assert {
    condition     = keys(output.grace_seconds) == ["default"]
    error_message = "the example's groups go with the example"
  }
}

run "a_folder_without_a_chart" {
  command = plan
  variables {
    chart = "."
  }
  expect_failures = [var.chart]
}
