"""ConsumerRun: a consumer with Kafka, threads and time in the hands of a test, and the exploration of interleavings."""
