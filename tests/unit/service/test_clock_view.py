"""A clock's state as a replica publishes it, with a real leader: its hold, its beginning, and its readiness."""

import json
from dataclasses import replace

import pytest

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.logs import log_of
from clocksvc.clock.spec import Source, UpstreamSpec
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.observations import Observation
from clocksvc.service.clock_view import ClockView
from clocksvc.service.public_state import state_to_wire
from clocksvc.service.tick_feed import TickFeed
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import clock_with_ticks, pass_time

pytestmark = pytest.mark.core

FOR_EVER_MS = 10**12


def a_replica(clock: FaultyClock) -> ClockView:
    """A replica that has just read the clock."""
    feed = TickFeed("clock", clock.store, clock.time)
    feed.step()
    return ClockView(clock.spec, clock.store, feed, clock.time)


def times(replica: ClockView) -> tuple[str, str]:
    """The global clock, and the lowest partition clock."""
    state = state_to_wire(replica.state())
    return state["time"], state["slowest"][0]["time"]


def test_a_hold_has_a_beginning_before_any_leader_has_written_the_store() -> None:
    """If Kafka is down at the first start, the hold begins at that start."""
    clock = FaultyClock(now="2026-11-22T12:00:00Z")
    clock.log.unavailable = clock.topics.unavailable = True
    clock.settle()
    pass_time(clock, 3, clock.leader)

    state = a_replica(clock).state()

    assert state.hold is not None
    assert state.hold.reason is Reason.TICKLOG_UNAVAILABLE
    assert state.hold_since_ms == parse_timestamp("since", "2026-11-22T12:00:00Z")


def test_an_unknown_reason_of_a_newer_leader_is_kept() -> None:
    """A replica of an older version shows a hold whose reason it does not know."""
    clock = clock_with_ticks()
    named = [{"topic": "events", "partition": 0}]
    hold = {"reason": "moon_phase", "partitions": named, "detail": "the moon is full", "upstream": None}
    clock.leader.leave()
    leases = clock.store_server.leases(log_of("clock"))
    assert leases.acquire("newer", "host-2:1 1", FOR_EVER_MS)
    status = json.dumps({"hold": hold | {"until": "new moon"}, "mood": "good"})
    leases.publish_statuses("newer", {"clock": StatusUpdate(status)}, FOR_EVER_MS)

    state = state_to_wire(a_replica(clock).state())

    assert state["status"] == "holding"
    assert state["hold"] == hold | {"since": "2026-11-22T12:30:00Z"}


def test_the_hold_of_a_stuck_leader_outlives_its_lease() -> None:
    """Until another leader publishes its status, or the status expires: then no process leads."""
    clock = clock_with_ticks()
    replica = a_replica(clock)
    clock.leader.leave()
    leases = clock.store_server.leases(log_of("clock"))
    assert leases.acquire("stuck", "host-2:1 1", FOR_EVER_MS)
    stuck = Hold(Reason.LEADER_STUCK, detail="the leader has completed no round for 6 s")
    leases.publish_statuses("stuck", {"clock": StatusUpdate(json.dumps({"hold": stuck.to_wire()}))}, 30_000)
    leases.release("stuck")

    state = replica.state()
    clock.time.advance(30)
    later = replica.state()

    assert (state.hold, state.leader) == (stuck, None)
    assert later.hold is not None
    assert later.hold.reason is Reason.NO_LEADER


def test_no_partition_seems_to_be_behind_the_clock() -> None:
    """Partition clocks are never older than the last tick, even if the cached snapshot is recent."""
    clock = clock_with_ticks()
    feed = TickFeed("clock", clock.store, clock.time)
    feed.step()
    replica = ClockView(clock.spec, clock.store, feed, clock.time)
    assert times(replica) == ("2026-11-22T12:03:00Z", "2026-11-22T12:03:00Z")

    clock.report(0, "2026-11-22T12:04:00Z")
    feed.step()

    assert times(replica) == ("2026-11-22T12:04:00Z", "2026-11-22T12:04:00Z")


def test_a_store_that_takes_no_writes_is_a_hold() -> None:
    """A full Redis answers readers while no process can lead: the hold names the cause, not `no_leader`."""
    clock = clock_with_ticks()
    feed = TickFeed("clock", clock.store, clock.time)
    feed.step()
    replica = ClockView(clock.spec, clock.store, feed, clock.time, lambda: clock.leader.store_trouble)
    clock.store_server.broken = True
    clock.settle()
    assert clock.leader.store_trouble
    clock.store_server.broken = False
    assert replica.state().hold is None

    clock.time.advance(4)
    hold = replica.state().hold

    assert hold == Hold(Reason.STORE_UNAVAILABLE, detail=clock.leader.store_trouble)
    clock.settle()
    assert clock.leader.store_trouble is None
    assert replica.state().hold is None


def test_a_replica_that_cant_answer_has_a_readiness_error() -> None:
    """Not ready before the first read, and when its feed is lost; ready while the store does not answer."""
    clock = clock_with_ticks()
    feed = TickFeed("clock", clock.store, clock.time)
    replica = ClockView(clock.spec, clock.store, feed, clock.time)
    before = replica.readiness_error()
    feed.step()
    after = replica.readiness_error()

    clock.time.advance(20)
    lost = replica.readiness_error()
    clock.store_server.broken = True
    replica.invalidate()

    assert (before, after, lost, replica.readiness_error()) == ("not read yet", "", "lost while the store answers", "")


def test_a_leader_without_the_clock_is_a_conflict() -> None:
    """A replica with a new clock shows it, until the log's leader hands over."""
    clock = clock_with_ticks()
    leases = clock.store_server.leases(log_of("clock"))
    clock.leader.leave()
    leases.acquire("old", "host-9:1 old", FOR_EVER_MS)
    leases.announce(Announcement("host-9:1 old", {"another": "digest"}, 20_000), FOR_EVER_MS, {})

    hold = a_replica(clock).state().hold

    assert hold is not None
    assert (hold.reason, "host-9:1" in hold.detail) == (Reason.CONFIG_CONFLICT, True)


def test_a_clock_that_is_as_far_as_its_upstream_clocks_is_on_time() -> None:
    """Also if these catch up. Without an observation, it is compared with the time."""
    clock = clock_with_ticks()
    clock.spec = replace(
        clock.spec, source=Source.COMMITTED, after=(UpstreamSpec("raw"),), max_out_of_orderness_ms=None
    )
    last_ms = clock.ticks()[-1].at_ms
    words = [a_replica(clock).state().status]
    for upstream_ms in (last_ms + 240_000, last_ms + 300_000, None):
        clock.store.write_observation(Observation(clock.time.now_ms(), upstream_ms=upstream_ms), {})
        words.append(a_replica(clock).state().status)

    assert words == [Status.CATCHING_UP, Status.RUNNING, Status.CATCHING_UP, Status.CATCHING_UP]
