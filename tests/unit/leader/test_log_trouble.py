"""A tick log that lost records, contains foreign ones, or whose last commit has no known outcome."""

import logging

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import Message
from clocksvc.clock.request import ResultKind
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.unit.leader.clocks import (
    clock_with_ticks,
    detail_of,
    hold_of,
    logged,
    minutes,
    pass_time,
    report_only,
    store_breaks_at,
    times,
)
from tests.unit.leader.override_requests import Operator


def init_at(clock: FaultyClock, minute: int) -> None:
    """Run `clocksvc init CLOCK --last-tick T` for a minute after 12:00."""
    assert Operator(clock).init(minutes(minute)[0]).kind is ResultKind.DONE


def test_a_log_recreated_after_init_is_no_first_start() -> None:
    """The log has lost the time that init set, and the store has it: the clock holds until a person repeats init."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.settle()
    init_at(clock, 5)
    clock.log.recreate()
    clock.leader.leave()
    clock.leader = clock.new_leader("next")

    clock.report(0, "2026-11-22T12:10:00Z")
    assert times(clock) == []
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED
    assert f"T is {minutes(5)[0]} or a later tick" in detail_of(clock)
    init_at(clock, 8)
    clock.settle()

    assert times(clock) == minutes(9, 10)


def test_init_at_the_last_tick_of_the_store_keeps_its_ticks() -> None:
    """The way out of `ticklog_truncated` that the hold names: subscribers keep all ticks that they saw."""
    clock = clock_with_ticks(4)
    clock.log.lose_tail(2)  # a tick and its marker
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED

    init_at(clock, 4)
    pass_time(clock, 6, clock.leader)
    assert times(clock) == minutes(1, 2, 3, 4)
    clock.report(0, "2026-11-22T12:05:00Z")

    assert times(clock) == minutes(1, 2, 3, 4, 5)


@pytest.mark.parametrize("leader", ["running", "next"])
@pytest.mark.parametrize("at_once", [1, 3])
def test_a_published_commit_that_the_brokers_lost_is_a_hold(at_once: int, leader: str) -> None:
    """Nothing is committed twice to repair ticks that were published. The leader ends the hanging transaction, and the
    clock holds by name."""
    clock = clock_with_ticks(2)
    clock.report(0, minutes(2 + at_once)[0])
    clock.log.forget_end()
    shown = clock.ticks()
    if leader == "next":
        clock.leader.leave()
        clock.leader = clock.new_leader("next")
    clock.report(0, minutes(3 + at_once)[0])
    pass_time(clock, 6, clock.leader)

    assert clock.leader.phase is Phase.LEADING
    assert logged(clock) == minutes(1, 2)
    assert clock.ticks() == shown
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED
    assert f"the store has tick {minutes(2 + at_once)[0]}" in detail_of(clock)


def test_a_foreign_record_within_the_log_stops_neither_ticks_nor_a_restoration() -> None:
    """The next transaction does not begin at the known end: the leader reads the log again, and continues."""
    clock = clock_with_ticks(2)
    clock.log.write_foreign(Message(b"foreign", b"hello", None))
    clock.report(0, "2026-11-22T12:04:00Z")
    assert logged(clock) == times(clock) == minutes(1, 2, 3, 4)
    clock.store_server.wipe()
    pass_time(clock, 10, clock.leader)

    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED
    assert times(clock) == minutes(1, 2, 3, 4)


@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_commit_that_the_store_interrupted_is_settled_at_once(fault: CommitFault) -> None:
    """The store fails while a commit waits for its answer: a new producer settles it, without a hold that names a
    foreign transaction, and the leader keeps its lease."""
    clock = clock_with_ticks()
    clock.log.commit_faults.append(fault)
    with store_breaks_at(clock, "append.sent"):
        report_only(clock, minutes(4)[0])
        clock.leader.step()
        assert clock.store_server.broken

    for _ in range(8):
        pass_time(clock, 0.25, clock.leader)
        assert hold_of(clock)[0] is not Reason.TICKLOG_OPEN_TRANSACTION
    assert times(clock) == minutes(1, 2, 3, 4)
    clock.report(0, "2026-11-22T12:05:00Z")

    assert clock.leader.phase is Phase.LEADING
    assert times(clock) == minutes(1, 2, 3, 4, 5)


def test_an_outage_of_kafka_is_one_line_for_each_state(caplog: pytest.LogCaptureFixture) -> None:
    """A new leader tries every second until Kafka is back. A second outage, a moment later, is logged again."""
    clock = clock_with_ticks(1)
    with caplog.at_level(logging.WARNING, "clocksvc.leader"):
        for outages in (1, 2):
            clock.topics.unavailable = clock.log.unavailable = True
            clock.leader.start_over()
            pass_time(clock, 5, clock.leader)
            clock.topics.unavailable = clock.log.unavailable = False
            pass_time(clock, 5, clock.leader)
            assert [text for text in caplog.messages if "round failed" in text] == ["round failed"] * outages
