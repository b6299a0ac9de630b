"""The simulated installation: Kafka, the store, processes of the service, consumers, operators and subscribers."""
