"""What is outside of clocksvc in the simulation: topics, a consumer group, producers, and the truth of what was
processed, written down before anybody reports it."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicShape
from clocksvc.clock.spec import ClockSpec
from clocksvc.stores.memory import MemoryStore
from clocksvc.ticklogs.memory import MemoryLog
from clocksvc.topic import Metadata
from clocksvc.topics.memory import MemoryTopics, TopicRecord
from tests.simulation.hub import Hub, Interrupted, SimulatedTime

TOPIC = "events"
INTERVAL_MS = 1_000
MAX_FUTURE_MS = 60_000
OUT_OF_ORDERNESS_MS = 300
MOST_SKEW_MS = 1_500


class DescribedTopics(Interrupted):
    """Topics of one process; notes which partitions its metadata readings have shown: those it must wait for."""

    def __init__(self, hub: Hub, topics: MemoryTopics, world: "World", process: str) -> None:
        super().__init__(hub, topics, "topics")
        self._world, self._process = world, process

    def describe(self, names: Collection[str]) -> Metadata:
        self._hub.give_way("topics.describe")
        metadata: Metadata = self._keeper.describe(names)
        shown = metadata.topics.get(TOPIC, TopicShape("", 0)).partitions
        self._world.described.setdefault(self._process, set()).update(self._world.partitions()[:shown])
        self._hub.give_way()
        return metadata


@dataclass
class World:
    """The truth.

    Attributes:
        processed: for each partition the highest honest timestamp of a prefix that was processed.
        committed: the group's offsets. owners: which consumer process reads which partition.
        poisoned: offsets with a timestamp far ahead. lied: partitions in which one of them may count.
        described: the partitions that a process's metadata readings have shown.
    """

    hub: Hub
    store_skew_ms: int = 0
    processed: dict[Partition, int] = field(default_factory=dict)
    first_processed: set[tuple[Partition, int]] = field(default_factory=set)
    committed: dict[Partition, int] = field(default_factory=dict)
    owners: dict[Partition, str] = field(default_factory=dict)
    described: dict[str, set[Partition]] = field(default_factory=dict)
    poisoned: set[tuple[Partition, int]] = field(default_factory=set)
    lied: set[Partition] = field(default_factory=set)
    muted: set[Partition] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.spec = ClockSpec(
            name="sim",
            topics=(TOPIC,),
            group="g",
            tick_log="sim-ticks",
            interval_ms=INTERVAL_MS,
            max_out_of_orderness_ms=OUT_OF_ORDERNESS_MS,
            max_future_ms=MAX_FUTURE_MS,
        )
        self.store = MemoryStore("sim", SimulatedTime(self.hub, self.store_skew_ms))
        self.log = MemoryLog()
        self.topics = MemoryTopics("cluster")
        self.topics.create(TOPIC, 3)

    @property
    def rng(self) -> random.Random:
        return self.hub.rng

    def partitions(self) -> list[Partition]:
        """The partitions that there are."""
        return [Partition(TOPIC, number) for number in range(self.topics.shape(TOPIC).partitions)]

    def produce(self, partition: Partition) -> None:
        """An honest producer: no record comes later than the out-of-orderness after its timestamp."""
        timestamp_ms = self.hub.now_ms - self.rng.randrange(OUT_OF_ORDERNESS_MS)
        self.topics.put(partition, TopicRecord(timestamp_ms, None, b"honest"))

    def poison(self, partition: Partition) -> None:
        """A producer whose clock is far ahead."""
        timestamp_ms = self.hub.now_ms + self.rng.choice([120_000, 1_800_000, 10**9])
        self.poisoned.add((partition, len(self.topics.records(partition))))
        self.topics.put(partition, TopicRecord(timestamp_ms, None, b"poison"))

    def process(self, partition: Partition, offset: int, timestamp_ms: int) -> bool:
        """A consumer has handled a record: durable now. True when it is the first time."""
        if (partition, offset) in self.poisoned and timestamp_ms <= self.hub.now_ms + MAX_FUTURE_MS + MOST_SKEW_MS:
            # Read so late that it is no longer far ahead: a timestamp that lies within bounds, which nobody can tell.
            self.lied.add(partition)
        if (partition, offset) not in self.poisoned or partition in self.lied:
            self.processed[partition] = max(self.processed.get(partition, 0), timestamp_ms)
        first = (partition, offset) not in self.first_processed
        self.first_processed.add((partition, offset))
        return first
