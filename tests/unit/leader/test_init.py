"""`clocksvc init` as a request to the leader: what it writes, how the clock continues, and what is rejected."""

from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import Beginning, ClockState, Message, Record, encode_message
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind, RequestResult, ResultKind
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.leader.leader import Phase
from clocksvc.testing import ManualTime
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.faulty.store import FaultyStoreServer
from tests.unit.leader.clocks import another_leader, hold_of, leases_of, pass_time, phase_of, report_only
from tests.unit.leader.override_requests import Operator, controls, records

pytestmark = pytest.mark.core

DONE, REJECTED, NOT_DONE = ResultKind.DONE, ResultKind.REJECTED, ResultKind.NOT_DONE


def ms(clock_time: str) -> int:
    """A time of the day of the tests, in ms."""
    return parse_timestamp("time", f"2026-11-22T{clock_time}Z")


def init(clock: FaultyClock, last_tick: str, *, skip_ticks: bool = False) -> RequestResult:
    """Request init, and let the clock's leader handle it."""
    return Operator(clock).init(f"2026-11-22T{last_tick}Z", skip_ticks=skip_ticks)


def led(clock: FaultyClock) -> FaultyClock:
    """The clock with a leader that has written its first roster."""
    clock.settle()
    assert phase_of(clock.leader) is Phase.LEADING
    return clock


def times(clock: FaultyClock) -> list[str]:
    """The times of day of the ticks."""
    return [to_rfc3339(tick.at_ms)[11:-1] for tick in clock.ticks()]


def tick_through(clock: FaultyClock, *reports: str) -> None:
    """Report these times for the clock's only partition."""
    for report in reports:
        clock.report(0, f"2026-11-22T{report}Z")


def test_first_tick_is_the_boundary_after_what_init_said() -> None:
    """T is `previous` of the first tick: each boundary after it gets a tick, even if the first report is much later."""
    clock = led(FaultyClock())
    assert init(clock, "11:55:00").kind is DONE

    tick_through(clock, "11:58:30")

    assert times(clock) == ["11:56:00", "11:57:00", "11:58:00"]
    assert clock.ticks()[0].previous_ms == ms("11:55:00")


def test_no_tick_appears() -> None:
    """The log gets only a control record; the stream stays empty, and T is the time that readers show."""
    clock = led(FaultyClock())
    before = records(clock)

    init(clock, "11:55:00")

    (record,) = records(clock)[len(before) :]
    assert (record.type, record.state.last_tick_ms, record.state.last_emitted_ms) == ("control", ms("11:55:00"), None)
    assert record.state.topics == before[-1].state.topics
    assert [(request["kind"], request["by"]) for request in record.requests] == [("init", "ada")]
    assert clock.ticks() == []
    bounds = clock.store.bounds()
    assert (bounds.base_ms, bounds.written, bounds.restoring) == (ms("11:55:00"), True, False)


def test_a_clock_that_waits_for_its_first_report_continues_from_it() -> None:
    """The leader keeps the lease, and the progress that was reported before counts."""
    clock = FaultyClock(partitions=2)
    clock.report(0, "2026-11-22T11:58:30Z")
    init(clock, "11:55:00")

    clock.report(1, "2026-11-22T11:57:30Z")

    assert times(clock) == ["11:56:00", "11:57:00"]
    assert clock.ticks()[0].previous_ms == ms("11:55:00")


def test_the_next_leader_knows_it() -> None:
    """Also without the store: T is in the log."""
    clock = led(FaultyClock())
    init(clock, "11:55:00")
    clock.leader.leave()
    clock.store_server.wipe()
    clock.leader = clock.new_leader("next")
    pass_time(clock, 4, clock.leader)

    tick_through(clock, "11:56:30")

    assert [(tick.previous_ms, tick.at_ms) for tick in clock.ticks()] == [(ms("11:55:00"), ms("11:56:00"))]


def test_rejects_a_clock_with_ticks() -> None:
    """A clock with ticks continues by itself; nothing is written, and the next tick comes at once."""
    clock = FaultyClock()
    tick_through(clock, "11:58:30")
    before = records(clock)

    answer = init(clock, "11:59:00")

    assert (answer.kind, answer.field, answer.value) == (REJECTED, "last_tick", "2026-11-22T11:59:00Z")
    assert "2026-11-22T11:58:00Z" in answer.wanted
    assert "--skip-ticks" in answer.wanted
    assert records(clock) == before
    tick_through(clock, "11:59:30")
    assert times(clock) == ["11:58:00", "11:59:00"]


@pytest.mark.parametrize(
    ("last_tick", "wanted"),
    [
        ("11:55:30", "(60 s), such as 2026-11-22T11:55:00Z or 2026-11-22T11:56:00Z"),
        ("12:01:00", "future, at most 2026-11-22T12:00:00Z"),
    ],
)
def test_rejects_a_time_that_can_not_be_a_tick(last_tick: str, wanted: str) -> None:
    """The result names the field, the value and valid times."""
    clock = led(FaultyClock())

    answer = init(clock, last_tick)

    assert (answer.kind, answer.field, answer.value) == (REJECTED, "last_tick", f"2026-11-22T{last_tick}Z")
    assert wanted in answer.wanted
    assert controls(clock) == []


