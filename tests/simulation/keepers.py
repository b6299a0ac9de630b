"""Store, tick log and topics as one simulated process sees them: others may run before and after each call, and this
process alone may be cut off from any of them, or get no answer to what was done."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable, StoreUnavailable
from clocksvc.interfaces.store import Counters
from clocksvc.interfaces.topics import (
    ClusterMetadata,
    TimestampType,
)
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.tick_log import MemoryLog
from clocksvc.memory.topics import MemoryTopics
from tests.simulation.hub import Hub


class BlownUp(RuntimeError):
    """A defect of ours inside of a leader's step: its thread must catch it and begin anew."""


@dataclass
class Link:
    """What is wrong with one process's ways to the world.

    Attributes:
        store_cut, kafka_cut: nothing gets through.
        answers_lost: so many of the store's next answers never come, though all was done.
        blow_up: the next call ends in an exception that nobody expects.
        hidden: topics of which this process's metadata shows only the first partitions.
    """

    store_cut: bool = False
    kafka_cut: bool = False
    answers_lost: int = 0
    blow_up: bool = False
    hidden: dict[str, int] = field(default_factory=dict)

    def heal(self) -> None:
        """All is well again."""
        self.store_cut = self.kafka_cut = self.blow_up = False
        self.answers_lost = 0
        self.hidden.clear()


class SeenStore:
    """A store as one process uses it, under a name for the trace. `watched` hears of a call and of its answer."""

    def __init__(
        self, hub: Hub, store: MemoryStore, link: Link, name: str, watched: Mapping[str, "Watcher"] | None = None
    ) -> None:
        self._hub, self._store, self._link, self._name = hub, store, link, name
        self._watched = watched or {}

    def __getattr__(self, name: str) -> Any:
        hub, link, method = self._hub, self._link, getattr(self._store, name)
        before, after, watch = f"{self._name}.{name}", f"{self._name}.{name} done", self._watched.get(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            hub.between(before)
            self._reach()
            result = method(*args, **kwargs) if watch is None else watch(lambda: method(*args, **kwargs), args)
            if link.answers_lost:
                link.answers_lost -= 1
                hub.between(f"{after}, answer lost")
                raise StoreUnavailable
            hub.between(after)
            return result

        setattr(self, name, call)
        return call

    def counters(self) -> Counters:
        """Figures for people: no promise hangs on when they are read, so this is no step."""
        if self._link.store_cut:
            raise StoreUnavailable
        return self._store.counters()

    def wait_for_notification(self, timeout_s: float) -> bool:
        """As BLPOP: blocks in simulated time; another process may take the wake-up away in between."""
        store, link = self._store, self._link
        self._reach()
        self._hub.wait(timeout_s, lambda: store._state.woken or store.broken or link.store_cut)
        self._reach()
        return store.wait_for_notification(0)

    def _reach(self) -> None:
        if self._link.blow_up and self._name == "store":
            self._link.blow_up = False
            raise BlownUp
        if self._link.store_cut or self._store.broken:
            self._hub.wait(self._hub.rng.uniform(0.05, 0.5))
            if self._link.store_cut:
                raise StoreUnavailable


Watcher = Callable[[Callable[[], Any], tuple[Any, ...]], Any]


class SeenLog:
    """The brokers' side of a tick log as one process sees it, for a MemoryTickLog in a MemoryLog's place."""

    def __init__(
        self, hub: Hub, log: MemoryLog, link: Link, fenced: Callable[[], None], wrote: Callable[[], None]
    ) -> None:
        self._hub, self._log, self._link = hub, log, link
        self._fenced, self._wrote = fenced, wrote

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    @property
    def unavailable(self) -> bool:
        return self._log.unavailable or self._link.kafka_cut

    @property
    def shape(self) -> Any:
        return self._log.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._log.shape = shape

    def at(self, step: str) -> None:
        """Others may act; a call to brokers who don't answer takes its time."""
        self._hub.between(f"log.{step}")
        if self.unavailable:
            self._hub.wait(self._hub.rng.uniform(0.1, 1.5))

    def fence(self) -> int:
        """Note who may write from now on."""
        epoch = self._log.fence()
        self._fenced()
        return epoch

    def begin_own(self, messages: Any) -> None:
        """Note whose transaction it is."""
        self._wrote()
        self._log.begin_own(messages)

    def as_log(self) -> MemoryLog:
        """For MemoryTickLog."""
        return cast(MemoryLog, self)


class SeenTopics:
    """Topics as one process asks for them."""

    def __init__(
        self,
        hub: Hub,
        topics: MemoryTopics,
        link: Link,
        described: Callable[[int, Mapping[str, TopicMetadata]], None] = lambda began, shapes: None,
        beat: Callable[[Collection[Partition], int], None] = lambda partitions, timestamp_ms: None,
    ) -> None:
        self._hub, self._topics, self._link = hub, topics, link
        self._described, self._beat = described, beat

    def describe(self, names: Collection[str]) -> ClusterMetadata:
        began = self._hub.moment()
        self._ask("topics.describe")
        metadata = self._topics.describe(names)
        hidden = self._link.hidden
        if hidden:
            shown = {
                name: TopicMetadata(shape.id, min(shape.partitions, hidden.get(name, shape.partitions)))
                for name, shape in metadata.topics.items()
            }
            metadata = ClusterMetadata(
                metadata.cluster_id, {name: shape for name, shape in shown.items() if shape.partitions}
            )
        self._described(began, metadata.topics)
        self._hub.between("topics.describe done")
        return metadata

    def timestamp_types(self, names: Collection[str]) -> Mapping[str, TimestampType]:
        self._ask("topics.timestamp_types")
        return self._topics.timestamp_types(names)

    def put_heartbeats(
        self,
        partitions: Collection[Partition],
        timestamp_ms: int,
        key: bytes | None,
        payload: bytes | None,
        timeout_s: float,
    ) -> Mapping[Partition, str | None]:
        self._hub.between("topics.put_heartbeats")
        if self._link.kafka_cut:
            self._hub.wait(timeout_s)
            return dict.fromkeys(partitions, "cut off")
        self._beat(partitions, timestamp_ms)
        return self._topics.put_heartbeats(partitions, timestamp_ms, key, payload, timeout_s)

    def close(self) -> None:
        """Nothing to free."""

    def _ask(self, what: str) -> None:
        self._hub.between(what)
        if self._link.kafka_cut:
            self._hub.wait(self._hub.rng.uniform(0.1, 1.5))
            raise MetadataUnavailable
