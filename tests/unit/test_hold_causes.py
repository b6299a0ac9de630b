"""The advice for each cause of a hold: the words of `tests/hold_causes.json` are in the detail that the leader or the
service makes, in what `clocksvc status` prints, and in the runbook. The page's tests read the same table."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clocksvc.cli.clock_notes import hold_lines
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.log_owner import Installation
from clocksvc.clock.log_record import FORMAT
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.request import RequestKind
from clocksvc.clock.spec import HeartbeatSpec
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.progress import Report
from clocksvc.service.clock_view import published_hold
from tests.faulty.clock import FaultyClock
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.leader.clocks import INSTALLATION, another_leader, clock_with_ticks, pass_time, report_only
from tests.unit.leader.override_requests import Operator
from tests.unit.leader.test_newer_record import write_newer
from tests.unit.leader.test_observed_clocks import held_by
from tests.unit.leader.test_stuck_leader import UnansweredTickLog

CAUSES: dict[str, dict[str, Any]] = json.loads(Path("tests/hold_causes.json").read_text(encoding="utf-8"))["causes"]
SECTIONS = re.split(r"^## ", Path("docs/runbook.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
NAMES = {"group": "group", "topic": "events"}
SITUATIONS: dict[str, Callable[[], Hold | None]] = {}


def situation(cause: str) -> Callable[[Callable[[], Hold | None]], Callable[[], Hold | None]]:
    """Register a function that brings a clock into the situation, and returns the hold that readers see."""

    def register(make: Callable[[], Hold | None]) -> Callable[[], Hold | None]:
        SITUATIONS[cause] = make
        return make

    return register


def shown(clock: FaultyClock, seconds: float = 1) -> Hold | None:
    """The hold that the leader has published after some time."""
    pass_time(clock, seconds, clock.leader)
    return published_hold(clock.store.snapshot().leader_status)


def rejected(timestamp: int | str, **how: Any) -> Hold | None:
    """The hold of a clock whose only partition is reported with this timestamp."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    if isinstance(timestamp, str):
        clock.report(0, timestamp, **how)
    else:
        clock.settle()
        clock.store.report(Report(how.get("group", "group"), (PartitionTimestamp(Partition("events", 0), timestamp),)))
    return shown(clock)


@situation("unreported")
def _() -> Hold | None:
    clock = FaultyClock()
    clock.settle()
    clock.leader.leave()
    clock.leader = clock.new_leader("next", replace(clock.spec, heartbeat=HeartbeatSpec()))
    return shown(clock, 10)


@situation("unreported-heartbeats-off")
def _() -> Hold | None:
    return shown(FaultyClock())


@situation("unreported-all-excluded")
def _() -> Hold | None:
    clock = clock_with_ticks()
    Operator(clock).ask(RequestKind.EXCLUDE, 0)
    return shown(clock)


@situation("unreported-foreign-topic")
def _() -> Hold | None:
    return rejected("2026-11-22T12:01:00Z", topic="brk")


@situation("behind-silent")
def _() -> Hold | None:
    return shown(clock_with_ticks(), 200)


@situation("behind-stuck")
def _() -> Hold | None:
    clock = clock_with_ticks()
    pass_time(clock, 200, clock.leader)
    clock.report(0, "2026-11-22T12:03:00Z")
    return shown(clock)


@situation("rejected-too-far-ahead")
def _() -> Hold | None:
    return rejected("2026-11-22T13:30:00Z")


@situation("rejected-no-timestamp")
def _() -> Hold | None:
    return rejected(-1)


@situation("rejected-not-milliseconds")
def _() -> Hold | None:
    return rejected(1_795_348_800)


@situation("rejected-foreign-group")
def _() -> Hold | None:
    return rejected(1_795_348_800_000, group="canary")


@situation("rejected-foreign-topic")
def _() -> Hold | None:
    clock = FaultyClock()
    clock.settle()
    of_unknown_topic = PartitionTimestamp(Partition("events", 0), clock.time.now_ms()), Outcome.FOREIGN_TOPIC
    clock.store.report(Report("group", (), (of_unknown_topic,)))
    return shown(clock)


@situation("too-far-back")
def _() -> Hold | None:
    return rejected(500_000_000_000)


@situation("topic-missing")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.topics.hide("events", 0)
    return shown(clock, 40)


@situation("ahead-of-time")
def _() -> Hold | None:
    clock = clock_with_ticks()
    for _ in range(8):
        clock.time.set("2026-11-22T12:03:30Z")
        clock.report(0, "2026-11-22T12:04:10Z")
        pass_time(clock, 20, clock.leader)
    return shown(clock)


@situation("metadata-unavailable")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.topics.unavailable = True
    return shown(clock, 34)


@situation("metadata-permission")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.topics.undescribed["events"] = "TOPIC_AUTHORIZATION_FAILED"
    return shown(clock, 40)


