"""What stands behind the Reporter: judging, keeping and sending numbers. Must know neither Kafka nor a leader."""
