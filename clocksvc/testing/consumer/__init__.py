"""ConsumerRun: a consumer whose Kafka, threads and time a test controls, and the exploration of interleavings."""
