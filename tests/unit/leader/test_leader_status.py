"""The leader's status in the store: it stays valid as long as it is true."""

import json

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.leader import status
from tests.faulty.clock import FaultyClock
from tests.unit.leader.clocks import hold_of, pass_time, report_only


def test_a_lasting_hold_is_published_again_before_its_ttl_ends() -> None:
    """The store drops a status after 30 s; a lasting hold is visible all the time, minutes later too."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED

    for _ in range(6):
        pass_time(clock, 20, clock.leader)

        assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


def test_the_status_stays_valid_during_a_long_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that catches up ticks in every round, for longer than a status is valid. Its hold ends with the first
    round, and readers see all the time that it has none."""
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
    assert [hold is not None for hold in holds] == [True] + [False] * (len(holds) - 1)
