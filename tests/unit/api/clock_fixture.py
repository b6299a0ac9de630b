"""A clock for tests of readers: a store in memory that the test writes as a leader does, a feed, and a manual time."""

import json
from collections.abc import Sequence
from dataclasses import replace

from clocksvc.clock.holds import Hold
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.request import Request, RequestResult, ResultKind, apply_request
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import ClockSpec, Source, UpstreamSpec
from clocksvc.clock.tick import Tick
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.hold_history import HoldChange, StatusUpdate
from clocksvc.interfaces.progress import ClockParameters, Report, StoreIdentity
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.service.clock_view import ClockView
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.schedules_state import SchedulesView
from clocksvc.service.tick_feed import BUFFER_SIZE, TickFeed
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore

NOON = 1_795_348_800
"""2026-11-22T12:00:00Z, in seconds: the fixtures' time at the start."""

TOPIC, GROUP, TOKEN = "ingest-checkins", "checkins-consumer", "token-of-the-leader"
INTERVAL_S = 60
_NEVER_EXPIRES_MS = 10**12
ROSTER = Roster({TOPIC: TopicMetadata("topic-1", 2)})


class AnsweringStore(FaultyStore):
    """A store whose leader answers a request as soon as it is submitted; with `answers` False it never does."""

    answers = True
    state = ClockState()

    def submit_request(self, request: Request) -> bool:
        left = super().submit_request(request)
        if left and self.answers:
            for one in self.read_requests():
                self.write_request_results(TOKEN, {one.id: self._do(one)}, 60_000)
        return left

    def read_requests(self) -> tuple[Request, ...]:
        """Read the waiting requests, as a leader does in a round."""
        progress = self.leases.read_round(TOKEN, _NEVER_EXPIRES_MS, ["checkins"]).progress["checkins"]
        return () if progress is None else progress.requests

    def _do(self, request: Request) -> RequestResult:
        try:
            self.state = apply_request(self.state, request, ROSTER)
        except InvalidValue as wrong:
            return RequestResult(ResultKind.REJECTED, field=wrong.field, value=str(wrong.value), wanted=wrong.wanted)
        excluded = replace(ROSTER, excluded=self.state.excluded())
        self.write_roster(TOKEN, excluded, 2, self.state.exclusions, self.state.pause)
        return RequestResult(ResultKind.DONE, self.state.exclusions, self.state.pause)


class ClockFixture:
    """One clock, by default `checkins`, with two partitions, an interval of 1 min and an out-of-orderness of 2 s.
    `schedules` is the number of partitions of its schedules; None: it has none. With `after`, it follows the committed
    offsets of its group, and these upstream clocks."""

    def __init__(
        self,
        name: str = "checkins",
        *,
        keep: int = BUFFER_SIZE,
        led: bool = True,
        schedules: int | None = None,
        after: Sequence[UpstreamSpec] | None = None,
    ) -> None:
        self.spec = ClockSpec(name, (TOPIC,), GROUP, max_out_of_orderness_ms=2_000)
        if after is not None:
            late_ms = None if after else 2_000
            self.spec = replace(self.spec, source=Source.COMMITTED, after=tuple(after), max_out_of_orderness_ms=late_ms)
        self.time = ManualTime(NOON)
        self.store = AnsweringStore(name, self.time)
        self.server, self.leases = self.store.server, self.store.leases
        self.feed = TickFeed(name, self.store, self.time, buffer_size=keep)
        self.schedulers = self.server.schedulers(name)
        scheduled = None if schedules is None else SchedulesView(SchedulesSpec(name, schedules), self.schedulers)
        self.view = ClockView(self.spec, self.store, self.feed, self.time, schedules=scheduled)
        if led:
            self.lead()

    def lead(self, base_ms: int | None = None, *, restoring: bool = False) -> None:
        """Acquire the lease, claim the store, write the roster and begin the stream, as a leader does before its first
        tick."""
        self.leases.acquire(TOKEN, "host-1:4711 1", _NEVER_EXPIRES_MS)
        bounds = ClockParameters(self.spec.reporting_group, (TOPIC,), INTERVAL_S * 1000, 2_000, 60_000)
        self.store.claim(TOKEN, StoreIdentity("cluster-1"), bounds, (NOON - 3_600) * 1000)
        self.store.write_roster(TOKEN, ROSTER, 1)
        self.store.begin(TOKEN, base_ms, restoring=restoring)

    def follower(self) -> NoticeFollower:
        """The thread that steps the feed."""
        return NoticeFollower([self.feed], self.server.notices([self.spec.name]), self.server.clock_reads(), self.time)

    def publish_hold(self, hold: Hold | None, ttl_ms: int = _NEVER_EXPIRES_MS) -> None:
        """Publish the leader's status: a hold, or None."""
        status = json.dumps({"hold": None if hold is None else hold.to_wire()})
        leases = self.server.leases(log_of(self.spec.name))
        leases.publish_statuses(TOKEN, {self.spec.name: StatusUpdate(status, [HoldChange(0, hold)])}, ttl_ms)

    def report(self, *seconds: float) -> None:
        """Report a raw timestamp for each partition, in order."""
        readings = tuple(
            PartitionTimestamp(Partition(TOPIC, number), round(at * 1000)) for number, at in enumerate(seconds)
        )
        self.store.report(Report(self.spec.reporting_group, readings))

    def publish(self, *ticks: Tick) -> None:
        """Append ticks to the stream, as a leader does after their commit."""
        self.store.publish(TOKEN, ticks)

    def have(self, ticks: Sequence[Tick]) -> None:
        """Replace the stream's ticks, without a check of their chain."""
        self.server.content.clock(self.spec.name).ticks = list(ticks)
        self.server.access.add_notice(self.spec.name)

    def read(self) -> None:
        """Let the feed read everything, and let the view's cache expire."""
        self.time.advance(1)
        for _ in range(8):
            self.feed.step()


def ticks(
    count: int, *, first_s: int = NOON - 3_600, previous_s: int | None = None, clock: str = "checkins"
) -> list[Tick]:
    """A complete chain of one tick per minute, each emitted 2 s after its time; by default a clock's first ticks."""
    at = [first_s + number * INTERVAL_S for number in range(count)]
    before = [previous_s, *at]
    return [
        Tick(clock, at_s * 1000, None if prev is None else prev * 1000, INTERVAL_S * 1000, (at_s + 2) * 1000)
        for at_s, prev in zip(at, before, strict=False)
    ]


def after(tick: Tick, count: int = 1) -> list[Tick]:
    """The `count` ticks after this one."""
    last_s = tick.at_ms // 1000
    return [replace(t, clock=tick.clock) for t in ticks(count, first_s=last_s + INTERVAL_S, previous_s=last_s)]
