"""The leader's status in the store: it stays valid as long as it is true."""

import json
from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.request import RequestKind
from clocksvc.leader import status
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import hold_of, pass_time, report_only
from tests.unit.leader.override_requests import Operator


def test_a_lasting_hold_is_published_again_before_its_ttl_ends() -> None:
    """The store drops a status after 30 s; a lasting hold is visible all the time, minutes later too."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED

    for _ in range(6):
        pass_time(clock, 20, clock.leader)

        assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


def test_the_status_stays_valid_during_a_long_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that catches up ticks in every round, for longer than a status is valid. Its hold ends before the first
    tick, and readers see all the time that it has none."""
    monkeypatch.setattr(status, "STATUS_TTL_MS", 3_000)
    monkeypatch.setattr(status, "PUBLISH_STATUS_EVERY_S", 1.0)
    clock = FaultyClock(partitions=2, interval_seconds=1, now="2026-11-22T12:30:00Z")
    for partition in (0, 1):
        clock.report(partition, "2026-11-22T09:00:00Z")
    report_only(clock, "2026-11-22T11:46:40Z", 0)
    clock.time.advance(60)
    clock.settle()
    assert hold_of(clock)[0] is Reason.PARTITION_BEHIND
    statuses: list[str | None] = []

    def work(step: str) -> None:
        if step == "append":
            statuses.append(clock.store.snapshot().leader_status)
            clock.time.advance(0.9)

    clock.log.at = work
    report_only(clock, "2026-11-22T09:50:00Z", 1)
    clock.settle()

    holds = [None if one is None else json.loads(one)["hold"] for one in statuses]
    assert None not in statuses
    assert len(statuses) >= 6
    assert holds == [None] * len(holds)
    due_ticks = [json.loads(one or "")["due_ticks"] for one in statuses]
    assert due_ticks[0] == 3_000
    assert due_ticks == sorted(due_ticks, reverse=True)
    assert len(set(due_ticks)) >= 3


def test_a_long_catch_up_is_announced_before_its_first_tick(caplog: pytest.LogCaptureFixture) -> None:
    """One line of the log, and the status: how many ticks are due, from which to which. Once, until it is over."""
    clock = FaultyClock(interval_seconds=1, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T11:00:00Z")
    caplog.clear()

    report_only(clock, "2026-11-22T12:20:00Z", 0)
    clock.leader.step()

    assert (len(clock.ticks()), _due_ticks(clock)) == (1, 4_800)
    announced = (
        "clock clock catches up: 4,800 ticks are due, from 2026-11-22T11:00:01Z to 2026-11-22T12:20:00Z, without a "
        "limit (catch_up_pace)"
    )
    assert [line for line in caplog.messages if "catches up" in line] == [announced]
    clock.settle()
    pass_time(clock, 2, clock.leader)
    clock.report(0, "2026-11-22T12:20:01Z")
    assert (len(clock.ticks()), _due_ticks(clock)) == (4_802, 0)
    assert [line for line in caplog.messages if "catches up" in line] == [announced]
    clock.time.advance(3_600)
    clock.report(0, "2026-11-22T13:00:00Z")
    assert len([line for line in caplog.messages if "catches up" in line]) == 2


def test_a_paused_clock_shows_what_follows_after_the_pause() -> None:
    """`due_ticks` counts the boundaries that are reached, also while the clock holds."""
    clock = FaultyClock(interval_seconds=1, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:00:00Z")
    Operator(clock).ask(RequestKind.PAUSE)

    clock.report(0, "2026-11-22T12:20:00Z")

    assert (hold_of(clock)[0], _due_ticks(clock)) == (Reason.PAUSED, 1_200)


@pytest.mark.parametrize(("pace", "seconds", "expected"), [(20, 10, 200), (2, 30, 60)])
def test_a_catch_up_keeps_its_pace(pace: float, seconds: int, expected: int) -> None:
    """At most so many ticks in a second, without a hold, until all are emitted."""
    clock = _paced_clock(pace)
    report_only(clock, "2026-11-22T12:20:00Z", 0)
    pass_time(clock, 1, clock.leader)
    before = len(clock.ticks())

    pass_time(clock, seconds, clock.leader)

    assert len(clock.ticks()) - before == pytest.approx(expected, abs=1)
    assert hold_of(clock)[0] is None
    pass_time(clock, 1_200 / pace, clock.leader)
    assert len(clock.ticks()) == 1_201


def test_a_fast_pace_does_not_commit_each_tick_alone() -> None:
    """At 200 ticks a second, the leader commits 20 ticks each 0.1 s, and waits in between."""
    clock = _paced_clock(200)
    report_only(clock, "2026-11-22T12:20:00Z", 0)
    clock.settle()
    before, commits = len(clock.ticks()), 0
    for _ in range(100):
        count = len(clock.ticks())
        clock.leader.step()
        commits += len(clock.ticks()) > count
        clock.time.advance(0.01)

    assert len(clock.ticks()) - before == pytest.approx(200, abs=20)
    assert commits <= 10


def test_a_pace_does_not_delay_a_clock_that_is_on_time() -> None:
    """After a few seconds without a report, all ticks come at once."""
    clock = _paced_clock(2)
    clock.report(0, "2026-11-22T12:00:01Z")
    clock.time.set("2026-11-22T12:00:09Z")

    clock.report(0, "2026-11-22T12:00:09Z")

    assert len(clock.ticks()) == 10


def _paced_clock(pace: float) -> FaultyClock:
    """A clock of 1 s with tick 12:00:00. It is 12:30."""
    clock = FaultyClock(interval_seconds=1, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:00:00Z")
    clock.leader.leave()
    clock.leader = clock.new_leader("paced", replace(clock.spec, catch_up_pace=pace))
    pass_time(clock, 5, clock.leader)
    return clock


def _due_ticks(clock: FaultyClock) -> object:
    return json.loads(clock.store.snapshot().leader_status or "")["due_ticks"]
