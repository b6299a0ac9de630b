"""The oldest versions of Kafka and Redis that clocksvc supports, and the path suite with them: `make floors`."""
