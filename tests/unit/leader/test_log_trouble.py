"""A tick log that lost records, contains foreign ones, or whose last commit has no known outcome."""

import json

import pytest
from clocksvc.leader.set_first_tick import set_first_tick

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import Message
from clocksvc.clock.partition import Partition, PartitionTimestamp
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import TickLogMisconfigured
from clocksvc.interfaces.progress import Report
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.faulty.tick_log import FaultyTickLog
from tests.unit.leader.clocks import clock_with_ticks, hold_of, minutes, pass_time, times


def init_at(clock: FaultyClock, minute: int) -> None:
    """Run `clocksvc init CLOCK --last-tick T` for a minute after 12:00."""
    last_tick_ms = parse_timestamp("T", minutes(minute)[0])
    set_first_tick(clock.spec, clock.store, FaultyTickLog(clock.log), clock.time, last_tick_ms)


def test_a_log_recreated_after_init_is_a_first_start() -> None:
    """The time that init set is lost with the log that contained it: the clock starts at its first minimum."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    init_at(clock, 5)
    clock.settle()
    clock.log.recreate()
    clock.leader.leave()
    clock.leader = clock.new_leader("next")

    clock.report(0, "2026-11-22T12:10:00Z")

    assert times(clock) == minutes(10)
    assert clock.ticks()[0].previous_ms is None


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


def logged_times(clock: FaultyClock) -> list[str]:
    """The times of the ticks that a subscriber of the tick log has received."""
    return [json.loads(one.value or b"")["time"] for one in clock.log.committed()]


@pytest.mark.parametrize("at_once", [1, 3])
def test_ticks_of_a_lost_commit_are_committed_again(at_once: int) -> None:
    """Subscribers have seen them: the next leader finds them where no reader does, and continues after them."""
    clock = clock_with_ticks(2)
    clock.report(0, minutes(2 + at_once)[0])
    clock.log.forget_end()
    shown, logged = clock.ticks(), len(clock.log.committed())
    clock.leader.leave()
    clock.leader = clock.new_leader("next")
    pass_time(clock, 6, clock.leader)
    clock.report(0, minutes(3 + at_once)[0])

    assert logged == 2
    assert clock.ticks()[:-1] == shown
    assert times(clock) == minutes(*range(1, 4 + at_once))
    assert logged_times(clock) == times(clock)


def test_a_running_leader_notices_that_its_commit_was_lost() -> None:
    """At its next idle step it commits again what the log lacks: no reader waits for a tick that never comes."""
    clock = clock_with_ticks(2)
    clock.log.forget_end()
    leader = clock.leader
    pass_time(clock, 3, leader)

    assert logged_times(clock) == minutes(1, 2)
    assert leader.phase is Phase.LEADING
    clock.report(0, minutes(3)[0])
    assert logged_times(clock) == times(clock) == minutes(1, 2, 3)


@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_repetition_that_the_store_interrupted_is_settled_at_once(fault: CommitFault) -> None:
    """Whether it was committed or not is known after the next fence: no hold names a foreign transaction."""
    clock = clock_with_ticks(2)
    clock.log.forget_end()
    clock.leader.leave()
    clock.leader = clock.new_leader("next")
    clock.log.commit_faults.append(fault)

    def break_store(step: str) -> None:
        clock.store_server.broken = clock.store_server.broken or step == "append.sent"

    clock.log.at = break_store
    while not clock.store_server.broken:
        pass_time(clock, 0.25, clock.leader)
    clock.log.at = lambda _: None
    clock.store_server.broken = False

    for _ in range(12):
        pass_time(clock, 0.25, clock.leader)
        assert hold_of(clock)[0] is not Reason.TICKLOG_OPEN_TRANSACTION
    assert clock.leader.phase is Phase.LEADING
    clock.report(0, minutes(3)[0])

    assert logged_times(clock) == times(clock) == minutes(1, 2, 3)


def test_init_ends_a_hanging_transaction() -> None:
    """An init whose commit a broker lost can be repeated, and then stays."""
    clock = FaultyClock(now="2026-11-22T12:30:00Z")
    clock.leader.leave()
    init_at(clock, 5)
    clock.log.forget_end()
    init_at(clock, 7)
    clock.leader = clock.new_leader("next")
    clock.report(0, "2026-11-22T12:08:00Z")

    assert times(clock) == minutes(8)
    assert clock.ticks()[0].previous_ms == parse_timestamp("T", minutes(7)[0])


def test_init_is_rejected_while_a_leader_can_repeat_the_commit() -> None:
    """`init` would overwrite ticks that subscribers saw and that are still in the topic."""
    clock = clock_with_ticks(2)
    clock.log.forget_end()
    clock.leader.leave()
    with pytest.raises(TickLogMisconfigured, match=r"^a broker lost a commit .* up to 2026-11-22T12:02:00Z"):
        init_at(clock, 10)
    clock.leader = clock.new_leader("next")
    pass_time(clock, 6, clock.leader)
    clock.report(0, minutes(3)[0])

    assert logged_times(clock) == times(clock) == minutes(1, 2, 3)


def test_a_rejected_init_does_not_disturb_the_leader() -> None:
    """The running leader continues with its next tick at once."""
    clock = clock_with_ticks()
    with pytest.raises(TickLogMisconfigured):
        init_at(clock, 10)

    clock.report(0, "2026-11-22T12:04:00Z")

    assert times(clock) == minutes(1, 2, 3, 4)


def test_a_foreign_record_within_the_log_does_not_stop_a_rebuild() -> None:
    """The last record is complete and contains the state; a foreign record before it is skipped."""
    clock = clock_with_ticks(2)
    clock.log.write_foreign(Message(b"foreign", b"hello", None))
    clock.report(0, "2026-11-22T12:04:00Z")
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

    def break_store(step: str) -> None:
        clock.store_server.broken = clock.store_server.broken or step == "append.sent"

    clock.log.at = break_store
    reading = PartitionTimestamp(Partition("events", 0), parse_timestamp("timestamp", minutes(4)[0]))
    clock.store.report(Report("group", (reading,)))
    clock.leader.step()
    assert clock.store_server.broken
    clock.log.at = lambda _: None
    clock.store_server.broken = False

    for _ in range(8):
        pass_time(clock, 0.25, clock.leader)
        assert hold_of(clock)[0] is not Reason.TICKLOG_OPEN_TRANSACTION
    assert times(clock) == minutes(1, 2, 3, 4)
    clock.report(0, "2026-11-22T12:05:00Z")

    assert clock.leader.phase is Phase.LEADING
    assert times(clock) == minutes(1, 2, 3, 4, 5)
