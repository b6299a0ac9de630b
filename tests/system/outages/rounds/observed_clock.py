"""The clocks of a round of outages: their configuration, their topics' producers, and what observers have seen of them.

The observers share no code with the service: clients of raw server-sent events, and the states that replicas showed.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.buffered_consumer import dead_letter_topic
from tests.system.evidence import LOGS, partition_of
from tests.system.installation import create_topic
from tests.system.outages.rounds.sink import CommitObserver
from tests.system.producers import FastProducer, ProducerThread, UnevenProducers
from tests.system.stream_follower import StreamFollower


@dataclass(frozen=True)
class Plan:
    """A topic with the clocks that watch it.

    With a `speed`, its records are a month old and their time advances that many times as fast, so that commits are in
    flight at any moment. Without, brokers stamp them, and heartbeats fill quiet partitions.

    Attributes:
        clocks: how many clocks. Several are distributed over all logs as evenly as possible.
        interval_s: the interval of all clocks.
        buffered: the rebalance protocol if the consumers are BufferedConsumers, which report to the first clock; None
            for consumers with a loop of their own.
    """

    name: str
    partitions: int
    consumers: int
    speed: int | None = None
    clocks: int = 1
    interval_s: int = 1
    buffered: str | None = None

    def names(self) -> Iterator[str]:
        """The names of the clocks."""
        if self.clocks == 1:
            yield self.name
            return
        most, used = -(-self.clocks // LOGS), Counter[int]()
        candidates = (f"{self.name}-{number}" for number in itertools.count())
        while used.total() < self.clocks:
            name = next(candidates)
            if used[partition_of(name)] < most:
                used[partition_of(name)] += 1
                yield name


class ObservedTopic:
    """A topic whose producers are made by `write`.

    Attributes:
        consumers: the names of the consumer processes. Each of them reports to all clocks.
        notes: the files with the consumers' notes, one for each process that was started.
        commits: what is observed of the commits of BufferedConsumers, from `write` on.
    """

    def __init__(self, plan: Plan, run: str, replicas: Sequence[str]) -> None:
        self.plan = plan
        self.name = f"{run}-{plan.name}"
        self.group = f"{self.name}-group"
        self.consumers = [f"{plan.name}-{number}" for number in range(plan.consumers)]
        self.clocks = [ObservedClock(name, self, replicas) for name in plan.names()]
        self.notes: list[Path] = []
        self.commits: CommitObserver | None = None
        self._producer: ProducerThread | None = None

    def settings(self, clock: str) -> dict[str, Any]:
        """The configuration of a clock. Only the first one has heartbeats, because the topic needs them once."""
        settings = {"topics": [self.name], "group": self.group, "interval": f"{self.plan.interval_s}s"}
        if self.plan.speed is not None:
            return {**settings, "max_out_of_orderness": "0s", "max_past": "3650d", "heartbeat": None}
        return {**settings, "heartbeat": {"every": "1s"} if clock == self.clocks[0].name else None}

    def write(self, bootstrap: str, replication: int) -> None:
        """Create the topic, and write into it from now on."""
        timestamp_type = "LogAppendTime" if self.plan.speed is None else "CreateTime"
        create_topic(bootstrap, self.name, self.plan.partitions, timestamp_type, replication)
        if self.plan.buffered is not None:
            create_topic(bootstrap, dead_letter_topic(self.name), 1, "LogAppendTime", replication)
            self.commits = CommitObserver(bootstrap, self.name, self.group)
        if self.plan.speed is None:
            self._producer = UnevenProducers(bootstrap, self.name, self.plan.partitions, [0, 0, 0])
        else:
            self._producer = FastProducer(bootstrap, self.name, self.plan.partitions, self.plan.speed)

    def all_committed(self) -> bool:
        """Whether BufferedConsumers have committed the end of each partition."""
        assert self.commits is not None
        return self.commits.at_end()

    def stop_writing(self) -> None:
        """Write no more records; heartbeats go on."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()


class ObservedClock:
    """One clock; its follower is made by `follow`.

    Attributes:
        log: the number of its log.
        interval_s: its interval.
        shown: for each replica, every global clock that it showed, epoch seconds, in order.
    """

    def __init__(self, name: str, topic: ObservedTopic, replicas: Sequence[str]) -> None:
        self.name, self.topic, self.log = name, topic, partition_of(name)
        self.interval_s = topic.plan.interval_s
        self.shown: dict[str, list[int]] = {replica: [] for replica in replicas}
        self._follower: StreamFollower | None = None

    @property
    def follower(self) -> StreamFollower:
        """The client that follows the stream over all replicas."""
        assert self._follower is not None
        return self._follower

    def follow(self, urls: Sequence[str]) -> None:
        """Start the client of the stream."""
        self._follower = StreamFollower(urls, self.name)

    def has_ticked_since(self, moment: float) -> bool:
        """Whether the follower got a tick after a moment, in monotonic seconds."""
        arrived = self.follower.arrived
        return bool(arrived) and arrived[-1][1] > moment

    def stop(self) -> None:
        """Stop the follower."""
        if self._follower is not None:
            self._follower.stop()
