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
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.counters import Counters
from clocksvc.interfaces.progress import PartitionClock, Snapshot
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.service.heartbeats import OUTCOMES
from clocksvc.service.public_state import HeartbeatState, PartitionCounts, PublicPartition, PublicState
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
        self._schedules_state: SchedulesState | None = None
        self._reading = threading.Lock()
        self._read_at = float("-inf")
        self._snapshot: Snapshot | None = None
        self._counters: Counters | None = None
        self._read_error = ""
        self._started_ms: int | None = None
        self._out_of_orderness_ms = spec.max_out_of_orderness_ms
        self._interval_ms = spec.interval_ms

    def snapshot(self) -> Snapshot | None:
        """Return the store's snapshot; None if the store did not answer.

        It is at most 0.25 s old, and not older than the last shown tick. With an older snapshot, a partition could seem
        to be behind the clock.
        """
        with self._reading:
            if self._time.monotonic() - self._read_at >= VIEW_MAX_AGE_S or self._precedes_last_tick():
                self._read_snapshot()
                self._read_at = self._time.monotonic()
            return self._snapshot

    def invalidate(self) -> None:
        """Make the next call read the store again. Blocks while another thread reads it."""
        with self._reading:
            self._read_at = float("-inf")

    def state(self) -> PublicState:
        """Return the clock's public state now."""
        last = self.feed.last
        snapshot, now_ms = self.snapshot(), self._time.now_ms()
        hold = self._hold(snapshot, last, now_ms)
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
                now_ms,
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
            heartbeats=self._heartbeats(),
            due_ticks=None if snapshot is None else _published_number(snapshot.leader_status, "due_ticks"),
            schedules=self._schedules_state,
        )

    def readiness_error(self) -> str:
        """Return why this replica can't show the clock's state; "" if it can. A state with a hold is not an error."""
        if not self.feed.ready:
            return "not read yet"
        if (self.feed.store_ok and not self.feed.stalled) or self.snapshot() is None:
            return ""
        return "lost while the store answers"

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> PartitionPage:
        """Return partition clocks in order of topic and number, at most `limit`. `after` None means from the first one.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        self.snapshot()
        now_ms = self._time.now_ms()
        found = self.store.partitions(after, limit, topic)
        return PartitionPage(now_ms, [self._partition(clock, now_ms) for clock in found])

    def _precedes_last_tick(self) -> bool:
        last, snapshot = self.feed.last, self._snapshot
        if last is None or snapshot is None or self.feed.rebuilding:
            return False
        return (snapshot.last_tick_ms or 0) < last.at_ms

    def _read_snapshot(self) -> None:
        try:
            self._snapshot = self.store.snapshot()
        except ClocksvcError as error:
            self._snapshot, self._counters, self._read_error = None, None, str(error)
            self._schedules_state = None if self._schedules is None else self._schedules.unknown
            return
        self._counters = self._read_counters()
        self._schedules_state = None if self._schedules is None else self._schedules.state()
        # The store has this time only after Kafka has answered once. Before that, the leader's status has it.
        published_ms = _published_number(self._snapshot.leader_status, "started_ms")
        self._started_ms = self._snapshot.started_ms or published_ms or self._started_ms
        if self._snapshot.parameters is not None:
            self._out_of_orderness_ms = self._snapshot.parameters.out_of_orderness_ms
            self._interval_ms = self._snapshot.parameters.interval_ms

    def _read_counters(self) -> Counters | None:
        try:
            return self.store.counters()
        except ClocksvcError:
            return None

    def _hold(self, snapshot: Snapshot | None, last: Tick | None, now_ms: int) -> Hold | None:
        if snapshot is None:
            return Hold(Reason.STORE_UNAVAILABLE, detail=self._read_error)
        write_error = self._write_error() if snapshot.leader is None else None
        if write_error is not None:
            return Hold(Reason.STORE_UNAVAILABLE, detail=write_error)
        published = published_hold(snapshot.leader_status)
        if snapshot.leader_lacks_clock:
            return Hold(Reason.CONFIG_CONFLICT, detail=_LEADER_LACKS_CLOCK.format(leader=snapshot.leader))
        if published is not None or snapshot.leader is not None:
            return published
        # A status of "no hold" stays valid until its TTL, so short failovers stay invisible.
        since_ms = self._since_ms(last)
        quiet_ms = 0 if since_ms is None else now_ms - since_ms
        if snapshot.leader_status is not None and quiet_ms < self.spec.effective_hold_after_ms:
            return None
        return Hold(Reason.NO_LEADER, detail=_NO_LEADER)

    def _since_ms(self, last: Tick | None) -> int | None:
        return self._started_ms if last is None else last.emitted_at_ms

    def _heartbeats(self) -> HeartbeatState:
        spec, counters = self.spec.heartbeat, self._counters
        return HeartbeatState(
            every_ms=None if spec is None else spec.every_ms,
            last_success_ms=None if counters is None else counters.heartbeat_success_ms,
            counts=None if counters is None else dict.fromkeys(OUTCOMES, 0) | dict(counters.heartbeats),
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
        )


def published_hold(leader_status: str | None) -> Hold | None:
    """Return the hold in the leader's status; None if the status has no hold."""
    if leader_status is None:
        return None
    try:
        wire = json.loads(leader_status)["hold"]
        return None if wire is None else Hold.from_wire(wire)
    except (KeyError, TypeError, ValueError):
        return None


def _published_number(leader_status: str | None, field: str) -> int | None:
    """Return a number of the leader's status; None if the status does not have it."""
    try:
        number = None if leader_status is None else json.loads(leader_status).get(field)
    except ValueError:
        return None
    return number if isinstance(number, int) else None
