"""Requests to a leader: committed like ticks, answered after that, and never lost without notice."""

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import MAX_RECORD_BYTES
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind, ResultKind
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.interfaces.leases import Announcement
from clocksvc.leader.leader import Phase
from tests.faulty.clock import FaultyClock
from tests.faulty.commits import CommitFault
from tests.unit.leader.clocks import (
    clock_with_ticks,
    hold_of,
    leases_of,
    minutes,
    pass_time,
    phase_of,
    store_breaks_at,
    times,
)
from tests.unit.leader.override_requests import Operator, controls, records

pytestmark = pytest.mark.core

EXCLUDE, INCLUDE, PAUSE, RESUME = RequestKind.EXCLUDE, RequestKind.INCLUDE, RequestKind.PAUSE, RequestKind.RESUME
DONE, REFUSED, NOT_DONE = ResultKind.DONE, ResultKind.REJECTED, ResultKind.NOT_DONE
EVENTS_1 = Partition("events", 1)


def two_partitions() -> FaultyClock:
    """A clock of two partitions that has ticked 12:01. Since then partition 1 has not moved; partition 0 is at
    12:04."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:30:00Z")
    clock.report(0, "2026-11-22T12:01:00Z")
    clock.report(1, "2026-11-22T12:01:30Z")
    clock.report(0, "2026-11-22T12:04:00Z")
    assert times(clock) == minutes(1)
    return clock


def by_now(clock: FaultyClock, reason: str = "a disk died") -> Exclusion:
    """The exclusion of partition 1, made now."""
    return Exclusion(EVENTS_1, "ada", clock.time.now_ms(), reason)


def test_ticks_go_on_without_an_excluded_partition() -> None:
    """The partition that holds the clock is excluded: the due ticks come at once, each with its name. Log and store
    have who excluded it, when and why."""
    clock = two_partitions()

    answer = Operator(clock).ask(EXCLUDE, 1)

    assert answer is not None
    assert (answer.kind, answer.exclusions, answer.pause) == (DONE, (by_now(clock),), None)
    assert times(clock) == minutes(1, 2, 3, 4)
    assert [tick.excluded for tick in clock.ticks()] == [(), (EVENTS_1,), (EVENTS_1,), (EVENTS_1,)]
    assert [record.type for record in records(clock)] == ["control", "tick", "control", "tick", "tick", "tick"]
    assert all(record.state.exclusions == (by_now(clock),) for record in records(clock)[2:])
    snapshot = clock.store.snapshot()
    assert (snapshot.exclusions, snapshot.excluded, snapshot.known) == ((by_now(clock),), 1, 1)


def test_a_control_record_changes_nothing_else() -> None:
    """Last tick, topics and digest stay the same; the record contains the request."""
    clock = two_partitions()
    before = records(clock)[-1].state
    Operator(clock).ask(EXCLUDE, 1, "why not")

    (control,) = controls(clock)
    said = {"kind": "exclude", "by": "ada", "at": "2026-11-22T12:30:00Z", "reason": "why not", "topic": "events"}
    assert control.state.exclusions == (by_now(clock, "why not"),)
    assert (control.state.last_tick_ms, control.state.last_emitted_ms) == (before.last_tick_ms, before.last_emitted_ms)
    assert control.state.topics == before.topics
    assert [dict(one) | said | {"partition": 1} for one in control.requests] == [dict(control.requests[0])]


def test_an_included_partition_never_moves_the_clock_back() -> None:
    """It holds the clock until it has caught up from its last report; after that the next ticks wait for it again."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.ask(EXCLUDE, 1)
    clock.report(1, "2026-11-22T12:02:30Z")

    answer = operator.ask(INCLUDE, 1, "repaired")
    assert answer is not None
    assert (answer.kind, answer.exclusions) == (DONE, ())
    clock.report(0, "2026-11-22T12:09:00Z")
    assert times(clock) == minutes(1, 2, 3, 4)
    assert _lowest_ms(clock) == clock.store.partitions(None, 9)[1].raw_ms
    clock.report(1, "2026-11-22T12:04:59Z")
    assert times(clock) == minutes(1, 2, 3, 4)
    clock.report(1, "2026-11-22T12:05:00Z")

    assert times(clock) == minutes(1, 2, 3, 4, 5)
    assert clock.ticks()[-1].excluded == ()
    assert [record.requests[0]["kind"] for record in controls(clock)] == ["exclude", "include"]


