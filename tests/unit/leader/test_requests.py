"""What a leader does about requests: committed like ticks, answered after that, and never lost on the way unnoticed."""

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind, ResultKind
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.unit.leader.looks import (
    a_clock_with_ticks,
    hold_of,
    minutes,
    pass_time,
    phase_of,
    times,
)
from tests.unit.leader.operator import (
    Operator,
    controls,
    records,
)

pytestmark = pytest.mark.core

EXCLUDE, INCLUDE, PAUSE, RESUME = RequestKind.EXCLUDE, RequestKind.INCLUDE, RequestKind.PAUSE, RequestKind.RESUME
DONE, REFUSED, NOT_DONE = ResultKind.DONE, ResultKind.REJECTED, ResultKind.NOT_DONE
EVENTS_1 = Partition("events", 1)


def two_partitions() -> FaultyClock:
    """A clock of two partitions that has ticked 12:01; partition 1 has stood still since, partition 0 is at 12:04."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.report(1, "2026-11-22T12:01:30Z")
    clock.report(0, "2026-11-22T12:04:00Z")
    assert times(clock) == minutes(1)
    return clock


def by_now(clock: FaultyClock, reason: str = "a disk died") -> Exclusion:
    """Partition 1, excluded now."""
    return Exclusion(EVENTS_1, "ada", clock.time.now_ms(), reason)


def test_ticks_go_on_without_an_excluded_partition() -> None:
    """The partition that holds the clock is excluded: at once the ticks that were due come, each with its name, and who
    excluded it, when and why, stands in the log and in the store."""
    clock = two_partitions()

    answer = Operator(clock).ask(EXCLUDE, 1)

    assert answer is not None
    assert (answer.kind, answer.exclusions, answer.pause) == (DONE, (by_now(clock),), None)
    assert times(clock) == minutes(1, 2, 3, 4)
    assert [tick.excluded for tick in clock.ticks()] == [(), (EVENTS_1,), (EVENTS_1,), (EVENTS_1,)]
    assert [record.type for record in records(clock)] == ["tick", "control", "tick", "tick", "tick"]
    assert all(record.state.exclusions == (by_now(clock),) for record in records(clock)[1:])
    snapshot = clock.store.snapshot()
    assert (snapshot.exclusions, snapshot.excluded, snapshot.known) == ((by_now(clock),), 1, 1)


def test_a_control_record_changes_nothing_else() -> None:
    """Last tick, topics and digest stay as they were; the record says what was asked for."""
    clock = two_partitions()
    before = records(clock)[-1].state
    Operator(clock).ask(EXCLUDE, 1, "why not")

    (control,) = controls(clock)
    said = {"kind": "exclude", "by": "ada", "at": "2026-11-22T12:30:00Z", "reason": "why not", "topic": "events"}
    assert control.state.exclusions == (by_now(clock, "why not"),)
    assert (control.state.last_tick_ms, control.state.last_emitted_ms) == (before.last_tick_ms, before.last_emitted_ms)
    assert (control.state.topics, control.state.config_digest) == (before.topics, before.config_digest)
    assert [dict(one) | said | {"partition": 1} for one in control.requests] == [dict(control.requests[0])]


def test_taken_back_in_the_clock_never_goes_back() -> None:
    """It holds until the partition has caught up, from what it had reported; then the next ticks wait for it again."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.ask(EXCLUDE, 1)
    clock.report(1, "2026-11-22T12:02:30Z")

    answer = operator.ask(INCLUDE, 1, "repaired")
    assert answer is not None
    assert (answer.kind, answer.exclusions) == (DONE, ())
    clock.report(0, "2026-11-22T12:09:00Z")
    assert times(clock) == minutes(1, 2, 3, 4)
    assert clock.store.read_progress(_token(clock), 3_000).lowest_ms == clock.store.partitions(None, 9)[1].raw_ms
    clock.report(1, "2026-11-22T12:04:59Z")
    assert times(clock) == minutes(1, 2, 3, 4)
    clock.report(1, "2026-11-22T12:05:00Z")

    assert times(clock) == minutes(1, 2, 3, 4, 5)
    assert clock.ticks()[-1].excluded == ()
    assert [record.requests[0]["kind"] for record in controls(clock)] == ["exclude", "include"]


