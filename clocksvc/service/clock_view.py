"""One replica's view of a clock. It combines the feed's last tick, the store's snapshot and the leader's status.

The clock never goes back below a tick that the feed has shown. While the store does not answer, the view has a hold
with the reason `store_unavailable`.
"""

import json
import threading
from collections.abc import Callable
from typing import NamedTuple

from clocksvc.clock.holds import Hold, Reason, status
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.errors import ClocksvcError, StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.observations import Observation, UpstreamObservation
from clocksvc.interfaces.progress import PartitionClock, Snapshot
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.service.heartbeats import OUTCOMES
from clocksvc.service.public_state import (
    HeartbeatState,
    ObserverState,
    PartitionCounts,
    PublicPartition,
    PublicState,
)
from clocksvc.service.schedules_state import SchedulesState, SchedulesView
from clocksvc.service.tick_feed import TickFeed

VIEW_MAX_AGE_S = 0.25
"""The maximum age of a snapshot. All requests during this time use the same snapshot."""


_LEADER_LACKS_CLOCK = (
    "{leader} leads this clock's log, but does not have this clock in its configuration: give all replicas the "
    "same configuration. Until then, the leader hands the log over only to a replica that has all clocks of the leader"
)


_NO_LEADER = (
    "no process leads this clock: run clocksvc serve with this clock in its configuration. If it runs, its log has the "
    "cause"
)


class _Cached(NamedTuple):
    """The clock's state as it was last read. `snapshot`, `counters` and `hold` are None if the store did not answer.

    Attributes:
        hold: the hold in the leader's status.
        due_ticks: the number in the leader's status; None if it has none.
        error: why the store did not answer.
    """

    snapshot: Snapshot | None = None
    counters: Counters | None = None
    schedules: SchedulesState | None = None
    hold: Hold | None = None
    due_ticks: int | None = None
    error: str = ""


class PartitionPage(NamedTuple):
    """Partition clocks, and the replica's wall time in ms at which they were read."""

    now_ms: int
    partitions: list[PublicPartition]


