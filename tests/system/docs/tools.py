"""`python -m tests.system.docs.tools PROGRAM …`: replaces the command-line programs of Kafka and Redis.

The tests' servers come without them. It takes only the options that the documents use, and really does what they do.
"""

import argparse
import os
import sys
from collections.abc import Callable

import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

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
    "redis-cli": redis_cli,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
