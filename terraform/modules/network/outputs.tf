output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Where nodes, pods and the broker are, one for each zone."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Where load balancers and NAT gateways are, one for each zone."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "nat_ips" {
  description = "The addresses that pods have outside, for the allow-lists of others."
  value       = [for address in aws_eip.nat : address.public_ip]
}
