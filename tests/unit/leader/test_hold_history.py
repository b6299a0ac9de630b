"""The history of holds as leaders write it: over failovers, without a leader, and while the store does not answer."""

from unittest.mock import patch

from clocksvc.clock.holds import Reason
from clocksvc.memory.leases import MemoryLeases
from tests.faulty.clock import FaultyClock
from tests.faulty.shared_log import SharedLog
from tests.unit.leader.clocks import another_leader, clock_with_ticks, pass_time, report_only

Span = tuple[str, float, float | None]


def spans(clock: FaultyClock) -> list[Span]:
    """Reason, and beginning and end in seconds before now, the oldest hold first.

    Without the first hold, which ended with the clock's first report.
    """
    now_ms = clock.time.now_ms()
    return [
        (
            str(past.hold.reason),
            (now_ms - past.began_ms) / 1000,
            None if past.ended_ms is None else (now_ms - past.ended_ms) / 1000,
        )
        for past in clock.store.hold_history(None, 100).holds[-2::-1]
    ]


def test_each_reason_of_a_hold_is_in_the_history() -> None:
    """A partition falls behind, then its topic disappears, then both are back: two holds, one after the other."""
    clock = clock_with_ticks()
    pass_time(clock, 200, clock.leader)
    clock.topics.hide("events", 0)
    pass_time(clock, 60, clock.leader)
    clock.topics.hide("events", None)
    report_only(clock, "2026-11-22T12:10:00Z")
    pass_time(clock, 2, clock.leader)
    (first, first_began, first_ended), (second, second_began, second_ended) = spans(clock)

    assert (first, second) == ("partition_behind", "topic_missing")
    assert first_ended == second_began
    assert first_began > second_began > 50
    assert second_ended is not None
    assert second_ended <= 2


def test_a_hold_goes_on_over_a_failover() -> None:
    """It is one hold, and the next leader ends it."""
    clock = clock_with_ticks()
    pass_time(clock, 200, clock.leader)
    (before,) = clock.store.hold_history(None, 1).holds
    following = another_leader(clock, "b:2")
    pass_time(clock, 12, following)
    (after,) = clock.store.hold_history(None, 1).holds

    assert (before.hold.reason, before.ended_ms) == (Reason.PARTITION_BEHIND, None)
    assert after == before

    report_only(clock, "2026-11-22T12:33:00Z")
    pass_time(clock, 2, following)
    (ended,) = clock.store.hold_history(None, 1).holds
    assert ended.ended_ms is not None


def test_a_time_without_a_leader_is_in_the_history() -> None:
    """The next leader writes it, from the last status of the one before."""
    clock = clock_with_ticks()
    pass_time(clock, 5, clock.leader)
    clock.time.advance(600)
    following = another_leader(clock, "b:2")
    pass_time(clock, 12, following)
    reason, began, ended = spans(clock)[0]

    assert reason == "no_leader"
    assert ended is not None
    assert 590 <= began - ended <= 615


def test_a_failover_is_not_in_the_history() -> None:
    """A process ends, and another one leads within seconds: no hold, as readers saw none."""
    clock = clock_with_ticks()
    pass_time(clock, 9, clock.leader)
    following = another_leader(clock, "b:2")
    pass_time(clock, 12, following)

    assert spans(clock) == []


def test_a_store_that_did_not_answer_is_in_the_history() -> None:
    """The leader adds it for all clocks of its log, once it can write again."""
    shared = SharedLog(2)
    shared.add_leader()
    shared.report("2026-11-22T12:05:00Z")
    shared.run(2)
    shared.store_server.broken = True
    shared.run(90)
    shared.store_server.broken = False
    shared.run(12)

    for store in shared.stores.values():
        found = [past for past in store.hold_history(None, 100).holds if past.hold.reason is Reason.STORE_UNAVAILABLE]
        assert len(found) == 1
        assert found[0].ended_ms is not None
        assert 85_000 <= found[0].ended_ms - found[0].began_ms <= 95_000
        assert Reason.NO_LEADER not in [past.hold.reason for past in store.hold_history(None, 100).holds]


def test_the_history_says_since_when_after_the_store_lost_it() -> None:
    """It begins again with the next status."""
    clock = clock_with_ticks()
    pass_time(clock, 200, clock.leader)
    clock.store_server.wipe()
    lost_ms = clock.time.now_ms()
    pass_time(clock, 12, clock.leader)
    found = clock.store.hold_history(None, 10)

    assert found.kept_since_ms is not None
    assert found.kept_since_ms >= lost_ms
    assert all(past.began_ms >= lost_ms for past in found.holds)


def test_one_write_for_one_change() -> None:
    """The history costs no call of its own."""
    clock = clock_with_ticks()
    with patch.object(
        MemoryLeases, "publish_statuses", autospec=True, side_effect=MemoryLeases.publish_statuses
    ) as publish:
        pass_time(clock, 200, clock.leader)

    assert len(spans(clock)) == 1
    assert publish.call_count <= 200 / 10 + 2
