"""The whole path with real parts: Kafka, Valkey, the service, Celery, consumers in processes of their own."""
