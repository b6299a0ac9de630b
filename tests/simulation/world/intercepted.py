"""Store, tick log and topics as one simulated process uses them.

Other processes may run before and after each call. This process alone may be cut off from any of them, or get no
answer.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.clock.logs import group_by_log
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.errors import MetadataUnavailable, StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading, StreamTail
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds, TickLog
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType
from tests.faulty.commits import TornTransaction
from tests.faulty.tick_log import FaultyLog
from tests.faulty.topics import FaultyTopics
from tests.simulation.world.scheduler import Scheduler
from tests.simulation.world.store_control import StoreControl


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
        without_ids: this process's broker gives no topic ids.
        outdated: metadata that this process's broker still gives, though the topics have changed since.
    """

    store_cut: bool = False
    kafka_cut: bool = False
    answers_lost: int = 0
    crash: bool = False
    hidden: dict[str, int] = field(default_factory=dict)
    without_ids: bool = False
    outdated: dict[str, TopicMetadata] = field(default_factory=dict)

    def heal(self) -> None:
        """End all faults."""
        self.store_cut = self.kafka_cut = self.crash = self.without_ids = False
        self.answers_lost = 0
        self.hidden.clear()
        self.outdated.clear()


Watcher = Callable[[Callable[[], Any], tuple[Any, ...]], Any]
"""Gets a call and its arguments, executes it, and returns its answer."""


class Intercepted:
    """One of the store's interfaces as one process uses it. `watchers` see a call and its answer, by method.

    The name is part of the names of steps, such as `leader.publish` and `leader.publish done`.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        access: StoreControl,
        target: object,
        link: Link,
        name: str,
        watchers: Mapping[str, Watcher] | None = None,
    ) -> None:
        self._scheduler, self._access, self._target, self._link, self._name = scheduler, access, target, link, name
        self._watchers = watchers or {}

    def __getattr__(self, name: str) -> Any:
        scheduler, link, method = self._scheduler, self._link, getattr(self._target, name)
        before, after, watch = f"{self._name}.{name}", f"{self._name}.{name} done", self._watchers.get(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            scheduler.between(before)
            self._reach()
            if watch is None:
                result = method(*args, **kwargs)
            else:
                result = watch(lambda: method(*args, **kwargs), (*args, *kwargs.values()))
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
        return cast(Counters, cast(Any, self._target).counters())

    def _reach(self) -> None:
        if self._link.crash and self._name == "leader":
            self._link.crash = False
            raise InjectedCrash
        if self._link.store_cut or self._access.broken:
            self._scheduler.wait(self._scheduler.rng.uniform(0.05, 0.5))
            if self._link.store_cut:
                raise StoreUnavailable


class InterceptedLeases(Intercepted):
    """The leases of one log as one process uses them."""

    def __init__(
        self,
        scheduler: Scheduler,
        access: StoreControl,
        log: int,
        link: Link,
        watchers: Mapping[str, Watcher] | None = None,
    ) -> None:
        super().__init__(scheduler, access, access.leases(log), link, "leader", watchers)
        self._log = log

    def wait_for_notification(self, timeout_s: float) -> bool:
        """As BLPOP: blocks in simulated time; another process may take the notification in between."""
        access, link, log = self._access, self._link, self._log
        self._reach()
        self._scheduler.wait(timeout_s, lambda: access.notified(log) or access.broken or link.store_cut)
        self._reach()
        return bool(cast(Any, self._target).wait_for_notification(0))


class InterceptedNotices(Intercepted):
    """The notices as one process follows them."""

    def __init__(
        self,
        scheduler: Scheduler,
        access: StoreControl,
        clocks: Collection[str],
        link: Link,
        missed: Callable[[], None],
    ) -> None:
        super().__init__(scheduler, access, access.notices(clocks), link, "notices")
        self._logs, self._missed, self._first = tuple(group_by_log(clocks)), missed, True

    def read(self, timeout_s: float) -> Collection[str] | None:
        """As XREAD: blocks in simulated time."""
        access, link = self._access, self._link
        before = access.notice_ends(self._logs)
        self._scheduler.between("notices.read")
        self._reach()
        if not self._first and access.notice_ends(self._logs) == before:
            self._scheduler.wait(
                timeout_s, lambda: access.broken or link.store_cut or access.notice_ends(self._logs) != before
            )
            self._reach()
        found: Collection[str] | None = cast(Any, self._target).read(0)
        if found is None and not self._first:
            self._missed()
        self._first = False
        return found


class InterceptedReads:
    """The reads of many clocks as one process uses them. They return errors, and raise none."""

    def __init__(self, scheduler: Scheduler, access: StoreControl, link: Link) -> None:
        self._reads: Any = Intercepted(scheduler, access, access.clock_reads(), link, "feed")

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        try:
            return cast(Mapping[str, ClockReading | StoreUnavailable], self._reads.read(clocks))
        except StoreUnavailable as error:
            return dict.fromkeys(clocks, error)

    def tails(self, after_ms: Mapping[str, int | None], limit: int) -> Mapping[str, StreamTail | StoreUnavailable]:
        try:
            return cast(Mapping[str, StreamTail | StoreUnavailable], self._reads.tails(after_ms, limit))
        except StoreUnavailable as error:
            return dict.fromkeys(after_ms, error)


class InterceptedLog:
    """The brokers' side of a log as one process sees it, in place of a FaultyLog for FaultyTickLog."""

    def __init__(
        self,
        scheduler: Scheduler,
        log: FaultyLog,
        link: Link,
        fenced: Callable[[], None],
        began: Callable[[FaultyLog], None],
        tore: Callable[[], None],
    ) -> None:
        self._scheduler, self._log, self._link = scheduler, log, link
        self._fenced, self._began, self._tore = fenced, began, tore
        self._is_new = True

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
        if step == "append.torn":
            self._tore()
        if step == "append.unanswered":
            self._scheduler.wait(1.0)
        elif self.unavailable:
            self._scheduler.wait(self._scheduler.rng.uniform(0.1, 1.5))

    @property
    def torn(self) -> list[TornTransaction]:
        """Only a previous transaction of the same producer can end one, so its first one can't be torn."""
        return [] if self._is_new else self._log.torn

    def fence(self) -> int:
        """Note which process may write from now on."""
        epoch = self._log.fence()
        self._is_new = True
        self._fenced()
        return epoch

    def begin_own(self, messages: Any) -> None:
        """Note which process began the transaction."""
        self._log.begin_own(messages)
        self._is_new = False
        self._began(self._log)

    def as_log(self) -> FaultyLog:
        """For FaultyTickLog."""
        return cast(FaultyLog, self)