def test_taken_back_in_while_unknown_it_holds_by_name() -> None:
    """What the store lost of it meanwhile is unknown, and unknown is not zero."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.ask(EXCLUDE, 1)
    clock.store.wipe()
    clock.report(0, "2026-11-22T12:05:00Z")
    pass_time(clock, 4, clock.leader)
    assert times(clock) == minutes(1, 2, 3, 4, 5)
    operator.ask(INCLUDE, 1)

    clock.report(0, "2026-11-22T12:09:00Z")

    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (EVENTS_1,))
    assert times(clock) == minutes(1, 2, 3, 4, 5)


def test_a_paused_clock_stands_still_and_says_so() -> None:
    """No tick until it is resumed; then all that came due, each once. The pause shows at once, with who and why."""
    clock = a_clock_with_ticks()
    operator = Operator(clock)

    answer = operator.ask(PAUSE, reason="planned work")
    assert answer is not None
    assert (answer.kind, answer.pause) == (DONE, Pause("ada", clock.time.now_ms(), "planned work"))
    clock.report(0, "2026-11-22T12:06:00Z")
    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PAUSED
    assert clock.store.snapshot().pause == answer.pause

    answer = operator.ask(RESUME, reason="done")
    assert answer is not None
    assert (answer.kind, answer.pause) == (DONE, None)
    assert times(clock) == minutes(1, 2, 3, 4, 5, 6)
    assert (hold_of(clock)[0], clock.store.snapshot().pause) == (None, None)


def test_what_is_so_already_is_answered_and_not_committed() -> None:
    """Asked again, because an answer was lost, say: the first who asked stays named."""
    clock = two_partitions()
    operator = Operator(clock)
    first = operator.ask(EXCLUDE, 1)
    operator.ask(PAUSE)
    clock.time.advance(5)

    again = operator.ask(EXCLUDE, 1, "another reason")

    assert first is not None
    assert again is not None
    assert (again.kind, again.exclusions) == (DONE, first.exclusions)
    for kind, number in ((PAUSE, None), (INCLUDE, 0)):
        more = operator.ask(kind, number)
        assert more is not None
        assert more.kind is DONE
    assert len(controls(clock)) == 2


def test_a_refusal_says_what_would_be_right() -> None:
    """And nothing is committed."""
    clock = two_partitions()

    answer = Operator(clock).ask(EXCLUDE, 2)

    assert answer is not None
    assert (answer.kind, answer.field, answer.value) == (REFUSED, "partition", 2)
    assert "0 to 1" in answer.wanted
    assert controls(clock) == []


def test_requests_that_wait_together_are_one_record() -> None:
    """In the order in which they were made; each is answered with what came of all; one refused stops no other."""
    clock = two_partitions()
    operator = Operator(clock)
    left = [operator.leave(EXCLUDE, 1), operator.leave(EXCLUDE, 7), operator.leave("freeze"), operator.leave(PAUSE)]

    clock.settle()

    answers = [operator.answer(id) for id in left]
    assert [answer and answer.kind for answer in answers] == [DONE, REFUSED, REFUSED, DONE]
    assert {answer and (answer.exclusions, answer.pause) for answer in answers} == {
        ((by_now(clock),), Pause("ada", clock.time.now_ms(), "a disk died"))
    }
    (control,) = controls(clock)
    assert [request["id"] for request in control.requests] == [left[0], left[3]]
    assert times(clock) == minutes(1)


def test_there_and_back_stands_in_the_log() -> None:
    """Excluded and included before the leader looked: nothing is changed, but who asked, when and why is kept."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.leave(EXCLUDE, 1)
    operator.leave(INCLUDE, 1)

    clock.settle()

    (control,) = controls(clock)
    assert control.state.exclusions == ()
    assert [request["kind"] for request in control.requests] == ["exclude", "include"]


