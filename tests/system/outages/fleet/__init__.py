"""Many clocks and several replicas: which replica leads each log, and how long clocks hold when replicas change."""
