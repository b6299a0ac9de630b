"""Grafana's dashboards as code: `python -m helm.dashboards` writes them into the chart.

The cluster, the data source and the clock are variables of the dashboards. Their names are never written into them.
"""