def test_an_included_unknown_partition_holds_by_name() -> None:
    """If the store has lost its progress meanwhile, it is unknown, and unknown is not zero."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.ask(EXCLUDE, 1)
    clock.store_server.wipe()
    clock.report(0, "2026-11-22T12:05:00Z")
    pass_time(clock, 4, clock.leader)
    assert times(clock) == minutes(1, 2, 3, 4, 5)
    operator.ask(INCLUDE, 1)

    clock.report(0, "2026-11-22T12:09:00Z")

    assert hold_of(clock) == (Reason.PARTITION_UNREPORTED, (EVENTS_1,))
    assert times(clock) == minutes(1, 2, 3, 4, 5)


def test_a_paused_clock_stops_and_shows_it() -> None:
    """No tick until it is resumed; then all due ticks, each once. The pause shows at once, with operator and reason."""
    clock = clock_with_ticks()
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


def test_a_request_that_changes_nothing_is_answered_without_a_commit() -> None:
    """For example because it was repeated after a lost answer: the first operator stays named."""
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


def test_a_rejection_names_valid_values() -> None:
    """And nothing is committed."""
    clock = two_partitions()

    answer = Operator(clock).ask(EXCLUDE, 2)

    assert answer is not None
    assert (answer.kind, answer.field, answer.value) == (REFUSED, "partition", 2)
    assert "0 to 1" in answer.wanted
    assert controls(clock) == []


def test_pending_requests_are_one_record() -> None:
    """In the order in which they were made; each result shows the final state; a rejected one does not stop the
    others."""
    clock = two_partitions()
    operator = Operator(clock)
    left = [operator.submit(EXCLUDE, 1), operator.submit(EXCLUDE, 7), operator.submit("freeze"), operator.submit(PAUSE)]

    clock.settle()

    answers = [operator.answer(id) for id in left]
    assert [answer and answer.kind for answer in answers] == [DONE, REFUSED, REFUSED, DONE]
    assert {answer and (answer.exclusions, answer.pause) for answer in answers} == {
        ((by_now(clock),), Pause("ada", clock.time.now_ms(), "a disk died"))
    }
    (control,) = controls(clock)
    assert [request["id"] for request in control.requests] == [left[0], left[3]]
    assert times(clock) == minutes(1)


def test_requests_that_undo_each_other_are_in_the_log() -> None:
    """Excluded and included before the leader steps: nothing changes, but the log has who asked, when and why."""
    clock = two_partitions()
    operator = Operator(clock)
    operator.submit(EXCLUDE, 1)
    operator.submit(INCLUDE, 1)

    clock.settle()

    (control,) = controls(clock)
    assert control.state.exclusions == ()
    assert [request["kind"] for request in control.requests] == ["exclude", "include"]


def test_before_the_first_tick() -> None:
    """A partition that was never reported is excluded: the first tick comes without it."""
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
    """Without any partition that must report there is no basis for a tick."""
    clock = clock_with_ticks()

    answer = Operator(clock).ask(EXCLUDE, 0)
    clock.report(0, "2026-11-22T12:09:00Z")

    assert answer is not None
    assert answer.kind is DONE
    assert times(clock) == minutes(1, 2, 3)
    assert hold_of(clock)[0] is Reason.PARTITION_UNREPORTED


@pytest.mark.parametrize("trouble", ["topic_missing", "config_conflict", "ahead_of_time", "metadata"])
def test_a_clock_that_holds_is_served(trouble: str) -> None:
    """Requests are handled during any hold: that is when operators make them."""
    clock = two_partitions()
    if trouble == "topic_missing":
        clock.topics.hide("events", 0)
        clock.time.advance(31)
    elif trouble == "config_conflict":
        leases_of(clock).announce(Announcement("other", {clock.spec.name: "another digest"}, None), 60_000, {})
    elif trouble == "ahead_of_time":
        clock.report(0, "2026-11-22T12:30:59Z")
        clock.report(1, "2026-11-22T12:30:59Z")
    else:
        clock.topics.unavailable = True
        pass_time(clock, 31, clock.leader)
        assert hold_of(clock)[0] is Reason.METADATA_UNAVAILABLE
    clock.settle()
    before, operator = times(clock), Operator(clock)

    left = operator.submit(EXCLUDE, 1)
    pass_time(clock, 1, clock.leader)

    answer = operator.answer(left)
    assert answer is not None
    assert answer.kind is DONE
    assert times(clock) == before


# -- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_a_death_between_commit_and_answer() -> None:
    """The next leader finds the request, and in the log that it is done: it answers and commits nothing."""
    clock = two_partitions()
    operator = Operator(clock)
    left = operator.submit(EXCLUDE, 1)
    with store_breaks_at(clock, "append.done"):
        clock.settle()
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
def test_a_committed_request_is_done_even_if_another_one_undid_it(late: bool) -> None:
    """A leader that committed a pause and its end in one record dies before it answers. For the next leader the clock
    is not paused. Still the pause is neither repeated nor reported as not done: the record lists it."""
    clock = two_partitions()
    operator = Operator(clock)
    left = [operator.submit(PAUSE), operator.submit(RESUME)]
    with store_breaks_at(clock, "append.done"):
        clock.settle()
    assert not any(clock.store.cancel_request(one) for one in left)
    clock.time.advance(11 if late else 1)
    pass_time(clock, 6, clock.new_leader("successor"))

    answers = [operator.answer(one) for one in left]
    assert [(answer.kind, answer.pause) for answer in answers if answer is not None] == [(DONE, None), (DONE, None)]
    assert [[one["kind"] for one in record.requests] for record in controls(clock)] == [["pause", "resume"]]
    assert clock.store.snapshot().pause is None


@pytest.mark.parametrize("fault", list(CommitFault))
def test_a_commit_whose_outcome_is_unknown(fault: CommitFault) -> None:
    """The log decides: the request is done once, whether the commit succeeded or not, and answered."""
    clock = two_partitions()
    clock.log.commit_faults.append(fault)

    answer = Operator(clock).ask(EXCLUDE, 1)

    assert answer is not None
    assert answer.kind is DONE
    assert len(controls(clock)) == 1
    assert times(clock) == minutes(1, 2, 3, 4)


@pytest.mark.parametrize("fault", list(CommitFault))
def test_an_unknown_outcome_that_outlasts_the_request(fault: CommitFault) -> None:
    """A leader that reads the log only after the request has expired does not repeat it; it answers what the log
    shows."""
    clock = two_partitions()
    operator = Operator(clock)
    clock.log.commit_faults.append(fault)
    left = operator.submit(EXCLUDE, 1)
    clock.leader.step()
    clock.time.advance(11)

    pass_time(clock, 6, clock.leader)

    answer = operator.answer(left)
    landed = fault is CommitFault.LANDS
    assert answer is not None
    assert (answer.kind, len(answer.exclusions)) == ((DONE, 1) if landed else (NOT_DONE, 0))
    assert len(controls(clock)) == landed


def test_an_expired_request_is_never_done() -> None:
    """No process led until it had expired; it can be cancelled even then, so that its outcome is known."""
    clock = two_partitions()
    operator = Operator(clock)
    clock.leader.leave()
    left = operator.submit(EXCLUDE, 1)
    clock.time.advance(10)

    pass_time(clock, 2, clock.leader)

    assert phase_of(clock.leader) is Phase.LEADING
    assert controls(clock) == []
    assert clock.store.cancel_request(left)


def test_a_fenced_leader_leaves_the_request_to_the_next() -> None:
    """Its record was not committed. If it leads again in time, it handles the request then, else never."""
    clock = two_partitions()
    operator = Operator(clock)
    clock.log.fence()
    left = operator.submit(EXCLUDE, 1)
    clock.settle()
    assert phase_of(clock.leader) is Phase.STANDBY
    assert operator.answer(left) is None

    pass_time(clock, 6, clock.leader)

    answer = operator.answer(left)
    assert answer is not None
    assert answer.kind is DONE
    assert len(controls(clock)) == 1


def test_a_stale_leader_commits_no_request() -> None:
    """A leader sleeps between reading the request and committing it; meanwhile another process writes the log."""
    clock = two_partitions()
    operator = Operator(clock)
    sleeper, successor = clock.leader, clock.new_leader("successor")
    left = operator.submit(EXCLUDE, 1)

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


@pytest.mark.parametrize("seconds", [4, 20])
def test_without_brokers_a_request_waits_until_it_expires(seconds: float) -> None:
    """A failed commit can have taken effect, so there is no result before the log can be read. Then the request is
    done, or it has expired."""
    clock = two_partitions()
    operator = Operator(clock)
    left = operator.submit(EXCLUDE, 1)
    clock.log.unavailable = True

    pass_time(clock, seconds, clock.leader)
    assert operator.answer(left) is None
    clock.log.unavailable = False
    pass_time(clock, 6, clock.leader)

    answer = operator.answer(left)
    assert answer is not None
    assert (answer.kind, len(answer.exclusions)) == ((DONE, 1) if seconds < 10 else (NOT_DONE, 0))
    assert len(controls(clock)) == len(answer.exclusions)


def test_a_rejected_record_is_answered_at_once() -> None:
    """The log was read again after the failure: certainly nothing has changed, and the operator learns why."""
    clock = two_partitions()
    clock.log.rejected_keys = {b"clock"}
    operator = Operator(clock)

    answers = [operator.ask(EXCLUDE, 1), operator.ask(PAUSE)]

    assert [answer and answer.kind for answer in answers] == [NOT_DONE, NOT_DONE]
    assert all(answer and answer.detail for answer in answers)
    clock.log.rejected_keys = set()
    pass_time(clock, 10, clock.leader)
    assert controls(clock) == []
    answer = operator.ask(EXCLUDE, 1)
    assert answer is not None
    assert answer.kind is DONE


def test_a_result_that_the_store_did_not_accept_is_written_later() -> None:
    """The store fails after the commit, and the leader keeps its term. A pause and its end, which change nothing
    together, are not committed a second time."""
    clock = two_partitions()
    operator = Operator(clock)
    left = [operator.submit(PAUSE), operator.submit(RESUME)]
    with store_breaks_at(clock, "append.done"):
        clock.settle()
        assert phase_of(clock.leader) is Phase.LEADING
    pass_time(clock, 1, clock.leader)

    answers = [operator.answer(one) for one in left]
    assert [answer and (answer.kind, answer.pause) for answer in answers] == [(DONE, None), (DONE, None)]
    assert [[one["kind"] for one in record.requests] for record in controls(clock)] == [["pause", "resume"]]


def test_states_are_bounded() -> None:
    """A hundred exclusions with reasons of 500 characters that JSON must escape do not fit a record of 64 KiB: the
    first ones that don't fit are rejected by name, in any number of rounds, and ticks go on."""
    clock = FaultyClock(partitions=101, now="2026-11-22T12:30:00Z")
    operator = Operator(clock)
    clock.settle()
    left = []
    for first in (0, 50):
        left += [operator.submit(EXCLUDE, number, "\u00e9" * 500) for number in range(first, first + 50)]
        clock.settle()

    kinds = [answer.kind for answer in map(operator.answer, left) if answer is not None]
    assert len(kinds) == 100
    assert {kinds.count(DONE) > 8, kinds.count(REFUSED) > 50} == {True}
    rejected = operator.answer(left[-1])
    assert rejected is not None
    assert (rejected.field, "too long" in rejected.wanted) == ("reason", True)
    for number in range(101):
        clock.report(number, "2026-11-22T12:02:00Z")
    assert times(clock) == minutes(2)
    sizes = [len(entry.message.value or b"") for entry in clock.log.committed()]
    assert 24 * 1024 < max(sizes) <= MAX_RECORD_BYTES