def test_before_the_first_tick() -> None:
    """A partition that never was reported is excluded: the first tick comes without it, as a chain's first."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    operator = Operator(clock)
    operator.ask(PAUSE)
    operator.ask(EXCLUDE, 1)
    assert (times(clock), clock.leader.phase) == ([], Phase.LEADING)
    clock.leader.start_over()
    pass_time(clock, 6, clock.leader)

    operator.ask(RESUME)

    assert times(clock) == minutes(1)
    assert (clock.ticks()[0].previous_ms, clock.ticks()[0].excluded) == (None, (EVENTS_1,))


def test_the_last_partition_excluded_is_a_hold() -> None:
    """Where nobody is left who must report, there is nothing to tick on."""
    clock = a_clock_with_ticks()

    answer = Operator(clock).ask(EXCLUDE, 0)
    clock.report(0, "2026-11-22T12:09:00Z")

    assert answer is not None
    assert answer.kind is DONE
    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


@pytest.mark.parametrize("trouble", ["topic_missing", "config_conflict", "ahead_of_time", "metadata"])
def test_a_clock_that_holds_is_served(trouble: str) -> None:
    """Whatever else holds it: that is when somebody asks."""
    clock = two_partitions()
    if trouble == "topic_missing":
        clock.topics.hide("events", 0)
        clock.time.advance(31)
    elif trouble == "config_conflict":
        clock.store.announce("other", "another digest", 60_000)
    elif trouble == "ahead_of_time":
        clock.report(0, "2026-11-22T12:30:59Z")
        clock.report(1, "2026-11-22T12:30:59Z")
    else:
        clock.topics.unavailable = True
        pass_time(clock, 31, clock.leader)
        assert hold_of(clock)[0] is Reason.METADATA_UNAVAILABLE
    clock.settle()
    before, operator = times(clock), Operator(clock)

    left = operator.leave(EXCLUDE, 1)
    pass_time(clock, 1, clock.leader)

    answer = operator.answer(left)
    assert answer is not None
    assert answer.kind is DONE
    assert times(clock) == before


# -- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_a_death_between_commit_and_answer() -> None:
    """The next leader finds the request, and in the log that it is done: it answers, and commits nothing."""
    clock = two_partitions()
    operator = Operator(clock)
    left = operator.leave(EXCLUDE, 1)

    def die(step: str) -> None:
        clock.store.broken = clock.store.broken or step == "append.done"

    clock.log.at = die
    clock.settle()
    clock.log.at = lambda _: None
    clock.store.broken = False
    assert operator.answer(left) is None
    assert not clock.store.cancel_request(left)
    successor = clock.new_leader("successor")
    pass_time(clock, 4, successor)

    answer = operator.answer(left)
    assert answer is not None
    assert (answer.kind, len(answer.exclusions)) == (DONE, 1)
    assert len(controls(clock)) == 1
    assert times(clock) == minutes(1, 2, 3, 4)
    assert all(tick.excluded == (EVENTS_1,) for tick in clock.ticks()[1:])


@pytest.mark.parametrize("late", [False, True], ids=["in time", "after their end"])
def test_granted_is_granted_though_another_undid_it(late: bool) -> None:
    """A leader that granted a pause and its end in one record dies before it answers. To the next leader the clock is
    not paused; still the pause is neither done again nor said to be not done: the record names it."""
    clock = two_partitions()
    operator = Operator(clock)
    left = [operator.leave(PAUSE), operator.leave(RESUME)]

    def die(step: str) -> None:
        clock.store.broken = clock.store.broken or step == "append.done"

    clock.log.at = die
    clock.settle()
    clock.log.at = lambda _: None
    clock.store.broken = False
    assert not any(clock.store.cancel_request(one) for one in left)
    clock.time.advance(11 if late else 1)
    pass_time(clock, 6, clock.new_leader("successor"))

    answers = [operator.answer(one) for one in left]
    assert [(answer.kind, answer.pause) for answer in answers if answer is not None] == [(DONE, None), (DONE, None)]
    assert [[one["kind"] for one in record.requests] for record in controls(clock)] == [["pause", "resume"]]
    assert clock.store.snapshot().pause is None


@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_commit_whose_outcome_is_unknown(fault: CommitFault) -> None:
    """The log knows: done once, whether it landed or not, and answered."""
    clock = two_partitions()
    clock.log.commit_faults.append(fault)

    answer = Operator(clock).ask(EXCLUDE, 1)

    assert answer is not None
    assert answer.kind is DONE
    assert len(controls(clock)) == 1
    assert times(clock) == minutes(1, 2, 3, 4)


@pytest.mark.parametrize("fault", list(CommitFault))
def test_an_unknown_outcome_that_outlasts_the_request(fault: CommitFault) -> None:
    """A leader that looks only after the request's end does it no more; it says what the log says."""
    clock = two_partitions()
    operator = Operator(clock)
    clock.log.commit_faults.append(fault)
    left = operator.leave(EXCLUDE, 1)
    clock.leader.step()
    clock.time.advance(11)

    pass_time(clock, 6, clock.leader)

    answer = operator.answer(left)
    landed = fault is CommitFault.LANDS
    assert answer is not None
    assert (answer.kind, len(answer.exclusions)) == ((DONE, 1) if landed else (NOT_DONE, 0))
    assert len(controls(clock)) == landed


def test_an_expired_request_is_never_done() -> None:
    """Nobody led for longer than it lasted; it can be withdrawn even then, so that its outcome is known."""
    clock = two_partitions()
    operator = Operator(clock)
    clock.leader.leave()
    left = operator.leave(EXCLUDE, 1)
    clock.time.advance(10)

    pass_time(clock, 2, clock.leader)

    assert phase_of(clock.leader) is Phase.LEADING
    assert controls(clock) == []
    assert clock.store.cancel_request(left)


