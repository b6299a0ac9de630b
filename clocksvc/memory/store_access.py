"""The content of the in-memory store, with the leases and notices of all logs, and the access to it."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.logs import log_of
from clocksvc.errors import LeaseLost
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.progress import Snapshot
from clocksvc.interfaces.time import Time
from clocksvc.memory.scheduler_state import StoredSchedulers
from clocksvc.memory.store_state import StoredClock

_KEPT_NOTICES = 1_000
_SLOWEST = 10


@dataclass(frozen=True, slots=True)
class StoredLease:
    """The lease of a leader; it expires by the store's clock."""

    token: str
    replica: str
    expires_ms: int

    @property
    def host_and_pid(self) -> str:
        """The first part of the replica's name."""
        return self.replica.partition(" ")[0]


@dataclass(slots=True)
class StoredLog:
    """Everything that a store can lose of one log.

    Attributes:
        mark: the mark of the log to which the content belongs.
        unreleased: the replica that acquired the lease last; None after a release.
        announcements: by replica, with the time at which they expire.
        announcements_complete_since_ms: the time of the first announcement after announcements were lost; None until
            this announcement.
        configs: the configurations of live replicas as JSON, by digest.
        notified: True until the leader's `wait_for_notification` returns.
        last_notice: the number of the newest notice; 0 if there is none.
        notices: the clocks of the newest notices. The last one belongs to `last_notice`.
    """

    announcements_complete_since_ms: int | None
    mark: StoreMark | None = None
    lease: StoredLease | None = None
    unreleased: str | None = None
    announcements: dict[str, tuple[Announcement, int]] = field(default_factory=dict)
    configs: dict[str, str] = field(default_factory=dict)
    notified: bool = False
    last_notice: int = 0
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT_NOTICES))

    def leader(self, now_ms: int) -> StoredLease | None:
        """Return the lease, unless it has expired."""
        return self.lease if self.lease is not None and now_ms < self.lease.expires_ms else None

    def live(self, now_ms: int) -> tuple[Announcement, ...]:
        """Return the announcements of live replicas, in the order of their names."""
        return tuple(one for _, (one, expires_ms) in sorted(self.announcements.items()) if now_ms < expires_ms)

    def announce(self, announcement: Announcement, expires_ms: int, configs: Mapping[str, str], now_ms: int) -> bool:
        """Store an announcement. False if the configuration of an announced digest is missing."""
        since_ms = self.announcements_complete_since_ms
        if since_ms is None or since_ms > now_ms:  # a later time than now: the store's clock was set back
            self.announcements_complete_since_ms = now_ms
        self.announcements[announcement.replica] = announcement, expires_ms
        self.configs |= configs
        self._drop_unused_configs(now_ms)
        return set(announcement.digests.values()) <= self.configs.keys()

    def withdraw(self, replica: str, now_ms: int) -> None:
        """Remove an announcement."""
        self.announcements.pop(replica, None)
        self._drop_unused_configs(now_ms)

    def add_notice(self, clock: str) -> None:
        """Add a notice: the clock has new ticks."""
        self.last_notice += 1
        self.notices.append(clock)

    def notices_after(self, number: int) -> Collection[str] | None:
        """Return the clocks of all notices after a number; None if some of them are not kept or were lost."""
        missing = self.last_notice - number
        if not 0 <= missing <= len(self.notices):
            return None
        return list(self.notices)[len(self.notices) - missing :] if missing else []

    def _drop_unused_configs(self, now_ms: int) -> None:
        used = {digest for one in self.live(now_ms) for digest in one.digests.values()}
        self.configs = {digest: config for digest, config in self.configs.items() if digest in used}


@dataclass(slots=True)
class StoreContent:
    """Everything that a store can lose.

    Attributes:
        announcements_complete_since_ms: the value for logs without announcements. With 0, all replicas count as
            announced from the beginning.
    """

    announcements_complete_since_ms: int | None = None
    logs: dict[int, StoredLog] = field(default_factory=dict)
    clocks: dict[str, StoredClock] = field(default_factory=dict)
    schedulers: dict[str, StoredSchedulers] = field(default_factory=dict)

    def log(self, number: int) -> StoredLog:
        """Return the content of one log."""
        return self.logs.setdefault(number, StoredLog(self.announcements_complete_since_ms))

    def clock(self, name: str) -> StoredClock:
        """Return the content of one clock."""
        return self.clocks.setdefault(name, StoredClock())

    def snapshot(self, name: str, now_ms: int) -> Snapshot:
        """Return the state of one clock for readers."""
        log, clock = self.log(log_of(name)), self.clock(name)
        lease = log.leader(now_ms)
        announced = None if lease is None else log.announcements.get(lease.replica)
        required = clock.required()
        unknown = sum(raw_ms is None for _, raw_ms in required)
        return Snapshot(
            now_ms=now_ms,
            parameters=clock.parameters,
            leader_status=clock.status_at(now_ms),
            leader=None if lease is None else lease.host_and_pid,
            started_ms=clock.started_ms,
            last_tick_ms=clock.last_tick_ms(),
            known=len(required) - unknown,
            unknown=unknown,
            excluded=len(clock.excluded),
            rejected=len(clock.rejected),
            slowest=tuple(clock.clock_of(partition) for partition, _ in required[:_SLOWEST]),
            exclusions=clock.exclusions,
            pause=clock.pause,
            leader_lacks_clock=announced is not None and name not in announced[0].digests,
            observation=clock.observation,
        )

    def schedulers_of(self, clock: str) -> StoredSchedulers:
        """Return the content of one clock's scheduler."""
        return self.schedulers.setdefault(clock, StoredSchedulers())


class StoreAccess:
    """The access to a store's content, by one thread at a time.

    `wait` waits in real time, not in the time of `time`. With a timeout of 0 it returns at once.
    """

    def __init__(self, time: Time) -> None:
        self.time = time
        self.content = StoreContent(announcements_complete_since_ms=0)
        self._changed = threading.Condition()

    @contextmanager
    def answering(self) -> Iterator[StoreContent]:
        """Give one thread access to the content."""
        with self._changed:
            yield self.content

    @contextmanager
    def leading(self, log: int, token: str) -> Iterator[StoreContent]:
        """As `answering`; raises LeaseLost if the token does not have the lease of a log."""
        with self.answering() as content:
            lease = content.log(log).leader(self.time.now_ms())
            if lease is None or lease.token != token:
                raise LeaseLost
            yield content

    def wait(self, condition: Callable[[StoreContent], bool], timeout_s: float) -> None:
        """Block until a condition is true, for at most `timeout_s`."""
        with self.answering():
            if timeout_s > 0:
                self._changed.wait_for(lambda: condition(self.content), timeout_s)

    def notify(self, log: int) -> None:
        """Notify the leader of a log."""
        with self.answering() as content:
            content.log(log).notified = True
            self.changed()

    def add_notice(self, clock: str) -> None:
        """Notify all readers of a clock."""
        with self.answering() as content:
            content.log(log_of(clock)).add_notice(clock)
            self.changed()

    def changed(self) -> None:
        """Evaluate the conditions of all waiting threads again."""
        with self._changed:
            self._changed.notify_all()
