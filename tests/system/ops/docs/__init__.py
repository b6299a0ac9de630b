"""Commands and configurations of the documents that need helm, Prometheus or programs of Kafka."""
