"""`leader.set_first_tick` in memory: what it writes, how the next leader continues, and what it rejects."""

from dataclasses import replace

import pytest
from clocksvc.leader.set_first_tick import ATTEMPTS, set_first_tick

from clocksvc.clock.log_record import ClockState, Message, Record, decode_message
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import (
    Fenced,
    InvalidValue,
    OutcomeUnknown,
    StoreUnavailable,
    TickLogMisconfigured,
    TickLogUnavailable,
    UnreadableRecord,
)
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.faulty.tick_log import FaultyTickLog

pytestmark = pytest.mark.core


def ms(clock_time: str) -> int:
    """A time of the day of the tests, in ms."""
    return parse_timestamp("time", f"2026-11-22T{clock_time}Z")


def init(clock: FaultyClock, last_tick: str) -> Record:
    """Run init for this clock."""
    return set_first_tick(clock.spec, clock.store, FaultyTickLog(clock.log), clock.time, ms(last_tick))


def written(clock: FaultyClock) -> list[Record]:
    """All committed records of the log, in order."""
    return [decode_message("clock", message) for message in clock.log.committed()]


def times(clock: FaultyClock) -> list[str]:
    """The times of day of the ticks."""
    return [to_rfc3339(tick.at_ms)[11:-1] for tick in clock.ticks()]


def tick_through(clock: FaultyClock, *reports: str) -> None:
    """Report these times for the clock's only partition."""
    for report in reports:
        clock.report(0, f"2026-11-22T{report}Z")


def test_first_tick_is_the_boundary_after_what_init_said() -> None:
    """T is `previous` of the first tick: each boundary after it gets a tick, even if the first report is much later."""
    clock = FaultyClock()
    init(clock, "11:55:00")

    tick_through(clock, "11:58:30")

    assert times(clock) == ["11:56:00", "11:57:00", "11:58:00"]
    assert clock.ticks()[0].previous_ms == ms("11:55:00")


def test_no_tick_appears() -> None:
    """The log gets only a control record; the stream stays empty."""
    clock = FaultyClock()

    record = init(clock, "11:55:00")
    clock.settle()

    assert written(clock) == [record]
    assert (record.type, record.state.last_tick_ms, record.state.last_emitted_ms) == ("control", ms("11:55:00"), None)
    assert record.state.config_digest == clock.spec.digest()
    assert clock.ticks() == []


def test_a_running_leader_continues_from_it() -> None:
    """init fences a leader that waits for its first report; the leader comes back and begins after T."""
    clock = FaultyClock(partitions=2)
    clock.report(0, "2026-11-22T11:58:30Z")
    init(clock, "11:55:00")

    clock.report(1, "2026-11-22T11:57:30Z")
    clock.time.advance(10)
    clock.settle()
    clock.report(1, "2026-11-22T11:57:31Z")

    assert times(clock) == ["11:56:00", "11:57:00"]
    assert written(clock)[1].state.last_tick_ms == ms("11:56:00")


def test_a_missing_log_is_created() -> None:
    """init can run before the first leader: it creates the topic as a leader does."""
    clock = FaultyClock()
    assert clock.log.shape is None

    init(clock, "11:55:00")

    assert clock.log.shape is not None


def test_rejects_a_log_with_a_last_tick() -> None:
    """A clock with ticks continues by itself; nothing is written."""
    clock = FaultyClock()
    tick_through(clock, "11:58:30")
    before = written(clock)

    with pytest.raises(TickLogMisconfigured, match=r"2026-11-22T11:58:00Z.*ticklog_truncated"):
        init(clock, "11:59:00")

    assert written(clock) == before


@pytest.mark.parametrize(
    ("last_tick", "wanted"),
    [
        ("11:55:30", r"multiple of the interval .*\(60 s\), such as 2026-11-22T11:55:00Z or 2026-11-22T11:56:00Z"),
        ("12:01:00", r"future, at most 2026-11-22T12:00:00Z"),
    ],
)
def test_rejects_a_time_that_can_not_be_a_tick(last_tick: str, wanted: str) -> None:
    """The error names the argument, the value and valid times."""
    clock = FaultyClock()

    with pytest.raises(InvalidValue, match=wanted) as rejected:
        init(clock, last_tick)

    assert rejected.value.field == "--last-tick"
    assert written(clock) == []


def test_both_clocks_must_have_passed_t() -> None:
    """T must not be ahead of a slow clock of the store either."""
    clock = FaultyClock()
    clock.time.advance(120)
    slow_store = FaultyClock().store

    with pytest.raises(InvalidValue, match="future"):
        set_first_tick(clock.spec, slow_store, FaultyTickLog(clock.log), clock.time, ms("12:01:00"))


