"""Grafana's dashboards as code: `python -m helm.dashboards` writes them into the chart.

Cluster, data source and clock are variables of the dashboards, never names in them.
"""
