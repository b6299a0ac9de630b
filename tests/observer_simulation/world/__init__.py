"""Kafka, producers, consumer groups, leaders of clocks and the store, in simulated time."""
