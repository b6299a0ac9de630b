"""Store, tick log and topics as one simulated process uses them: other processes may run before and after each call,
and this process alone may be cut off from any of them, or get no answer."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable, StoreUnavailable
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType
from tests.faulty.store import FaultyStore
from tests.faulty.tick_log import FaultyLog
from tests.faulty.topics import FaultyTopics
from tests.simulation.scheduler import Scheduler


class InjectedCrash(RuntimeError):
    """A bug inside a leader's step: its thread must catch it and start over."""


@dataclass
class Link:
    """The faults of one process's connections.

    Attributes:
        store_cut, kafka_cut: no call gets through.
        answers_lost: how many of the store's next answers are lost, though the calls were executed.
        crash: the next call raises an unexpected exception.
        hidden: topics of which this process's metadata shows only the first partitions.
    """

    store_cut: bool = False
    kafka_cut: bool = False
    answers_lost: int = 0
    crash: bool = False
    hidden: dict[str, int] = field(default_factory=dict)

    def heal(self) -> None:
        """End all faults."""
        self.store_cut = self.kafka_cut = self.crash = False
        self.answers_lost = 0
        self.hidden.clear()


class InterceptedStore:
    """A store as one process uses it, under a name for the trace. `watchers` see a call and its answer."""

    def __init__(
        self,
        scheduler: Scheduler,
        store: FaultyStore,
        link: Link,
        name: str,
        watchers: Mapping[str, "Watcher"] | None = None,
    ) -> None:
        self._scheduler, self._store, self._link, self._name = scheduler, store, link, name
        self._watchers = watchers or {}

    def __getattr__(self, name: str) -> Any:
        scheduler, link, method = self._scheduler, self._link, getattr(self._store, name)
        before, after, watch = f"{self._name}.{name}", f"{self._name}.{name} done", self._watchers.get(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            scheduler.between(before)
            self._reach()
            result = method(*args, **kwargs) if watch is None else watch(lambda: method(*args, **kwargs), args)
            if link.answers_lost:
                link.answers_lost -= 1
                scheduler.between(f"{after}, answer lost")
                raise StoreUnavailable
            scheduler.between(after)
            return result

        setattr(self, name, call)
        return call

    def counters(self) -> Counters:
        """For display only: no promise depends on when they are read, so this is no step."""
        if self._link.store_cut:
            raise StoreUnavailable
        return self._store.counters()

    def wait_for_notification(self, timeout_s: float) -> bool:
        """As BLPOP: blocks in simulated time; another process may take the notification in between."""
        store, link = self._store, self._link
        self._reach()
        self._scheduler.wait(timeout_s, lambda: store._state.notified or store.broken or link.store_cut)
        self._reach()
        return store.wait_for_notification(0)

    def _reach(self) -> None:
        if self._link.crash and self._name == "store":
            self._link.crash = False
            raise InjectedCrash
        if self._link.store_cut or self._store.broken:
            self._scheduler.wait(self._scheduler.rng.uniform(0.05, 0.5))
            if self._link.store_cut:
                raise StoreUnavailable


Watcher = Callable[[Callable[[], Any], tuple[Any, ...]], Any]


class InterceptedTickLog:
    """The brokers' side of a tick log as one process sees it, in place of a MemoryLog for MemoryTickLog."""

    def __init__(
        self, scheduler: Scheduler, log: FaultyLog, link: Link, fenced: Callable[[], None], wrote: Callable[[], None]
    ) -> None:
        self._scheduler, self._log, self._link = scheduler, log, link
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
        """Other processes may act; a call to brokers that don't answer takes its time."""
        self._scheduler.between(f"log.{step}")
        if self.unavailable:
            self._scheduler.wait(self._scheduler.rng.uniform(0.1, 1.5))

    def fence(self) -> int:
        """Note who may write from now on."""
        epoch = self._log.fence()
        self._fenced()
        return epoch

    def begin_own(self, messages: Any) -> None:
        """Note who began the transaction."""
        self._wrote()
        self._log.begin_own(messages)

    def as_log(self) -> FaultyLog:
        """For MemoryTickLog."""
        return cast(FaultyLog, self)


class InterceptedTopics:
    """Topics as one process uses them."""

    def __init__(
        self,
        scheduler: Scheduler,
        topics: FaultyTopics,
        link: Link,
        described: Callable[[int, Mapping[str, TopicMetadata]], None] = lambda began, shapes: None,
        beat: Callable[[Collection[Partition], int], None] = lambda partitions, timestamp_ms: None,
    ) -> None:
        self._scheduler, self._topics, self._link = scheduler, topics, link
        self._described, self._beat = described, beat

    def describe(self, names: Collection[str]) -> ClusterMetadata:
        began = self._scheduler.moment()
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
        self._scheduler.between("topics.describe done")
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
        self._scheduler.between("topics.put_heartbeats")
        if self._link.kafka_cut:
            self._scheduler.wait(timeout_s)
            return dict.fromkeys(partitions, "cut off")
        self._beat(partitions, timestamp_ms)
        return self._topics.put_heartbeats(partitions, timestamp_ms, key, payload, timeout_s)

    def close(self) -> None:
        """Nothing to free."""

    def _ask(self, what: str) -> None:
        self._scheduler.between(what)
        if self._link.kafka_cut:
            self._scheduler.wait(self._scheduler.rng.uniform(0.1, 1.5))
            raise MetadataUnavailable
