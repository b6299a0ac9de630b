"""One replica of the scheduler for one clock: which partitions it loads and owns, decided once a second.

The decisions are in `ownership.py`, without I/O. The partitions run elsewhere: each in a thread of its own
(`partition_thread.py`), or under the control of a test.
"""

import dataclasses
import logging
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.schedulers import SchedulerAnnouncement, Schedulers, SchedulersReading
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import FAILING_PARTITION, FENCED_AGAIN, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.scheduler.ownership import ANNOUNCE_EVERY_S, TTL_MS, Action, Outlook, OwnPartition
from clocksvc.scheduler.partition_state import PartitionState, PartitionStats

LEAVE_WITHIN_S = 30.0
"""How long a replica that ends waits until other replicas own its partitions."""
FAILING_AFTER_S = 15.0
"""How long a partition has a problem, or can't fence the previous owner, before other replicas are preferred for it.
It must be longer than a takeover."""
FENCED_RARELY_S = 60.0
"""An owner that was not fenced for this time fences again at once, if it still has the lease."""
_CLOSE_POLL_S = 0.1

logger = logging.getLogger("clocksvc.scheduler")


class ReplicaPartition(Protocol):
    """What a replica needs of one of its partitions. All of it can be used from any thread, and returns at once."""

    @property
    def state(self) -> PartitionState:
        """How far it is."""

    @property
    def stats(self) -> PartitionStats:
        """The figures that the replica announces, and `problem`."""

    @property
    def closed(self) -> bool:
        """True once everything has ended after `close`."""

    def acquire(self) -> None:
        """Become the owner: fence the previous owner at the next step. Idempotent."""

    def release(self) -> None:
        """Become a standby at the next step. Idempotent."""

    def close(self) -> None:
        """End after the present step, and free the table. Only `closed` is called afterwards."""


P = TypeVar("P", bound=ReplicaPartition)


@dataclasses.dataclass(slots=True)
class _Opened(Generic[P]):
    """A partition that this replica has opened. Times are monotonic seconds; for the rest see OwnPartition.

    Attributes:
        fenced_at: when it was last no longer the owner.
        fence_from: when it may fence again.
    """

    partition: P
    backoff: Backoff
    token: str | None = None
    confirmed: bool = False
    loaded_since: float | None = None
    free_since: float | None = None
    trouble_since: float | None = None
    fenced_at: float = float("-inf")
    fence_from: float = float("-inf")


