"""clocksvc's Celery programs, started with a configuration file as a user starts them."""

import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, Message, TopicPartition

from clocksvc.dev.child_process import ChildProcess
from clocksvc.settings import Settings, load


@dataclass
class HeartbeatPrograms:
    """A directory with a configuration for a broker and a Kafka cluster, and the programs started with it."""

    directory: Path
    bootstrap: str
    redis_url: str
    prefix: str
    clocks: Mapping[str, Mapping[str, Any]]
    started: list[ChildProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        document = {
            "redis": {"url": self.redis_url, "prefix": self.prefix},
            "kafka": {"bootstrap.servers": self.bootstrap},
            "clocks": dict(self.clocks),
        }
        self.config.write_text(yaml.safe_dump(document))

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "clocksvc.yaml"

    def settings(self) -> Settings:
        """The configuration."""
        return load(str(self.config), {})

    def run(self, *arguments: str) -> ChildProcess:
        """Start `celery -A clocksvc …` of this Python's environment; its log is `<command>.log`."""
        celery = str(Path(sys.executable).with_name("celery"))
        command = [shutil.which("env") or "env", f"CLOCKSVC_CONFIG={self.config}", celery, "-A", "clocksvc", *arguments]
        child = ChildProcess(arguments[0], command, log_file=self.directory / f"{arguments[0]}.log")
        child.start()
        self.started.append(child)
        return child

    def worker(self) -> ChildProcess:
        """Start a worker and wait until it is ready."""
        child = self.run("worker", "--loglevel", "INFO")
        child.wait_until(lambda: " ready." in child.log_since_start(), deadline_seconds=30)
        return child

    def beat(self) -> ChildProcess:
        """Start a beat and wait for its first log line."""
        child = self.run("beat", "--loglevel", "INFO")
        child.wait_until(lambda: "beat: Starting" in child.log_since_start(), deadline_seconds=30)
        return child

    def close(self) -> None:
        """Stop all programs."""
        for child in self.started:
            child.stop(timeout_seconds=5)


def clock(topic: str, interval: str, every: str | None) -> dict[str, Any]:
    """The configuration of a clock."""
    return {
        "topics": [topic],
        "group": f"{topic}-group",
        "interval": interval,
        "heartbeat": None if every is None else {"every": every},
    }


def seconds_to_end(child: ChildProcess) -> float:
    """Send SIGTERM; the seconds until the program has ended."""
    began = time.monotonic()
    child.signal(signal.SIGTERM)
    child.stop(timeout_seconds=30)
    return time.monotonic() - began


class Topic:
    """Reads all records of a topic from the beginning."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-reader", "log_level": 0})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self.records: dict[int, list[Message]] = {number: [] for number in range(partitions)}

    def read(self) -> dict[int, list[Message]]:
        """All records so far, by partition."""
        for message in self._consumer.consume(1_000, timeout=0.2):
            number = message.partition()
            assert message.error() is None
            assert number is not None
            self.records[number].append(message)
        return self.records

    def at_least(self, count: int) -> bool:
        """Whether every partition has at least this number of records."""
        return all(len(records) >= count for records in self.read().values())

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()