@pytest.mark.parametrize("slow", ["store", "leader"])
def test_both_clocks_must_have_passed_t(slow: str) -> None:
    """T must not be ahead of the slower one of the clocks of store and leader."""
    clock, ahead = FaultyClock(), ManualTime("2026-11-22T12:02:00Z")
    if slow == "leader":
        clock.store_server = FaultyStoreServer(ahead)
        clock.store = clock.store_server.store(clock.spec.name)
    time = clock.time if slow == "leader" else ahead
    clock.leader = another_leader(clock, "leader", time=time, leases=leases_of(clock))
    led(clock)

    answer = init(clock, "12:01:00")

    assert answer.kind is REJECTED
    assert "future" in answer.wanted


def test_continues_after_the_log_lost_its_last_ticks() -> None:
    """After a hold (ticklog_truncated): init at the store's last tick or later, and the clock continues from there."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10", "11:56:10", "11:57:10")
    clock.log.lose_tail(2)
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED

    assert init(clock, "11:57:00").kind is DONE
    tick_through(clock, "11:58:10")

    assert times(clock) == ["11:55:00", "11:56:00", "11:57:00", "11:58:00"]
    assert clock.ticks()[-1].previous_ms == ms("11:57:00")
    assert hold_of(clock)[0] is None


def test_continues_at_a_later_time_than_the_stores_last_tick() -> None:
    """The stream begins again after T, and it is complete: no reader waits for older ticks."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10", "11:56:10", "11:57:10")
    clock.log.lose_tail(2)
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)

    assert init(clock, "11:58:00").kind is DONE
    tick_through(clock, "11:59:10")

    assert [(tick.previous_ms, tick.at_ms) for tick in clock.ticks()] == [(ms("11:58:00"), ms("11:59:00"))]
    assert not clock.store.bounds().restoring


@pytest.mark.parametrize("last_tick", ["11:54:00", "11:56:00"])
def test_never_goes_back_before_a_tick_of_the_store(last_tick: str) -> None:
    """Published ticks may have been used, even if the log has lost them."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10", "11:56:10", "11:57:10")
    clock.log.recreate()
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)

    answer = init(clock, last_tick)

    assert answer.kind is REJECTED
    assert "the store already has tick 2026-11-22T11:57:00Z" in answer.wanted
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED


def test_ends_a_hold_whose_lost_ticks_the_store_has_lost_too() -> None:
    """T equals the log's last tick, so the state does not change. Still the control record is committed, and the hold
    ends."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10", "11:56:10")
    clock.log.lose_tail(2)
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)
    clock.store_server.content.clocks.clear()
    pass_time(clock, 1, clock.leader)
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED

    assert init(clock, "11:55:00").kind is DONE

    assert len(controls(clock)) == 1
    tick_through(clock, "11:56:10")
    assert times(clock) == ["11:55:00", "11:56:00"]


def test_continues_where_the_log_is_empty_and_begins_above_zero() -> None:
    """All records of the log are deleted and the store is flushed: only a person knows the last tick."""
    clock = FaultyClock()
    tick_through(clock, "11:55:10")
    clock.log.truncate_before(clock.log.end)
    clock.leader.leave()
    clock.store_server.wipe()
    clock.leader = clock.new_leader("second")
    pass_time(clock, 4, clock.leader)
    assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED

    assert init(clock, "11:57:00").kind is DONE
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
        group=clock.spec.group,
        topics=dict(clock.topics.describe(["events"]).topics),
    )
    clock.log.recreate()
    clock.log.commit([encode_message(Record("clock", kept))])
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)

    assert init(clock, "11:58:00").kind is DONE

    beginning = Beginning(ms("11:57:00"), ms("11:58:00"))
    assert controls(clock)[-1].state == replace(kept, last_tick_ms=ms("11:58:00"), beginning=beginning)


def test_may_be_corrected_before_the_first_tick() -> None:
    """To a later time, and to an earlier one: T is no tick. Also a leader that finds the store before the correction
    does not take its beginning for a lost tick."""
    clock = led(FaultyClock())

    assert [init(clock, at).kind for at in ("11:55:00", "11:55:00", "11:58:00", "11:56:00")] == [DONE] * 4
    assert [to_rfc3339(one.state.last_tick_ms or 0)[11:-1] for one in controls(clock)] == [
        "11:55:00",
        "11:58:00",
        "11:56:00",
    ]
    clock.leader.leave()
    clock.store_server.content.clock("clock").base_ms = ms("11:58:00")
    clock.leader = clock.new_leader("next")
    pass_time(clock, 4, clock.leader)
    assert hold_of(clock)[0] is not Reason.TICKLOG_TRUNCATED
    assert clock.store.bounds().base_ms == ms("11:56:00")
    tick_through(clock, "11:57:00", "11:57:00")
    assert [(tick.previous_ms, tick.at_ms) for tick in clock.ticks()] == [(ms("11:56:00"), ms("11:57:00"))]
    assert init(clock, "11:56:00").kind is REJECTED