class SchedulerReplica(Generic[P]):
    """One replica of the scheduler for one clock.

    `start` calls `step` in a thread. A test can call `step` instead.

    Attributes:
        replica: the unique name: `host:pid` and an id.

    Args:
        clock: the clock's name.
        partitions: the number of partitions of its schedules.
        replica: the unique name of this process.
        address: the URL at which other processes reach this process's HTTP server, without a path.
        schedulers: the announcements and leases of the clock.
        open_partition: begins to load a partition. It is called in the thread of `step`, and returns at once. When
            the state of the partition changes, `wake` should be called.
        new_id: returns a new unique text without spaces, for each acquisition of a lease.
        rng: the jitter of back-offs. For tests.
    """

    def __init__(
        self,
        clock: str,
        partitions: int,
        *,
        replica: str,
        address: str,
        schedulers: Schedulers,
        open_partition: Callable[[int], P],
        time: Time,
        new_id: Callable[[], str],
        rng: random.Random | None = None,
    ) -> None:
        self.replica = replica
        self._clock, self._count, self._address = clock, partitions, address
        self._schedulers, self._open, self._time, self._new_id = schedulers, open_partition, time, new_id
        self._rng = rng or random.Random()
        self._opened: dict[int, _Opened[P]] = {}
        self._closing: dict[int, P] = {}
        self._failing: dict[int, float] = {}
        self._backoffs: dict[int, Backoff] = {}
        self._reading: SchedulersReading | None = None
        self._outlook: Outlook | None = None
        self._started = False
        self._leaving, self._left = threading.Event(), threading.Event()
        self._leaving_since: float | None = None
        self._ended = False
        self._last_tokens: dict[int, str] = {}
        self._lines = RepeatedLines(logger)
        self._wake = threading.Event()
        self._thread = WorkerThread(
            f"clocksvc-scheduler-{clock}", self.step, log=logger, extra={"clock": clock}, wake=self._wake
        )

    # -- any thread ---------------------------------------------------------------------------------------------------

    @property
    def partitions(self) -> Mapping[int, P]:
        """The partitions that this replica has opened, by number: a copy."""
        return {number: opened.partition for number, opened in self._opened.copy().items()}

    @property
    def reading(self) -> SchedulersReading | None:
        """What the store last returned; None before its first answer."""
        return self._reading

    @property
    def settled(self) -> bool:
        """True if each partition that this replica should own is loaded here. False before the first answer."""
        outlook, states = self._outlook, {number: one.state for number, one in self.partitions.items()}
        return outlook is not None and all(
            states.get(number, PartitionState.LOADING) is not PartitionState.LOADING
            for number, owner in outlook.owners.items()
            if owner == self.replica
        )

    @property
    def left(self) -> bool:
        """True once all partitions are closed after `leave`, so that the process can end."""
        return self._left.is_set()

    def start(self) -> None:
        """Call `step` in a thread until the replica has left. Call this once."""
        self._thread.start()

    def wake(self) -> None:
        """Call `step` now, because the state of a partition has changed. Returns at once."""
        self._wake.set()

    def leave(self) -> None:
        """Announce that this replica ends. Returns at once; signal handlers may call it.

        The replica works until other live replicas own its partitions, for at most 30 s; without another live replica
        it ends at once. Then `left` is true.
        """
        self._leaving.set()
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until the replica has left, for at most `timeout_s`; True if it has."""
        return self._left.wait(max(0.0, timeout_s))

    # -- the thread of `step` -----------------------------------------------------------------------------------------

    def step(self) -> float | None:
        """Announce the replica, and open, acquire, release and close partitions. Blocks for a few calls to the store.

        Without an answer of the store, owners work on, and nothing else changes.

        Returns:
            The seconds until the next call; None once the replica has left.
        """
        began = self._time.monotonic()
        if self._leaving.is_set() and self._leaving_since is None:
            self._leaving_since = began
        if not self._ended:
            try:
                self._announce_and_act()
            except StoreUnavailable as error:
                for opened in self._opened.values():
                    opened.trouble_since = None  # no other replica could take over
                self._lines.log(
                    began,
                    logging.WARNING,
                    "store",
                    "schedules of clock %s: the store does not answer, and %d partitions are owned without it: %s",
                    self._clock,
                    sum(one.partition.state is PartitionState.OWNER for one in self._opened.values()),
                    error,
                    extra={"clock": self._clock},
                )
            else:
                self._lines.clear()
            self._ended = self._should_end()
        self._closing = {number: one for number, one in self._closing.items() if not one.closed}
        if not self._ended:
            return max(0.0, began + ANNOUNCE_EVERY_S - self._time.monotonic())
        return self._end()

    def _announce_and_act(self) -> None:
        self._note_troubles()
        announcement = self._announcement()
        reading = self._schedulers.announce(announcement, TTL_MS, self._tokens())
        outlook = Outlook(self._clock, self._count, self.replica, reading, self._started)
        self._reading, self._outlook = reading, outlook
        self._started = self._started or outlook.complete
        for number in range(self._count):
            own = self._own(number, reading)
            self._act(number, outlook.decide(number, own), announcement, reading)

    def _announcement(self) -> SchedulerAnnouncement:
        stats = {number: one.partition.stats for number, one in self._opened.items()}
        loaded = {number for number, one in stats.items() if one.state is not PartitionState.LOADING}
        return SchedulerAnnouncement(
            replica=self.replica,
            address=self._address,
            leaving=self._leaving_since is not None,
            loaded=frozenset(loaded) - self._left_to_others,
            owned=frozenset(number for number, one in stats.items() if one.state is PartitionState.OWNER),
            failing=frozenset(self._failing),
            stats={number: dataclasses.asdict(one) | {"state": one.state.value} for number, one in stats.items()},
        )

    def _tokens(self) -> Mapping[int, str]:
        return {number: opened.token for number, opened in self._opened.items() if opened.token is not None}

    def _own(self, number: int, reading: SchedulersReading) -> OwnPartition | None:
        """Return what the decision needs of a partition, after noting what the reading and its state say."""
        opened = self._opened.get(number)
        if opened is None:
            return None
        now, state, lease = self._time.monotonic(), opened.partition.state, reading.leases.get(number)
        if state is not PartitionState.OWNER:
            if opened.confirmed:
                self._note_end_of_term(opened)
            opened.confirmed = False
        elif lease is not None and lease.token == opened.token and not opened.confirmed:
            opened.confirmed = True
            logger.info(
                "owns partition %d of the schedules of clock %s", number, self._clock, extra=self._extra(number)
            )
        loaded = state is not PartitionState.LOADING
        opened.loaded_since = (opened.loaded_since if opened.loaded_since is not None else now) if loaded else None
        opened.free_since = (opened.free_since if opened.free_since is not None else now) if lease is None else None
        return OwnPartition(
            state=state,
            token=opened.token,
            confirmed=opened.confirmed,
            loaded_s=0.0 if opened.loaded_since is None else now - opened.loaded_since,
            free_s=0.0 if opened.free_since is None else now - opened.free_since,
            failing=number in self._left_to_others,
        )

    def _note_end_of_term(self, opened: _Opened[P]) -> None:
        """Note when an owner that was fenced may fence again, if it still has the lease: at once, but not often."""
        now = self._time.monotonic()
        if now - opened.fenced_at >= FENCED_RARELY_S:
            opened.backoff.reset()
        else:
            opened.fence_from = now + opened.backoff.next()
        opened.fenced_at = now

    def _act(
        self, number: int, action: Action, announcement: SchedulerAnnouncement, reading: SchedulersReading
    ) -> None:
        if action is Action.OPEN and number not in self._closing:
            self._opened[number] = _Opened(self._open(number), Backoff(FENCED_AGAIN, self._rng))
        elif action is Action.ACQUIRE:
            opened, lease = self._opened[number], reading.leases.get(number)
            # The token is known first: without an answer, the store may have written the lease.
            opened.token = self._new_id()
            instead_of = None if lease is None else lease.token
            if self._schedulers.acquire(number, opened.token, announcement, TTL_MS, instead_of):
                opened.partition.acquire()
            else:
                opened.token = None
        elif action is Action.FENCE:
            if self._time.monotonic() >= self._opened[number].fence_from:
                self._opened[number].partition.acquire()
        elif action is Action.STAND_BY:
            self._opened[number].partition.release()
            self._release_lease(number, reading)
        elif action is Action.CLOSE:
            self._release_lease(number, reading)
            self._close(number)

    def _release_lease(self, number: int, reading: SchedulersReading) -> None:
        opened, lease = self._opened[number], reading.leases.get(number)
        token, opened.token = opened.token, None
        if token is not None and lease is not None and lease.token == token:
            self._schedulers.release(number, token)

    def _close(self, number: int) -> None:
        partition = self._opened.pop(number).partition
        partition.close()
        self._closing[number] = partition
        logger.info("closes partition %d of the schedules of clock %s", number, self._clock, extra=self._extra(number))

    def _note_troubles(self) -> None:
        """Note for which partitions other replicas are preferred, because they have had a problem for too long."""
        now = self._time.monotonic()
        self._failing = {number: until for number, until in self._failing.items() if now < until}
        for number, opened in self._opened.items():
            stats = opened.partition.stats
            fencing = opened.token is not None and stats.state is PartitionState.LOADED
            if stats.problem is None and not fencing:
                opened.trouble_since = None
                if opened.confirmed and stats.state is PartitionState.OWNER:
                    self._failing.pop(number, None)
                    self._backoffs.pop(number, None)
            elif opened.trouble_since is None:
                opened.trouble_since = now
            elif now - opened.trouble_since >= FAILING_AFTER_S:
                self._note_failing(number, stats.problem or "it could not fence the previous owner")
                opened.trouble_since = now

    def _note_failing(self, number: int, problem: str) -> None:
        wait_s = self._backoffs.setdefault(number, Backoff(FAILING_PARTITION, self._rng)).next()
        self._failing[number] = self._time.monotonic() + wait_s
        logger.warning(
            "partition %d of the schedules of clock %s has had a problem for %.0f s, and replicas without a problem "
            "are preferred for %.0f s: %s",
            number,
            self._clock,
            FAILING_AFTER_S,
            wait_s,
            problem,
            extra=self._extra(number),
        )

    @property
    def _left_to_others(self) -> frozenset[int]:
        """The failing partitions that this replica leaves to healthy replicas. If there are none, it keeps trying."""
        return frozenset(self._failing if self._outlook is not None and self._outlook.other_is_healthy else ())

    def _should_end(self) -> bool:
        if self._leaving_since is None:
            return False
        owns = any(one.partition.state is PartitionState.OWNER for one in self._opened.values())
        alone = self._outlook is not None and self._outlook.complete and self._outlook.alone
        return not owns or alone or self._time.monotonic() - self._leaving_since >= LEAVE_WITHIN_S

    def _end(self) -> float | None:
        self._last_tokens |= self._tokens()
        for number in list(self._opened):
            self._close(number)
        if any(not one.closed for one in self._closing.values()):
            return _CLOSE_POLL_S
        with suppress(StoreUnavailable):  # they expire
            self._schedulers.withdraw(self.replica, self._last_tokens)
        self._left.set()
        return None

    def _extra(self, number: int) -> dict[str, object]:
        return {"clock": self._clock, "partition": number}