def test_many_requests_are_several_records() -> None:
    """Requests whose texts do not fit one record are committed in the next rounds, each once and in order."""
    clock = two_partitions()
    operator = Operator(clock)
    left = []
    for _ in range(30):
        left += [operator.submit(PAUSE, reason="\u00e9" * 500), operator.submit(RESUME, reason="\u00e9" * 500)]

    clock.settle()

    assert [answer and answer.kind for answer in map(operator.answer, left)] == [DONE] * 60
    assert [str(one["id"]) for record in controls(clock) for one in record.requests] == left
    assert 2 <= len(controls(clock)) <= 10
    assert all(len(entry.message.value or b"") <= MAX_RECORD_BYTES for entry in clock.log.committed())


@pytest.mark.parametrize("when", ["before it is seen", "while it is committed"])
def test_a_flush_while_a_request_is_pending(when: str) -> None:
    """The request is lost or done. It can't be cancelled, so no answer claims that nothing has changed."""
    clock = two_partitions()
    operator = Operator(clock)
    left = operator.submit(EXCLUDE, 1)
    if when == "before it is seen":
        clock.store_server.wipe()
    else:
        flushes = iter([clock.store_server.wipe])
        clock.log.at = lambda step: next(flushes, lambda: None)() if step == "append.sent" else None

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
    clock.store_server.wipe()
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
    clock = clock_with_ticks(2)
    old = clock.store_server.copy_state()
    clock.report(0, "2026-11-22T12:04:00Z")
    Operator(clock).ask(PAUSE)
    clock.store_server.restore(old)

    pass_time(clock, 5, clock.leader)

    assert times(clock) == minutes(1, 2, 3, 4)
    assert hold_of(clock)[0] is Reason.PAUSED
    assert [to_rfc3339(record.state.last_tick_ms or 0) for record in controls(clock)] == minutes(4)


def _lowest_ms(clock: FaultyClock) -> int | None:
    """The lowest raw timestamp on the roster in the store."""
    return clock.store_server.content.clock(clock.spec.name).lowest_ms()
