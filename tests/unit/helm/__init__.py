"""The dashboards as files: fresh, whole, and what Grafana can read."""
