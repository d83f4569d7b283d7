"""Dashboards for Grafana; `python -m leadstream.infra.grafana` writes them as JSON."""
