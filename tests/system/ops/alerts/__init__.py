"""The alerts of the chart, tested by promtool, and by a real Prometheus that scrapes a real clocksvc."""
