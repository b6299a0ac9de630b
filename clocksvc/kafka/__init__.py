"""All clients of Kafka. Only this package imports `confluent_kafka`."""
