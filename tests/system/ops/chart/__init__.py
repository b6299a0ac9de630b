"""The Helm chart: what it renders, what it refuses, and that it says what clocksvc's code says."""
