"""One clock of a world: how it is configured, who writes its records, and what observers have seen of it.

The observers share no code with the product: a client of raw server-sent events, and what replicas showed when asked.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.system.path.doors import Follower
from tests.system.path.installation import wall_ms
from tests.system.path.producers import Producers

_BEGINS_BEFORE_MS = 30 * 24 * 3_600 * 1_000
_WRITE_EVERY_S = 0.1


@dataclass(frozen=True)
class Plan:
    """A clock of 1 s. With a `speed` its records are a month old, and their time runs that many times as fast as ours:
    so that commits are under way at each moment. Without, brokers stamp them, and heartbeats fill quiet partitions."""

    name: str
    partitions: int
    consumers: int
    speed: int | None = None


class Writers(Protocol):
    """Who writes a clock's records."""

    sent: int

    def stop(self) -> None:
        """Write no more."""


class Watched:
    """A clock that is brought into being by `begin`.

    Attributes:
        notes: the files with the consumers' notes, one for each process that there was.
        shown: for each replica, every global clock that it showed, epoch seconds, in order.
    """

    def __init__(self, plan: Plan, run: str, replicas: Sequence[str]) -> None:
        self.plan = plan
        self.topic = f"{run}-{plan.name}"
        self.group, self.tick_log = f"{self.topic}-group", f"{self.topic}-ticks"
        self.consumers = [f"{plan.name}-{number}" for number in range(plan.consumers)]
        self.notes: list[Path] = []
        self.shown: dict[str, list[int]] = {name: [] for name in replicas}
        self._follower: Follower | None = None
        self._writers: Writers | None = None

    @property
    def follower(self) -> Follower:
        """The client that follows the stream over all replicas."""
        assert self._follower is not None
        return self._follower

    def settings(self) -> dict[str, Any]:
        """The clock as configured."""
        fast = {"max_out_of_orderness": "0s", "heartbeat": None}
        return {
            "topics": [self.topic],
            "group": self.group,
            "tick_log": self.tick_log,
            "interval": "1s",
            **({"heartbeat": {"every": "1s"}} if self.plan.speed is None else fast),
        }

    def write(self, bootstrap: str, replication: int) -> None:
        """Make the topic, and write into it from now on."""
        kind = "LogAppendTime" if self.plan.speed is None else "CreateTime"
        new = NewTopic(self.topic, self.plan.partitions, replication, config={"message.timestamp.type": kind})
        admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        admin.create_topics([new])[self.topic].result(30)
        if self.plan.speed is None:
            self._writers = Producers(bootstrap, self.topic, self.plan.partitions, [0, 0, 0])
        else:
            self._writers = FastForward(bootstrap, self.topic, self.plan.partitions, self.plan.speed)

    def follow(self, urls: Sequence[str]) -> None:
        """Bring in the client of the stream."""
        self._follower = Follower(urls, self.plan.name)

    def stop_writing(self) -> None:
        """No more records come, but for heartbeats."""
        writers, self._writers = self._writers, None
        if writers is not None:
            writers.stop()

    def stop(self) -> None:
        """Write and follow no more."""
        self.stop_writing()
        if self._follower is not None:
            self._follower.stop()


class FastForward:
    """Writes a record into each partition ten times a second, whose timestamps run `speed` times as fast as time."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, speed: int) -> None:
        quiet = logging.getLogger("tests.producers")
        quiet.setLevel(logging.CRITICAL)
        # Idempotent, or what is sent again after a broker's end would stand behind what came after it.
        settings = {"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True}
        self._producer = Producer(settings, logger=quiet)
        self._topic, self._partitions, self._speed = topic, partitions, speed
        self._stop = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop writing, and wait for what is under way."""
        self._stop.set()
        self._thread.join(10)
        self._producer.flush(10)

    def _run(self) -> None:
        at_ms = wall_ms() - _BEGINS_BEFORE_MS
        while not self._stop.wait(_WRITE_EVERY_S):
            at_ms += int(self._speed * _WRITE_EVERY_S * 1_000)
            for number in range(self._partitions):
                self._producer.produce(self._topic, b"x", partition=number, timestamp=at_ms)
                self.sent += 1
            self._producer.poll(0)