class ClockView:
    """One replica's view of a clock. Thread-safe. Methods may block for the store's timeout.

    `write_error` returns why the store does not accept writes, or None if it does. It is needed because a full store
    still answers reads. `schedules` is None if the clock has no schedules.
    """

    def __init__(
        self,
        spec: ClockSpec,
        store: Store,
        feed: TickFeed,
        time: Time,
        write_error: Callable[[], str | None] = lambda: None,
        schedules: SchedulesView | None = None,
    ) -> None:
        self.spec = spec
        self.store = store
        self.feed = feed
        self._time = time
        self._write_error = write_error
        self._schedules = schedules
        self._reading = threading.Lock()
        self._read_at = float("-inf")
        self._cached = _Cached()
        self._started_ms: int | None = None
        self._out_of_orderness_ms = spec.max_out_of_orderness_ms
        self._interval_ms = spec.interval_ms

    def snapshot(self) -> Snapshot | None:
        """Return the store's snapshot; None if the store did not answer.

        It is at most 0.25 s old, and not older than the last shown tick.
        """
        return self._fresh(self.feed.last).snapshot

    def invalidate(self) -> None:
        """Make the next call read the store again. Blocks while another thread reads it."""
        with self._reading:
            self._read_at = float("-inf")

    def state(self) -> PublicState:
        """Return the clock's public state now."""
        last = self.feed.last
        return self._state(self._fresh(last), last)

    def state_at(self, last: Tick | None) -> PublicState:
        """Return the clock's public state from the last read. Does not block. `last` is the last shown tick."""
        return self._state(self._cached, last)

    def is_older_than(self, max_age_s: float, last: Tick | None) -> bool:
        """True if the last read is older than `max_age_s`, or older than the tick `last`.

        With a snapshot that is older than a tick, a partition could seem to be behind the clock.
        """
        if self._time.monotonic() - self._read_at >= max_age_s:
            return True
        snapshot = self._cached.snapshot
        if last is None or snapshot is None or self.feed.rebuilding:
            return False
        return (snapshot.last_tick_ms or 0) < last.at_ms

    def accept(self, reading: ClockReading | StoreUnavailable) -> None:
        """Use a reading of this clock that `ClockReads` has returned. Blocks while another thread reads this clock."""
        with self._reading:
            if isinstance(reading, StoreUnavailable):
                self._cache_failure(reading)
            else:
                schedules = None if self._schedules is None else self._schedules.state_of(reading.schedulers)
                self._cache(reading.snapshot, reading.counters, schedules)

    @property
    def counters(self) -> Counters | None:
        """The counters of the last read; None if the store did not answer."""
        return self._cached.counters

    @property
    def can_answer(self) -> bool:
        """True if the feed has read the store, and its last read succeeded. Otherwise see `readiness_error`."""
        return self.feed.ready and self.feed.store_ok and not self.feed.stalled

    def readiness_error(self) -> str:
        """Return why this replica can't show the clock's state; "" if it can. A state with a hold is not an error.

        Reads the store, unless the feed's last read succeeded.
        """
        if self.feed.ready and not self.can_answer:
            self.snapshot()
        return self.cached_readiness_error()

    def cached_readiness_error(self) -> str:
        """Like `readiness_error`, from the last read. Does not block."""
        if not self.feed.ready:
            return "not read yet"
        return "" if self.can_answer or self._cached.snapshot is None else "lost while the store answers"

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> PartitionPage:
        """Return partition clocks in order of topic and number, at most `limit`. `after` None means from the first one.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        self.snapshot()
        now_ms = self._time.now_ms()
        found = self.store.partitions(after, limit, topic)
        return PartitionPage(now_ms, [self._partition(clock, now_ms) for clock in found])

    def _fresh(self, last: Tick | None) -> _Cached:
        """Return the last read. Reads the store if it is older than 0.25 s, or than the tick `last`."""
        with self._reading:
            if self.is_older_than(VIEW_MAX_AGE_S, last):
                self._read()
            return self._cached

    def _read(self) -> None:
        try:
            snapshot = self.store.snapshot()
        except ClocksvcError as error:
            self._cache_failure(error)
            return
        try:
            counters = self.store.counters()
        except ClocksvcError:
            counters = None
        self._cache(snapshot, counters, None if self._schedules is None else self._schedules.state())

    def _cache_failure(self, error: ClocksvcError) -> None:
        self._cached = _Cached(schedules=None if self._schedules is None else self._schedules.unknown, error=str(error))
        self._read_at = self._time.monotonic()

    def _cache(self, snapshot: Snapshot, counters: Counters | None, schedules: SchedulesState | None) -> None:
        hold, numbers = _read_status(snapshot.leader_status)
        self._cached = _Cached(snapshot, counters, schedules, hold, numbers.get("due_ticks"))
        # The store has this time only after Kafka has answered once. Before that, the leader's status has it.
        self._started_ms = snapshot.started_ms or numbers.get("started_ms") or self._started_ms
        if snapshot.parameters is not None:
            self._out_of_orderness_ms = snapshot.parameters.out_of_orderness_ms
            self._interval_ms = snapshot.parameters.interval_ms
        self._read_at = self._time.monotonic()

    def _state(self, cached: _Cached, last: Tick | None) -> PublicState:
        snapshot, now_ms = cached.snapshot, self._time.now_ms()
        hold = self._hold(cached, last, now_ms)
        since_ms = self._since_ms(last)
        return PublicState(
            clock=self.spec.name,
            last_tick=last,
            interval_ms=self._interval_ms,
            hold_after_ms=self.spec.effective_hold_after_ms,
            max_out_of_orderness_ms=self._out_of_orderness_ms,
            behind_ms=None if last is None else now_ms - last.at_ms,
            status=status(
                self.spec,
                self._out_of_orderness_ms or 0,
                None if last is None else last.at_ms,
                hold,
                self._due_ms(snapshot, now_ms),
                quiet_ms=0 if since_ms is None else now_ms - since_ms,
                rebuilding=self.feed.rebuilding or not (self.feed.ready or snapshot is None),
            ),
            hold=hold,
            hold_since_ms=since_ms,
            partitions=None
            if snapshot is None
            else PartitionCounts(snapshot.known, snapshot.unknown, snapshot.excluded, snapshot.rejected),
            exclusions=() if snapshot is None else snapshot.exclusions,
            pause=None if snapshot is None else snapshot.pause,
            slowest=() if snapshot is None else tuple(self._partition(clock, now_ms) for clock in snapshot.slowest),
            leader=None if snapshot is None else snapshot.leader,
            topics=self.spec.topics,
            group=self.spec.group,
            heartbeats=self._heartbeats(cached.counters),
            due_ticks=cached.due_ticks,
            schedules=cached.schedules,
            source=self.spec.source,
            after=self._after(None if snapshot is None else snapshot.observation),
            observer=_observer(None if snapshot is None else snapshot.observation),
        )

    def _hold(self, cached: _Cached, last: Tick | None, now_ms: int) -> Hold | None:
        snapshot = cached.snapshot
        if snapshot is None:
            return Hold(Reason.STORE_UNAVAILABLE, detail=cached.error)
        write_error = self._write_error() if snapshot.leader is None else None
        if write_error is not None:
            return Hold(Reason.STORE_UNAVAILABLE, detail=write_error)
        if snapshot.leader_lacks_clock:
            return Hold(Reason.CONFIG_CONFLICT, detail=_LEADER_LACKS_CLOCK.format(leader=snapshot.leader))
        if cached.hold is not None or snapshot.leader is not None:
            return cached.hold
        # A status of "no hold" stays valid until its TTL, so short failovers stay invisible.
        since_ms = self._since_ms(last)
        quiet_ms = 0 if since_ms is None else now_ms - since_ms
        if snapshot.leader_status is not None and quiet_ms < self.spec.effective_hold_after_ms:
            return None
        return Hold(Reason.NO_LEADER, detail=_NO_LEADER)

    def _due_ms(self, snapshot: Snapshot | None, now_ms: int) -> int:
        """Return the time that the clock could have reached: now, or the last tick of its upstream clocks."""
        observation = None if snapshot is None else snapshot.observation
        if not self.spec.after or observation is None or observation.upstream_ms is None:
            return now_ms
        return min(now_ms, observation.upstream_ms)

    def _since_ms(self, last: Tick | None) -> int | None:
        return self._started_ms if last is None else last.emitted_at_ms

    def _heartbeats(self, counters: Counters | None) -> HeartbeatState:
        spec = self.spec.heartbeat
        return HeartbeatState(
            every_ms=None if spec is None else spec.every_ms,
            last_success_ms=None if counters is None else counters.heartbeat_success_ms,
            counts=None if counters is None else dict.fromkeys(OUTCOMES, 0) | dict(counters.heartbeats),
        )

    def _after(self, observation: Observation | None) -> tuple[UpstreamObservation, ...]:
        read = {} if observation is None else {(one.clock, one.url): one for one in observation.upstreams}
        return tuple(
            read.get((upstream.clock, upstream.url)) or UpstreamObservation(upstream.clock, upstream.url, None)
            for upstream in self.spec.after
        )

    def _partition(self, clock: PartitionClock, now_ms: int) -> PublicPartition:
        raw_ms, late_ms = clock.raw_ms, self._out_of_orderness_ms
        clock_ms = None if raw_ms is None or late_ms is None else max(0, raw_ms - late_ms)
        return PublicPartition(
            partition=clock.partition,
            clock_ms=clock_ms,
            behind_ms=None if clock_ms is None else now_ms - clock_ms,
            reported_at_ms=clock.reported_ms,
            reported_timestamp_ms=raw_ms,
            excluded=clock.excluded,
            rejected=clock.rejected,
            observed=clock.observed,
        )


def _observer(observation: Observation | None) -> ObserverState | None:
    if observation is None:
        return None
    return ObserverState(
        observation.at_ms,
        observation.problem,
        dict(observation.waiting),
        observation.skipped_records,
        observation.committed_partitions,
    )


def published_hold(leader_status: str | None) -> Hold | None:
    """Return the hold in the leader's status; None if the status has no hold."""
    return _read_status(leader_status)[0]


def _read_status(leader_status: str | None) -> tuple[Hold | None, dict[str, int]]:
    """Return the hold and the numbers in a leader's status; None and {} if it has none."""
    try:
        wire = {} if leader_status is None else json.loads(leader_status)
        numbers = {name: value for name, value in wire.items() if isinstance(value, int)}
    except (AttributeError, ValueError):
        return None, {}
    try:
        return None if wire.get("hold") is None else Hold.from_wire(wire["hold"]), numbers
    except (KeyError, TypeError, ValueError):
        return None, numbers
