mock_provider "aws" {
  source = "../../mocks"
}

variables {
  name               = "celery"
  availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "one_way_out_for_all_zones" {
  command = plan
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 3
    error_message = "three zones must share one NAT gateway"
  }
  assert {
    condition     = length(aws_vpc_endpoint.interface) == 0 && length(aws_security_group.endpoints) == 0
    error_message = "endpoints that nobody asked for cost by the hour"
  }
  assert {
    condition     = [for zone in var.availability_zones : aws_subnet.private[zone].cidr_block] == ["10.0.0.0/19", "10.0.32.0/19", "10.0.64.0/19"]
    error_message = "private subnets must be eighths of the range"
  }
  assert {
    condition     = length(setintersection([for subnet in aws_subnet.private : subnet.cidr_block], [for subnet in aws_subnet.public : subnet.cidr_block])) == 0 && aws_subnet.public["eu-central-1c"].cidr_block == "10.0.232.0/22"
    error_message = "public subnets must be in the last eighth"
  }
}

run "a_way_out_for_each_zone" {
  command = plan
  variables {
    nat = "per_zone"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "each zone must have its NAT gateway"
  }
}

run "no_way_out_but_endpoints" {
  command = plan
  variables {
    nat                 = "none"
    interface_endpoints = ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sts"]
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_route.nat) == 0 && length(aws_vpc_endpoint.interface) == 6
    error_message = "there must be endpoints and no NAT"
  }
}

run "a_name_with_a_space" {
  command = plan
  variables {
    name = "my celery"
  }
  expect_failures = [var.name]
}

run "a_range_too_small_for_pods" {
  command = plan
  variables {
    cidr = "10.0.0.0/24"
  }
  expect_failures = [var.cidr]
}

run "one_zone" {
  command = plan
  variables {
    availability_zones = ["eu-central-1a"]
  }
  expect_failures = [var.availability_zones]
}

run "a_region_for_a_zone" {
  command = plan
  variables {
    availability_zones = ["eu-central-1", "eu-central-2"]
  }
  expect_failures = [var.availability_zones]
}

run "a_nat_of_an_unknown_kind" {
  command = plan
  variables {
    nat = "instance"
  }
  expect_failures = [var.nat]
}

run "no_way_out_at_all" {
  command = plan
  variables {
    nat = "none"
  }
  expect_failures = [var.nat]
}

run "an_endpoint_of_an_unknown_service" {
  command = plan
  variables {
    interface_endpoints = ["s3"]
  }
  expect_failures = [var.interface_endpoints]
}

run "days_that_cloudwatch_lacks" {
  command = plan
  variables {
    log_days = 42
  }
  expect_failures = [var.log_days]
}