def test_a_fenced_leader_leaves_the_request_to_the_next() -> None:
    """Its record did not land; when it leads again in time, it does it then, else never."""
    clock = two_partitions()
    operator = Operator(clock)
    clock.log.fence()
    left = operator.leave(EXCLUDE, 1)
    clock.settle()
    assert phase_of(clock.leader) is Phase.STANDBY
    assert operator.answer(left) is None

    pass_time(clock, 6, clock.leader)

    answer = operator.answer(left)
    assert answer is not None
    assert answer.kind is DONE
    assert len(controls(clock)) == 1


def test_a_stale_leader_grants_nothing() -> None:
    """A leader that slept between reading the request and committing it: the log is another's by then."""
    clock = two_partitions()
    operator = Operator(clock)
    sleeper, successor = clock.leader, clock.new_leader("successor")
    left = operator.leave(EXCLUDE, 1)

    def sleep(step: str) -> None:
        if step == "append":
            clock.log.at = lambda _: None
            clock.time.advance(4)
            pass_time(clock, 7, successor)

    clock.log.at = sleep
    clock.settle(sleeper)
    clock.leader = successor

    assert len(controls(clock)) == 1
    assert phase_of(sleeper) is Phase.STANDBY
    answer = operator.answer(left)
    assert answer is not None
    assert answer.kind is DONE


def test_without_brokers_nothing_is_done_and_that_is_said() -> None:
    """The tick log takes no record: nothing has changed, for certain, and whoever asked is told at once."""
    clock = two_partitions()
    operator = Operator(clock)
    left = operator.leave(EXCLUDE, 1)
    clock.log.unavailable = True

    clock.leader.step()

    answer = operator.answer(left)
    assert answer is not None
    assert (answer.kind, answer.exclusions) == (NOT_DONE, ())
    assert answer.detail
    clock.log.unavailable = False
    pass_time(clock, 4, clock.leader)
    assert controls(clock) == []
    assert times(clock) == minutes(1)


@pytest.mark.parametrize("when", ["before it is seen", "while it is committed"])
def test_a_flush_on_the_way(when: str) -> None:
    """The request is gone or done, and nobody claims that nothing has changed: it can't be withdrawn."""
    clock = two_partitions()
    operator = Operator(clock)
    left = operator.leave(EXCLUDE, 1)
    if when == "before it is seen":
        clock.store.wipe()
    else:
        clock.log.at = lambda step: clock.store.wipe() if step == "append.sent" else None

    clock.settle()
    clock.log.at = lambda _: None
    pass_time(clock, 4, clock.leader)

    assert operator.answer(left) is None
    assert not clock.store.cancel_request(left)
    assert len(controls(clock)) == (when == "while it is committed")
    assert len(clock.store.snapshot().exclusions) == len(controls(clock))


def test_exclusions_and_pauses_outlive_store_and_leader() -> None:
    """After a flush and a takeover they come back from the log, for ticks and for readers."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.ask(EXCLUDE, 1)
    operator.ask(PAUSE, reason="planned work")
    before = clock.store.snapshot()
    clock.store.wipe()
    successor = clock.new_leader("successor")
    pass_time(clock, 5, successor)
    clock.leader = successor

    assert successor.phase is Phase.LEADING
    after = clock.store.snapshot()
    assert (after.exclusions, after.pause) == (before.exclusions, before.pause)
    assert hold_of(clock)[0] is Reason.PAUSED
    operator.ask(RESUME)
    clock.report(0, "2026-11-22T12:05:00Z")
    assert times(clock) == minutes(1, 2, 3, 4, 5)
    assert clock.ticks()[-1].excluded == (EVENTS_1,)


def test_a_pause_keeps_ticks_from_a_store_that_was_rolled_back() -> None:
    """After a control record the stream is still compared with the last tick: a roll-back is noticed."""
    clock = a_clock_with_ticks(2)
    old = clock.store.copy_state()
    clock.report(0, "2026-11-22T12:04:00Z")
    Operator(clock).ask(PAUSE)
    clock.store.restore(old)

    pass_time(clock, 5, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4)
    assert hold_of(clock)[0] is Reason.PAUSED
    assert [to_rfc3339(record.state.last_tick_ms or 0) for record in controls(clock)] == minutes(4)


def _token(clock: FaultyClock) -> str:
    lease = clock.store.copy_state().lease
    assert lease is not None
    return lease.token
