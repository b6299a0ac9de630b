"""`python -m tests.system.docs.tools PROGRAM …`: replaces the command-line programs of Kafka and Redis.

The tests' servers come without them. It takes only the options that the documents use, and really does what they do.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import redis
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

REDIS_URL = "DOCS_REDIS_URL"
"""The environment variable with the URL of the Redis at redis-cli's default address."""


def kafka_configs(arguments: list[str]) -> None:
    """Change a topic's settings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--alter", action="store_true", required=True)
    parser.add_argument("--entity-type", choices=["topics"], required=True)
    parser.add_argument("--entity-name", required=True)
    parser.add_argument("--add-config", required=True)
    asked = parser.parse_args(arguments)
    name, _, value = asked.add_config.partition("=")
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, asked.entity_name, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": asked.bootstrap_server})
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(30)
    print(f"Completed updating config for topic {asked.entity_name}.")


def kafka_topics(arguments: list[str]) -> None:
    """Create a topic."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--create", action="store_true", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--config", required=True)
    asked = parser.parse_args(arguments)
    topic = NewTopic(asked.topic, asked.partitions, config=dict([asked.config.split("=")]))
    admin = AdminClient({"bootstrap.servers": asked.bootstrap_server})
    admin.create_topics([topic])[asked.topic].result(30)
    print(f"Created topic {asked.topic}.")


def kafka_console_producer(arguments: list[str]) -> None:
    """Write each line of the standard input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--topic", required=True)
    asked = parser.parse_args(arguments)
    producer = Producer({"bootstrap.servers": asked.bootstrap_server})
    for line in sys.stdin.buffer:
        producer.produce(asked.topic, line.removesuffix(b"\n"))
    assert producer.flush(30) == 0


_AUTO_COMMIT_S = 5.0


def kafka_console_consumer(arguments: list[str]) -> None:
    """Print records until a signal. Commits as Java's client does: in a poll, at most every 5 s, and at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--from-beginning", action="store_true", required=True)
    asked = parser.parse_args(arguments)
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, lambda *_: sys.exit())
    settings = {
        "bootstrap.servers": asked.bootstrap_server,
        "group.id": asked.group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    with closing(Consumer(settings)) as consumer:
        consumer.subscribe([asked.topic])
        printed: list[Message] = []
        committed_s = time.monotonic()
        try:
            while True:
                if printed and time.monotonic() - committed_s >= _AUTO_COMMIT_S:
                    _commit(consumer, printed)
                    printed, committed_s = [], time.monotonic()
                for message in consumer.consume(500, 0.1):
                    assert message.error() is None, message.error()
                    print((message.value() or b"").decode(), flush=True)
                    printed.append(message)
        finally:
            _commit(consumer, printed)


def _commit(consumer: Consumer, printed: Sequence[Message]) -> None:
    ends = {(message.topic(), message.partition()): (message.offset() or 0) + 1 for message in printed}
    offsets = [TopicPartition(str(topic), int(number or 0), end) for (topic, number), end in ends.items()]
    if offsets:
        consumer.commit(offsets=offsets, asynchronous=False)


def redis_cli(arguments: list[str]) -> None:
    """Send one command, or list keys."""
    with redis.Redis.from_url(os.environ[REDIS_URL], decode_responses=True) as client:
        if arguments[:2] == ["--scan", "--pattern"]:
            print(*client.scan_iter(arguments[2]), sep="\n")
            return
        answer = client.execute_command(*arguments)
    print("OK" if answer is True else answer)


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "kafka-configs.sh": kafka_configs,
    "kafka-console-consumer.sh": kafka_console_consumer,
    "kafka-console-producer.sh": kafka_console_producer,
    "kafka-topics.sh": kafka_topics,
    "redis-cli": redis_cli,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
