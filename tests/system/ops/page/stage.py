"""A clock for the page to show: a store in memory, a feed over it, the computer's own time, a hand that moves it."""

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
from clocksvc.interfaces.store import (
    ClockParameters,
    Report,
    StoreIdentity,
)
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.clock_view import ClockView
from clocksvc.service.tick_feed import TickFeed
from tests.faulty.store import FaultyStore
from tests.waiting import eventually

TOPIC, GROUP, TOKEN = "ingest-checkins", "checkins-consumer", "token-of-the-leader"
_FOR_EVER_MS = 10**12


class Stage:
    """One clock with a leader that does what the test says."""

    def __init__(self, name: str = "checkins", *, partitions: int = 8, interval_s: int = 1, late_s: int = 0) -> None:
        self.interval_ms, self.late_ms, self.count = interval_s * 1000, late_s * 1000, partitions
        self.spec = ClockSpec(
            name,
            (TOPIC,),
            GROUP,
            f"{name}-ticks",
            interval_ms=self.interval_ms,
            max_out_of_orderness_ms=self.late_ms,
            heartbeat=HeartbeatSpec(self.interval_ms),
        )
        self.time = SystemTime()
        self.store = FaultyStore(name, self.time)
        self.feed = TickFeed(name, self.store, self.time)
        self.view = ClockView(self.spec, self.store, self.feed, self.time)
        self.store.acquire_lease(TOKEN, "clocksvc-7c9f-x2x:1", _FOR_EVER_MS)
        bounds = ClockParameters(GROUP, (TOPIC,), self.interval_ms, self.late_ms, 60_000)
        self.store.claim(TOKEN, StoreIdentity("cluster-1"), bounds, self.now_ms() - 3_600_000)
        self.roster()
        self.say(None)
        self.store.count_heartbeats({"delivered": partitions * 60}, success=True)

    def now_ms(self) -> int:
        """The time of all that is here."""
        return self.time.now_ms()

    def roster(self, exclusions: Sequence[Exclusion] = (), pause: Pause | None = None) -> None:
        """Who counts, and what somebody asked for."""
        spared = frozenset(one.partition for one in exclusions)
        self.store.write_roster(TOKEN, Roster({TOPIC: TopicMetadata("1", self.count)}, spared), 1, exclusions, pause)

    def report(self, behind_s: float = 0.0, but: dict[int, float | None] | None = None) -> None:
        """Every partition is so far behind, but those that are named; None: it is not reported."""
        at_ms = self.now_ms() + self.late_ms
        late = dict.fromkeys(range(self.count), behind_s) | (but or {})
        readings = [
            PartitionTimestamp(Partition(TOPIC, number), round(at_ms - seconds * 1000))
            for number, seconds in late.items()
            if seconds is not None
        ]
        self.store.report(Report(GROUP, tuple(readings)))

    def say(self, hold: Hold | None) -> None:
        """The leader's verdict."""
        self.store.publish_status(TOKEN, json.dumps({"hold": None if hold is None else hold.to_wire()}), _FOR_EVER_MS)

    def past(self, ticks: int, *, until_s: float = 0.0, holds: Sequence[tuple[int, int]] = ()) -> None:
        """Ticks up to `until_s` ago. Of each (`ticks_ago`, `length`), so many were emitted at once, at the end."""
        last_ms = self._boundary_ms(self.now_ms() - round(until_s * 1000))
        times = [last_ms - self.interval_ms * ago for ago in range(ticks - 1, -1, -1)]
        late = {ago - n: n for ago, length in holds for n in range(length)}
        made, previous_ms = [], times[0] - self.interval_ms
        for ago, at_ms in zip(range(ticks - 1, -1, -1), times, strict=True):
            waited = next((length for since, length in holds if since - length < ago <= since), 0)
            left = waited - late.get(ago, 0)
            emitted_ms = at_ms + self.late_ms + 40 + max(0, left) * self.interval_ms
            made.append(Tick(self.spec.name, at_ms, previous_ms, self.interval_ms, emitted_ms))
            previous_ms = at_ms
        self.store.rebuild(TOKEN, made, None)

    def tick(self, excluded: Sequence[Partition] = ()) -> int:
        """Every tick that is due now; the last one's time in seconds."""
        last = self.store.last_tick()
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
class Shown:
    """A service with the page."""

    server: Server
    thread: threading.Thread
    port: int

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.port}/"

    def stop(self) -> None:
        """End it, as SIGTERM does."""
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


def show(*stages: Stage, tokens: Sequence[Token] = (), port: int = 0) -> Shown:
    """Serve these clocks, on a free port unless it is named. The caller stops it."""
    app = create_app({stage.spec.name: stage.view for stage in stages}, tokens=tokens, version="0.1.0")
    running = server(app, "127.0.0.1", port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    eventually(lambda: running.started, what="the server to start")
    return Shown(running, thread, running.servers[0].sockets[0].getsockname()[1])


@contextmanager
def feeding(*stages: Stage) -> Iterator[None]:
    """Let the clocks' feeds run, whatever becomes of the servers in front of them."""
    threads = [stage.feed.thread() for stage in stages]
    for thread in threads:
        thread.start()
    try:
        for stage in stages:
            eventually(lambda stage=stage: stage.feed.ready, what="the feed to have read")  # type: ignore[misc]
        yield
    finally:
        for thread in threads:
            thread.stop()
        for stage in stages:
            stage.store.broken = True  # ends a read that waits for ticks
        for thread in threads:
            thread.join(20)


@contextmanager
def showing(*stages: Stage, tokens: Sequence[Token] = ()) -> Iterator[Shown]:
    """Serve these clocks until the end of the block."""
    with feeding(*stages):
        shown = show(*stages, tokens=tokens)
        try:
            yield shown
        finally:
            shown.stop()
