"""Dashboards as programs: each module below is one dashboard, `make dashboards` writes their JSON.

metrics page -> queries -> panels -> page -> dashboards/*.json -> Grafana, by the chart's ConfigMaps or provisioning/.
The JSON lies in the chart, which must hold what it packages; grafana/dashboards leads there.
"""
