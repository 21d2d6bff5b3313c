"""Grafana's dashboards, written once here and drawn by `make dashboards` into config/grafana/dashboards."""
