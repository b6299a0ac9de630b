"""The dashboards against a real Prometheus that scrapes a real clocksvc."""
