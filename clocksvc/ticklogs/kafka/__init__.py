"""The tick log in Kafka: one topic of one partition, one transactional writer at a time."""

from clocksvc.ticklogs.kafka.ticklog import KafkaTickLog

__all__ = ["KafkaTickLog"]
