"""The alerts of the chart, judged by promtool, and by a real Prometheus that scrapes a real clocksvc."""
