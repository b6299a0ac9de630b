"""A clock for the page: a store in memory that the test writes as a leader does, a feed, and a server. Real time."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from clocksvc.api.app import create_app
from clocksvc.api.server import Server, server
from clocksvc.api.tokens import Token
from clocksvc.clock.holds import Hold
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.hold_history import HoldChange, StatusUpdate
from clocksvc.interfaces.progress import ClockParameters, Report, StoreIdentity
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.clock_view import ClockView
from clocksvc.service.notice_follower import NoticeFollower
from clocksvc.service.tick_feed import TickFeed
from tests.faulty.clock_views import views_of
from tests.faulty.store import FaultyStore
from tests.waiting import eventually

TOPIC, GROUP, TOKEN = "ingest-checkins", "checkins-consumer", "token-of-the-leader"
_NEVER_EXPIRES_MS = 10**12


class PageClock:
    """One clock. The test does its leader's work. `holds` are the changes of its hold before the test, oldest first."""

    def __init__(
        self,
        name: str = "checkins",
        *,
        partitions: int = 8,
        interval_s: int = 1,
        late_s: int = 0,
        holds: Sequence[HoldChange] = (),
    ) -> None:
        self.interval_ms, self.late_ms, self.count = interval_s * 1000, late_s * 1000, partitions
        self.spec = ClockSpec(
            name,
            (TOPIC,),
            GROUP,
            interval_ms=self.interval_ms,
            max_out_of_orderness_ms=self.late_ms,
            heartbeat=HeartbeatSpec(self.interval_ms),
        )
        self.time = SystemTime()
        self.store = FaultyStore(name, self.time)
        self.feed = TickFeed(name, self.store, self.time)
        self.view = ClockView(self.spec, self.store, self.feed, self.time)
        self.store.leases.acquire(TOKEN, "clocksvc-7c9f-x2x:1 1", _NEVER_EXPIRES_MS)
        bounds = ClockParameters(GROUP, (TOPIC,), self.interval_ms, self.late_ms, 60_000)
        self.store.claim(TOKEN, StoreIdentity("cluster-1"), bounds, self.now_ms() - 3_600_000)
        self.roster()
        self.store.begin(TOKEN, None, restoring=False)
        self.publish_hold(None, holds)
        self.store.count_heartbeats({"delivered": partitions * 60}, success=True)

    def now_ms(self) -> int:
        """The wall clock, in milliseconds."""
        return self.time.now_ms()

    def roster(self, exclusions: Sequence[Exclusion] = (), pause: Pause | None = None) -> None:
        """Write the roster with these operator overrides."""
        excluded = frozenset(one.partition for one in exclusions)
        self.store.write_roster(TOKEN, Roster({TOPIC: TopicMetadata("1", self.count)}, excluded), 1, exclusions, pause)

    def report(self, behind_s: float = 0.0, but: dict[int, float | None] | None = None) -> None:
        """Report every partition as `behind_s` behind, except those in `but`; None there: not reported."""
        at_ms = self.now_ms() + self.late_ms
        late = dict.fromkeys(range(self.count), behind_s) | (but or {})
        readings = [
            PartitionTimestamp(Partition(TOPIC, number), round(at_ms - seconds * 1000))
            for number, seconds in late.items()
            if seconds is not None
        ]
        self.store.report(Report(GROUP, tuple(readings)))

    def publish_hold(self, hold: Hold | None, before: Sequence[HoldChange] = ()) -> None:
        """Publish the leader's status: a hold, or None. It also goes into the history, after the changes `before`."""
        status = json.dumps({"hold": None if hold is None else hold.to_wire()})
        update = StatusUpdate(status, [*before, HoldChange(0, hold)])
        self.store.leases.publish_statuses(TOKEN, {self.spec.name: update}, _NEVER_EXPIRES_MS)

    def past(self, ticks: int, *, until_s: float = 0.0, holds: Sequence[tuple[int, int]] = ()) -> None:
        """Write `ticks` ticks up to `until_s` ago. Each of `holds` is (`ticks_ago`, `length`): a hold of `length` ticks
        that were emitted together at its end."""
        last_ms = self._boundary_ms(self.now_ms() - round(until_s * 1000))
        times = [last_ms - self.interval_ms * ago for ago in range(ticks - 1, -1, -1)]
        late = {ago - n: n for ago, length in holds for n in range(length)}
        first_ms = times[0] - self.interval_ms
        made, previous_ms = [], first_ms
        for ago, at_ms in zip(range(ticks - 1, -1, -1), times, strict=True):
            waited = next((length for since, length in holds if since - length < ago <= since), 0)
            left = waited - late.get(ago, 0)
            emitted_ms = at_ms + self.late_ms + 40 + max(0, left) * self.interval_ms
            made.append(Tick(self.spec.name, at_ms, previous_ms, self.interval_ms, emitted_ms))
            previous_ms = at_ms
        self.store.begin(TOKEN, first_ms, restoring=False)
        self.store.publish(TOKEN, made)

    def tick(self, excluded: Sequence[Partition] = ()) -> int:
        """Publish every tick that is due; returns the last one's time in seconds."""
        last = self.store.bounds().last
        due_ms = self._boundary_ms(self.now_ms())
        at_ms, made = due_ms if last is None else last.at_ms + self.interval_ms, []
        previous_ms = None if last is None else last.at_ms
        while at_ms <= due_ms:
            made.append(Tick(self.spec.name, at_ms, previous_ms, self.interval_ms, self.now_ms(), tuple(excluded)))
            previous_ms, at_ms = at_ms, at_ms + self.interval_ms
        if made:
            self.store.publish(TOKEN, made)
        return (previous_ms or 0) // 1000

    def _boundary_ms(self, at_ms: int) -> int:
        return at_ms // self.interval_ms * self.interval_ms


@dataclass
class PageServer:
    """A running server with the page."""

    server: Server
    thread: threading.Thread
    port: int

    @property
    def url(self) -> str:
        """The page's URL."""
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """Shut down, as SIGTERM does."""
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


def start_server(*clocks: PageClock, tokens: Sequence[Token] = (), port: int = 0) -> PageServer:
    """Serve these clocks; `port` 0: a free one. The caller stops the server."""
    app = create_app(views_of(*(clock.view for clock in clocks)), tokens=tokens, version="0.1.0")
    running = server(app, "127.0.0.1", port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    eventually(lambda: running.started, what="the server to start")
    return PageServer(running, thread, running.servers[0].sockets[0].getsockname()[1])


@contextmanager
def feeds_running(*clocks: PageClock) -> Iterator[None]:
    """Run the clocks' feeds until the end of the block, independent of servers."""
    followers = [
        NoticeFollower([clock.feed], server.notices([clock.spec.name]), server.clock_reads(), clock.time)
        for clock in clocks
        for server in (clock.store.server,)
    ]
    for follower in followers:
        follower.start()
    try:
        for clock in clocks:
            eventually(lambda clock=clock: clock.feed.ready, what="the feed to have read")  # type: ignore[misc]
        yield
    finally:
        for follower in followers:
            follower.stop()
        for follower in followers:
            follower.join(20)


@contextmanager
def page_served(*clocks: PageClock, tokens: Sequence[Token] = ()) -> Iterator[PageServer]:
    """Serve these clocks until the end of the block."""
    with feeds_running(*clocks):
        shown = start_server(*clocks, tokens=tokens)
        try:
            yield shown
        finally:
            shown.stop()
