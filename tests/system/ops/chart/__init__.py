"""The Helm chart: what it renders, what it rejects, and that it matches the code of clocksvc."""