@situation("metadata-without-ids")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.topics.without_ids = True
    return shown(clock, 40)


@situation("store-mismatch")
def _() -> Hold | None:
    clock = clock_with_ticks()
    stored = clock.store_server.content.clock(clock.spec.name)
    assert stored.identity is not None
    stored.identity = replace(stored.identity, cluster_id="another")
    clock.leader.start_over()
    return shown(clock, 12)


@situation("store-mismatch-log")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.leader.leave()
    pass_time(clock, 3, another_leader(clock, "b:2", installation=Installation("staging", "memory")))
    return published_hold(clock.store.snapshot().leader_status)


@situation("store-mismatch-empty")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.leader.leave()
    clock.store_server.wipe()
    pass_time(clock, 8, another_leader(clock, "b:2", installation=Installation(INSTALLATION.prefix, "elsewhere:6379")))
    return published_hold(clock.store.snapshot().leader_status)


@situation("store-mismatch-same-address")
def _() -> Hold | None:
    first, second = clock_with_ticks(), FaultyClock(now="2026-11-22T12:30:00Z")
    second.log = first.log
    pass_time(second, 4, another_leader(second, "b:2"))
    first.report(0, "2026-11-22T12:05:00Z")
    return shown(first, 8)


@situation("ticklog-newer-record")
def _() -> Hold | None:
    clock = clock_with_ticks()
    write_newer(clock, format=FORMAT + 1)
    return shown(clock)


@situation("upstream-behind")
def _() -> Hold | None:
    return held_by(Hold(Reason.PARTITION_BEHIND, (Partition("raw", 7),), "it is behind").to_wire())


@situation("leader-stuck")
def _() -> Hold | None:
    clock = clock_with_ticks()
    clock.leader.leave()
    ticklog = UnansweredTickLog(clock.log, clock.time)
    clock.leader = another_leader(clock, "stuck", ticklog=ticklog)
    pass_time(clock, 2, clock.leader)
    ticklog.unanswered = True
    report_only(clock, "2026-11-22T12:05:00Z")
    clock.leader.step()
    return published_hold(clock.store.snapshot().leader_status)


@situation("ticklog-truncated")
def _() -> Hold | None:
    clock = clock_with_ticks(5)
    clock.log.lose_tail(4)
    clock.report(0, "2026-11-22T12:06:00Z")
    return shown(clock, 10)


@situation("config-conflict")
def _() -> Hold | None:
    clock = clock_with_ticks()
    another = another_leader(clock, "replica-b:2", spec=replace(clock.spec, interval_ms=120_000))
    pass_time(clock, 4, another, clock.leader)
    return shown(clock)


@situation("config-conflict-leader")
def _() -> Hold | None:
    clock_fixture = ClockFixture()
    clock_fixture.leases.announce(Announcement("host-1:4711 1", {}, None), 60_000, {})
    return clock_fixture.view.state().hold


@situation("no-leader")
def _() -> Hold | None:
    return ClockFixture(led=False).view.state().hold


@situation("paused")
def _() -> Hold | None:
    clock = clock_with_ticks()
    Operator(clock).ask(RequestKind.PAUSE, reason="a migration")
    return shown(clock)


def words(cause: str, where: str) -> list[str]:
    """The words that must be read somewhere, with the names of the tests' clock."""
    return [word.format(**NAMES) for word in CAUSES[cause][where]]


def test_every_reason_has_a_cause() -> None:
    """Each cause whose detail clocksvc itself writes has a situation here."""
    assert {cause["reason"] for cause in CAUSES.values()} == {reason.value for reason in Reason}
    assert {name for name, cause in CAUSES.items() if cause["detail"]} == set(SITUATIONS)


@pytest.mark.parametrize("cause", SITUATIONS)
def test_the_detail_names_the_cause_and_what_to_do(cause: str) -> None:
    """The hold that the leader or the service makes, and the line of `clocksvc status`."""
    hold = SITUATIONS[cause]()
    assert hold is not None
    assert str(hold.reason) == CAUSES[cause]["reason"]
    assert [word for word in words(cause, "detail") if word not in hold.detail] == [], hold.detail

    line = " ".join(hold_lines(replace(ClockFixture().view.state(), hold=hold, topics=("events",))))
    expected = (str(hold.reason), *words(cause, "detail"))
    assert [word for word in expected if word.lower() not in line.lower()] == [], line


@pytest.mark.parametrize("cause", CAUSES)
def test_the_runbook_has_the_cause(cause: str) -> None:
    """In the section of its reason, which is the one that the page opens."""
    found = [" ".join(section.split()) for section in SECTIONS if f"Reason `{CAUSES[cause]['reason']}`" in section]

    assert len(found) == 1
    assert [word for word in words(cause, "runbook") if word not in found[0]] == [], found[0]
