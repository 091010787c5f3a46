output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Where nodes, pods and the broker are, one for each zone."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
  # A node in a subnet without its ways out never joins, also where only a part is applied (-target).
  depends_on = [aws_route.nat, aws_route_table_association.private, aws_vpc_endpoint.s3, aws_vpc_endpoint.interface]
}

output "public_subnet_ids" {
  description = "Where load balancers and NAT gateways are, one for each zone."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "nat_ips" {
  description = "The addresses that pods have outside, for the allow-lists of others."
  value       = [for address in aws_eip.nat : address.public_ip]
}
