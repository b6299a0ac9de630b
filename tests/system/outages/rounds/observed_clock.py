"""One clock of a round of outages: its configuration, its producers, and what observers have seen of it.

The observers share no code with the service: a client of raw server-sent events, and the states that replicas showed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.installation import create_topic
from tests.system.producers import FastProducer, ProducerThread, UnevenProducers
from tests.system.stream_follower import StreamFollower


@dataclass(frozen=True)
class Plan:
    """A clock of 1 s. With a `speed`, its records are a month old and their time advances that many times as fast, so
    that commits are in flight at any moment. Without, brokers stamp them, and heartbeats fill quiet partitions."""

    name: str
    partitions: int
    consumers: int
    speed: int | None = None


class ObservedClock:
    """A clock whose topic, producers and follower are made by `write` and `follow`.

    Attributes:
        notes: the files with the consumers' notes, one for each process that was started.
        shown: for each replica, every global clock that it showed, epoch seconds, in order.
    """

    def __init__(self, plan: Plan, run: str, replicas: Sequence[str]) -> None:
        self.plan = plan
        self.topic = f"{run}-{plan.name}"
        self.group, self.tick_log = f"{self.topic}-group", f"{self.topic}-ticks"
        self.consumers = [f"{plan.name}-{number}" for number in range(plan.consumers)]
        self.notes: list[Path] = []
        self.shown: dict[str, list[int]] = {name: [] for name in replicas}
        self._follower: StreamFollower | None = None
        self._producer: ProducerThread | None = None

    @property
    def follower(self) -> StreamFollower:
        """The client that follows the stream over all replicas."""
        assert self._follower is not None
        return self._follower

    def settings(self) -> dict[str, Any]:
        """The configuration of the clock."""
        fast = {"max_out_of_orderness": "0s", "heartbeat": None}
        return {
            "topics": [self.topic],
            "group": self.group,
            "tick_log": self.tick_log,
            "interval": "1s",
            **({"heartbeat": {"every": "1s"}} if self.plan.speed is None else fast),
        }

    def write(self, bootstrap: str, replication: int) -> None:
        """Create the topic, and write into it from now on."""
        timestamp_type = "LogAppendTime" if self.plan.speed is None else "CreateTime"
        create_topic(bootstrap, self.topic, self.plan.partitions, timestamp_type, replication)
        if self.plan.speed is None:
            self._producer = UnevenProducers(bootstrap, self.topic, self.plan.partitions, [0, 0, 0])
        else:
            self._producer = FastProducer(bootstrap, self.topic, self.plan.partitions, self.plan.speed)

    def follow(self, urls: Sequence[str]) -> None:
        """Start the client of the stream."""
        self._follower = StreamFollower(urls, self.plan.name)

    def stop_writing(self) -> None:
        """Write no more records; heartbeats go on."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()

    def stop(self) -> None:
        """Stop producers and follower."""
        self.stop_writing()
        if self._follower is not None:
            self._follower.stop()