def test_ends_a_wrong_catch_up() -> None:
    """With the option, the clock continues after T. The boundaries in between are never emitted, log and store agree,
    and the control record says who skipped them. The next tick does not follow the last one."""
    clock = FaultyClock()
    tick_through(clock, "10:00:00")
    report_only(clock, "2026-11-22T11:57:30Z")

    answer = init(clock, "11:55:00", skip_ticks=True)

    skipped = "115 boundaries, from 2026-11-22T10:01:00Z to 2026-11-22T11:55:00Z,"
    assert (answer.kind, answer.detail) == (DONE, skipped)
    (control,) = controls(clock)
    assert [(request["by"], request["skip_ticks"]) for request in control.requests] == [("ada", True)]
    assert [(tick.previous_ms, tick.at_ms) for tick in clock.ticks()] == [
        (ms("11:55:00"), ms("11:56:00")),
        (ms("11:56:00"), ms("11:57:00")),
    ]
    bounds = clock.store.bounds()
    assert (bounds.restoring, hold_of(clock)[0]) == (False, None)
    assert [record.tick.at_ms for record in records(clock) if record.tick] == [
        ms("10:00:00"),
        ms("11:56:00"),
        ms("11:57:00"),
    ]


def test_a_skip_is_taken_back_before_the_next_tick() -> None:
    """Init with the last tick: the clock continues after it, with its history."""
    clock = FaultyClock()
    tick_through(clock, "11:50:00", "11:51:00")
    assert init(clock, "11:58:00", skip_ticks=True).kind is DONE
    assert clock.ticks() == []

    assert init(clock, "11:50:00", skip_ticks=True).kind is REJECTED
    assert init(clock, "11:51:00").kind is DONE
    pass_time(clock, 2, clock.leader)
    tick_through(clock, "11:53:00")

    assert times(clock) == ["11:50:00", "11:51:00", "11:52:00", "11:53:00"]


@pytest.mark.parametrize("last_tick", ["11:58:00", "11:57:00"])
def test_a_skip_goes_forward_only(last_tick: str) -> None:
    """T must be later than the last tick."""
    clock = FaultyClock()
    tick_through(clock, "11:58:30")
    before = records(clock)

    assert init(clock, last_tick, skip_ticks=True).kind is REJECTED
    assert records(clock) == before


def test_a_clock_whose_record_can_not_be_read_gets_no_init() -> None:
    """A record of a newer version may be a later tick: nothing is committed, and the caller does not learn a result."""
    clock = led(FaultyClock())
    clock.leader.leave()
    clock.log.write_foreign(Message(b"clock", b'{"format": 99}', "tick"))
    clock.settle()
    assert hold_of(clock)[0] is Reason.TICKLOG_UNAVAILABLE
    operator = Operator(clock)

    left = operator.submit_init("2026-11-22T11:55:00Z")
    pass_time(clock, 2, clock.leader)

    assert operator.answer(left) is None
    assert [one.key for one in (entry.message for entry in clock.log.committed())].count(b"clock") == 3


def test_pause_and_init_at_once() -> None:
    """One control record contains both, in their order."""
    clock = led(FaultyClock())
    operator = Operator(clock)
    left = [operator.submit(RequestKind.PAUSE), operator.submit_init("2026-11-22T11:55:00Z")]
    clock.settle()

    (control,) = controls(clock)
    assert [request["kind"] for request in control.requests] == ["pause", "init"]
    assert [getattr(operator.answer(one), "kind", None) for one in left] == [DONE, DONE]
    assert (control.state.last_tick_ms, hold_of(clock)[0]) == (ms("11:55:00"), Reason.PAUSED)


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_commit_without_an_answer(fault: CommitFault, truncated: bool) -> None:
    """Whether the first commit succeeded or not, the log has the record once, and the caller learns that it is done."""
    clock = led(FaultyClock())
    if truncated:
        tick_through(clock, "11:55:10", "11:56:10")
        clock.log.lose_tail(2)
        clock.leader.start_over()
        pass_time(clock, 6, clock.leader)
        assert hold_of(clock)[0] is Reason.TICKLOG_TRUNCATED
    clock.log.commit_faults.append(fault)

    answer = init(clock, "11:57:00")

    assert answer.kind is DONE
    assert [record.state.last_tick_ms for record in controls(clock)] == [ms("11:57:00")]
    tick_through(clock, "11:58:10")
    assert times(clock)[-1] == "11:58:00"
    assert clock.ticks()[-1].previous_ms == ms("11:57:00")