def test_continues_after_the_log_lost_its_last_ticks() -> None:
    """After a hold (ticklog_truncated): init at the store's last tick or later, and the clock continues from there."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10", "11:56:10", "11:57:10")
    clock.log.lose_tail(2)
    clock.leader = clock.new_leader("second")
    clock.time.advance(10)

    init(clock, "11:57:00")
    tick_through(clock, "11:58:10")

    assert clock.ticks()[-1].previous_ms == ms("11:57:00")
    assert clock.ticks()[-1].at_ms == ms("11:58:00")


@pytest.mark.parametrize("last_tick", ["11:54:00", "11:56:00"])
def test_never_goes_back_before_a_tick_of_the_store(last_tick: str) -> None:
    """Published ticks may have been used, even if the log has lost them."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10", "11:56:10", "11:57:10")
    clock.log.recreate()

    with pytest.raises(InvalidValue, match=r"the store already has tick 2026-11-22T11:57:00Z"):
        init(clock, last_tick)


def test_continues_where_the_log_is_empty_and_begins_above_zero() -> None:
    """All records of the log are deleted and the store is flushed: only a person knows the last tick."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10")
    clock.log.truncate_before(clock.log.end)
    clock.store_server.wipe()
    clock.leader = clock.new_leader("second")
    clock.time.advance(10)

    init(clock, "11:57:00")
    clock.settle()
    clock.time.advance(4)
    tick_through(clock, "11:58:10", "11:58:10")

    assert [(tick.previous_ms, tick.at_ms) for tick in clock.ticks()] == [(ms("11:57:00"), ms("11:58:00"))]


def test_keeps_exclusions_and_pause_of_the_readable_state() -> None:
    """Overrides survive the loss of ticks."""
    clock = FaultyClock()
    tick_through(clock, "11:57:10")
    kept = ClockState(
        last_tick_ms=ms("11:56:00"),
        last_emitted_ms=ms("11:56:01"),
        exclusions=(Exclusion(Partition("events", 3), "ops", ms("11:00:00"), "broken disk"),),
        pause=Pause("ops", ms("11:01:00"), "migration"),
        topics=dict(clock.topics.describe(["events"]).topics),
    )
    clock.log.recreate()
    log = FaultyTickLog(clock.log)
    log.fence(lambda: None)
    log.append([Record("clock", kept)], lambda: None)

    record = init(clock, "11:58:00")

    assert record.state == replace(kept, last_tick_ms=ms("11:58:00"), config_digest=clock.spec.digest())


def test_may_be_corrected_before_the_first_tick_but_not_backwards() -> None:
    """T is not a tick, but the global clock may have shown it, and the global clock never goes back."""
    clock = FaultyClock()
    init(clock, "11:55:00")

    assert init(clock, "11:55:00").state.last_tick_ms == ms("11:55:00")
    assert init(clock, "11:56:00").state.last_tick_ms == ms("11:56:00")
    with pytest.raises(InvalidValue, match="the tick log already has tick 2026-11-22T11:56:00Z"):
        init(clock, "11:55:00")


def test_rejects_a_log_that_it_can_not_read() -> None:
    """A record of a newer version may be a later tick: the error says what to do."""
    clock = FaultyClock()
    clock.log.write_foreign(Message(b"clock", b'{"format": 99}', "tick"))

    with pytest.raises(UnreadableRecord, match=r"newer version.*delete the topic 'clock-ticks' and run"):
        init(clock, "11:55:00")


def test_needs_the_store() -> None:
    """Without the store's last tick, init writes nothing."""
    clock = FaultyClock()
    clock.store_server.broken = True

    with pytest.raises(StoreUnavailable):
        init(clock, "11:55:00")

    assert written(clock) == []


def test_fails_when_the_log_can_not_be_reached() -> None:
    """init does not retry: the user sees the reason."""
    clock = FaultyClock()
    clock.log.unavailable = True

    with pytest.raises(TickLogUnavailable):
        init(clock, "11:55:00")


def fence_at_each(clock: FaultyClock, times_left: int) -> None:
    """Fence the next `times_left` attempts to commit, as a running leader does."""
    left = [times_left]

    def fence(step: str) -> None:
        if step == "append" and left[0] > 0:
            left[0] -= 1
            clock.log.fence()

    clock.log.at = fence


def test_tries_again_when_a_leader_fences_it() -> None:
    """Up to the last attempt; the log has the record once."""
    clock = FaultyClock()
    fence_at_each(clock, ATTEMPTS - 1)

    record = init(clock, "11:55:00")

    assert written(clock) == [record]


def test_gives_up_when_it_is_fenced_every_time() -> None:
    """After the last attempt it gives up with Fenced."""
    clock = FaultyClock()
    fence_at_each(clock, ATTEMPTS)

    with pytest.raises(Fenced):
        init(clock, "11:55:00")

    assert written(clock) == []


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_commit_without_an_answer_is_checked(fault: CommitFault, truncated: bool) -> None:
    """Whether the first commit succeeded or not, the log has the record once."""
    clock = FaultyClock()
    if truncated:
        tick_through(clock, "11:55:10", "11:56:10")
        clock.log.lose_tail(2)
    before = len(written(clock))
    clock.log.commit_faults.append(fault)

    record = init(clock, "11:57:00")

    assert written(clock)[before:] == [record]


def test_reports_an_unknown_outcome() -> None:
    """After the last attempt the outcome stays unknown."""
    clock = FaultyClock()
    clock.log.commit_faults += [CommitFault.LOST] * ATTEMPTS

    with pytest.raises(OutcomeUnknown):
        init(clock, "11:55:00")
