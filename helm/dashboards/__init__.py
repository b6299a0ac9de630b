"""Grafana's dashboards as code: `python -m helm.dashboards` writes them into the chart.

It must not know of a cluster, a data source or a clock by name: those are variables of the dashboards.
"""