class WatchedTickLog:
    """A TickLog whose calls are seen before and after by `watch(method, call)`."""

    def __init__(self, ticklog: TickLog, watch: Callable[[str, tuple[Any, ...], Callable[[], Any]], Any]) -> None:
        self._ticklog, self._watch = ticklog, watch

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        self._ticklog.ensure_topic(keep_alive)

    def fence(self, keep_alive: KeepAlive) -> None:
        self._watch("fence", (), lambda: self._ticklog.fence(keep_alive))

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        return self._ticklog.stable_bounds(keep_alive)

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        return cast(LogBounds, self._watch("bounds", (), lambda: self._ticklog.bounds(keep_alive)))

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        return cast(
            list[LogEntry], self._watch("read", (start, end), lambda: self._ticklog.read(start, end, keep_alive))
        )

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        return self._ticklog.offset_at(timestamp_ms, keep_alive)

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        return cast(
            int, self._watch("append", (messages, end), lambda: self._ticklog.append(messages, end, keep_alive))
        )

    def close(self) -> None:
        self._ticklog.close()


class InterceptedTopics:
    """Topics as one process uses them."""

    def __init__(
        self,
        scheduler: Scheduler,
        topics: FaultyTopics,
        link: Link,
        described: Callable[[int, Collection[str], Mapping[str, TopicMetadata]], None] = lambda began, names, found: (
            None
        ),
        before_heartbeats: Callable[[Collection[Partition], int], None] = lambda partitions, timestamp_ms: None,
    ) -> None:
        self._scheduler, self._topics, self._link = scheduler, topics, link
        self._described, self._before_heartbeats = described, before_heartbeats

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        began = self._scheduler.moment()
        self._ask("topics.describe")
        metadata = self._topics.describe(topics)
        hidden, without_ids = self._link.hidden, self._link.without_ids
        if hidden or without_ids or self._link.outdated:
            listed = {name: self._link.outdated.get(name, found) for name, found in metadata.topics.items()}
            shown = {
                name: TopicMetadata(
                    "" if without_ids else found.id, min(found.partitions, hidden.get(name, found.partitions))
                )
                for name, found in listed.items()
            }
            metadata = ClusterMetadata(
                metadata.cluster_id, {name: found for name, found in shown.items() if found.partitions}
            )
        self._described(began, topics, metadata.topics)
        self._scheduler.between("topics.describe done")
        return metadata

    def timestamp_types(self, topics: Collection[str]) -> Mapping[str, TimestampType]:
        self._ask("topics.timestamp_types")
        return self._topics.timestamp_types(topics)

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
        self._before_heartbeats(partitions, timestamp_ms)
        return self._topics.put_heartbeats(partitions, timestamp_ms, key, payload, timeout_s)

    def close(self) -> None:
        """Nothing to free."""

    def _ask(self, what: str) -> None:
        self._scheduler.between(what)
        if self._link.kafka_cut:
            self._scheduler.wait(self._scheduler.rng.uniform(0.1, 1.5))
            raise MetadataUnavailable
