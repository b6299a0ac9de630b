"""TaskDispatcher: no task is sent early or lost, and a task that is sent twice has the same id."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.schedule import CatchUp, EachTick, Schedule
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.memory.checkpoints import ClockDispatcher
from tests.faulty.commits import CommitFault
from tests.faulty.tick_consumer import FaultyTickConsumer
from tests.unit.jobs.dispatcher_fixture import START_MIN, DispatcherFixture
from tests.unit.jobs.test_due_tasks import MINUTE, At

EACH = Schedule("each", EachTick())


@dataclass(frozen=True)
class Minutely(At):
    """A Recurrence that is due at some minutes after the start."""

    minutes: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "minutes", tuple(START_MIN + minute for minute in self.minutes))


def test_a_tick_sends_the_tasks_that_are_due() -> None:
    """Not before the tick."""
    fixture = DispatcherFixture()
    dispatcher = fixture.dispatcher([Schedule("two", Minutely((2,)))])
    fixture.tick(0, 1)
    fixture.run(dispatcher)
    assert fixture.queue.tasks == []

    fixture.tick(2)
    fixture.run(dispatcher)

    (sent,) = fixture.queue.tasks
    assert (sent.due_ms, sent.tick.at_ms) == ((START_MIN + 2) * MINUTE, (START_MIN + 2) * MINUTE)


def test_missed_due_times_are_sent_after_a_stop() -> None:
    """All in order, or the last one with `CatchUp.LAST`."""
    fixture = DispatcherFixture()
    schedules = [EACH, Schedule("last", EachTick(), CatchUp.LAST)]
    fixture.tick(0)
    first = fixture.dispatcher(schedules)
    fixture.run(first)
    first.close()
    fixture.tick(*range(1, 31))

    fixture.run(fixture.dispatcher(schedules))

    assert fixture.queue.due("each") == list(range(1, 31))
    assert fixture.queue.due("last") == [30]


@pytest.mark.parametrize("stopped", [False, True])
def test_tasks_of_skipped_ticks_are_not_sent(stopped: bool, caplog: pytest.LogCaptureFixture) -> None:
    """After `clocksvc init --skip-ticks`: neither at a tick in between nor later. It is logged."""
    fixture = DispatcherFixture()
    schedules = [EACH, Schedule("some", Minutely((1, 2, 30, 49, 50, 50.5, 52)))]
    fixture.tick(0)
    dispatcher = fixture.dispatcher(schedules)
    fixture.run(dispatcher)
    if stopped:
        dispatcher.close()
    fixture.tick(1)
    fixture.skip_to(50)
    fixture.tick(51, 52)

    fixture.run(fixture.dispatcher(schedules) if stopped else dispatcher)

    assert fixture.queue.due("each") == [1, 51, 52]
    assert [round(one.due_ms / MINUTE - START_MIN, 1) for one in fixture.queue.tasks if one.schedule == "some"] == [
        1,
        50.5,
        52,
    ]
    assert "clocksvc init skipped ticks, and their tasks are not sent: those after 2026-11-22T08:01:00Z" in caplog.text


@pytest.mark.parametrize("ticked", [False, True])
def test_a_corrected_beginning_loses_and_delays_no_task(ticked: bool) -> None:
    """The time that `clocksvc init` sets is no tick: the next `init` can set an earlier one, and tasks follow that."""
    fixture = DispatcherFixture()
    if ticked:
        fixture.tick(0)
    fixture.skip_to(50)
    first = fixture.dispatcher([EACH])
    fixture.run(first)

    fixture.skip_to(20)
    fixture.tick(21, 22)

    fixture.run(first)
    first.close()
    fixture.tick(23)
    fixture.run(fixture.dispatcher([EACH]))
    assert fixture.queue.due("each") == [21, 22, 23]


def test_a_catch_up_says_how_many_tasks_follow(caplog: pytest.LogCaptureFixture) -> None:
    """Before the first of them is sent, once."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    first = fixture.dispatcher([EACH])
    fixture.run(first)
    first.close()
    fixture.tick(*range(1, 1_202))
    fixture.time.advance(60 * 1_500)

    fixture.run(fixture.dispatcher([EACH, Schedule("never", Minutely(()))]))

    assert len(fixture.queue.tasks) == 1_201
    assert [line for line in caplog.messages if "catches up" in line] == [
        "dispatcher beat of clock c catches up: 1,201 ticks, from 2026-11-22T08:01:00Z to 2026-11-23T04:01:00Z, mean "
        "1,201 tasks; about 299 more ticks follow"
    ]


def test_a_new_schedule_is_not_due_before_it_existed() -> None:
    """The same holds for a schedule whose recurrence was changed. Unchanged schedules continue."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    first = fixture.dispatcher([EACH, Schedule("changed", Minutely((1, 2, 3)))])
    fixture.run(first)
    first.close()
    fixture.tick(1, 2)

    fixture.run(
        second := fixture.dispatcher([EACH, Schedule("new", EachTick()), Schedule("changed", Minutely((1, 2, 3, 4)))])
    )
    fixture.tick(3)
    fixture.run(second)

    assert fixture.queue.due("each") == [1, 2, 3]
    assert fixture.queue.due("new") == [3]
    assert fixture.queue.due("changed") == [3]


def test_a_removed_schedule_is_deleted_from_the_checkpoints() -> None:
    """If it is added again, it is a new schedule."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    for schedules in ([EACH, Schedule("gone", EachTick())], [EACH]):
        dispatcher = fixture.dispatcher(schedules)
        fixture.run(dispatcher)
        dispatcher.close()

    assert "gone" not in fixture.topic.checkpoints[ClockDispatcher("c", "beat")]


def test_a_crash_between_sending_and_the_commit_sends_again_under_the_same_id() -> None:
    """The only case in which a task is sent twice."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    first = fixture.dispatcher([EACH])
    fixture.run(first)
    fixture.tick(1)
    fixture.topic.commit_faults.append(CommitFault.LOST)
    first.step(0.0)
    first.step(0.0)
    first.close()

    fixture.run(fixture.dispatcher([EACH]))

    ids = [sent.id for sent in fixture.queue.tasks]
    assert fixture.queue.due("each") == [1, 1]
    assert ids[0] == ids[1]


def test_a_suspended_process_that_lost_its_assignment_is_fenced() -> None:
    """Another process has committed a checkpoint meanwhile. No task is lost or sent under a new id."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    asleep = fixture.dispatcher([EACH])
    fixture.run(asleep)
    other = fixture.dispatcher([EACH])
    fixture.group.assign(fixture.group.members[1])
    fixture.tick(1, 2)
    fixture.run(other)

    fixture.run(asleep, other)
    fixture.tick(3)
    fixture.run(asleep, other)

    assert fixture.queue.due("each") == [1, 2, 3]


def test_after_an_unknown_outcome_the_checkpoint_is_read_again() -> None:
    """The commit had succeeded: nothing is sent again."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    dispatcher = fixture.dispatcher([EACH])
    fixture.run(dispatcher)
    fixture.topic.commit_faults.append(CommitFault.LANDS)
    fixture.tick(1)
    fixture.run(dispatcher)
    fixture.tick(2)
    fixture.run(dispatcher)

    assert fixture.queue.due("each") == [1, 2]


def test_an_unavailable_task_queue_delays_all_tasks_and_loses_none() -> None:
    """Tasks of the same tick that were already sent are not sent again by the same process."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    dispatcher = fixture.dispatcher([EACH, Schedule("other", EachTick())])
    fixture.run(dispatcher)
    fixture.tick(1, 2)
    fixture.queue.failing = 3
    fixture.run(dispatcher)

    assert fixture.queue.due("each") == [1, 2]
    assert fixture.queue.due("other") == [1, 2]


def test_a_rejected_task_does_not_block_others() -> None:
    """It is dropped with an error; later tasks are sent."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    fixture.queue.rejecting.add("bad")
    dispatcher = fixture.dispatcher([Schedule("bad", EachTick()), EACH])
    fixture.run(dispatcher)
    fixture.tick(1, 2)
    fixture.run(dispatcher)

    assert fixture.queue.due("each") == [1, 2]


def test_a_wrong_checkpoint_offset_is_detected() -> None:
    """The tick log was recreated: the checkpoint's time decides, and no tick is skipped."""
    fixture = DispatcherFixture()
    fixture.tick(0, 1, 2, 3)
    first = fixture.dispatcher([EACH])
    fixture.run(first)
    fixture.tick(4)
    fixture.run(first)
    first.close()
    fixture.log.recreate()
    fixture.tick(5, 6, 7, 8, 9, 10)

    fixture.run(fixture.dispatcher([EACH]))

    assert fixture.queue.due("each") == [4, 5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("brokers_behind_s", [0, 7_200])
def test_a_checkpoint_without_an_offset_is_found_by_its_time(brokers_behind_s: int) -> None:
    """If the brokers' clock was far behind, its time is wrong, and the log is read from its beginning."""
    fixture = DispatcherFixture()
    fixture.time.advance(-brokers_behind_s)
    fixture.tick(0, 1)
    fixture.time.advance(brokers_behind_s)
    fixture.tick(2)
    fixture.topic.checkpoints[ClockDispatcher("c", "beat")] |= {
        "": Checkpoint(START_MIN * MINUTE),
        "each": Checkpoint(START_MIN * MINUTE, fingerprint=EACH.recurrence.fingerprint()),
    }

    fixture.run(fixture.dispatcher([EACH]))

    assert fixture.queue.due("each") == [1, 2]


def test_a_dispatcher_waits_for_the_first_tick() -> None:
    """Tasks due at a clock's first tick are sent, if the schedule existed before."""
    fixture = DispatcherFixture()
    dispatcher = fixture.dispatcher([EACH])
    fixture.run(dispatcher)
    fixture.tick(7)
    fixture.run(dispatcher)

    assert fixture.queue.due("each") == [7]


def test_a_new_clock_does_not_read_other_clocks_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that other clocks share can have millions of records before the clock's first tick."""
    fixture = DispatcherFixture()
    fixture.log.commit([Message(b"other", b"{}", "tick")] * 10)
    reads: list[int] = []
    read = FaultyTickConsumer._read

    def recorded(consumer: FaultyTickConsumer, start: int) -> Sequence[LogEntry]:
        reads.append(start)
        return read(consumer, start)

    monkeypatch.setattr(FaultyTickConsumer, "_read", recorded)
    dispatcher = fixture.dispatcher([EACH])
    fixture.run(dispatcher)
    fixture.tick(7)
    fixture.run(dispatcher)

    assert fixture.queue.due("each") == [7]
    assert min(reads) == 11


def test_a_crash_before_the_first_checkpoint_loses_no_tick() -> None:
    """A dispatcher started before the clock's first tick sends it, even after a crash before its first checkpoint."""
    fixture = DispatcherFixture()
    first = fixture.dispatcher([EACH])
    fixture.run(first)
    first.close()
    fixture.tick(7)
    fixture.tick(8)

    fixture.run(fixture.dispatcher([EACH, Schedule("new", EachTick())]))

    assert fixture.queue.due("each") == [7, 8]
    assert fixture.queue.due("new") == []


def test_close_during_a_send_ends_the_process() -> None:
    """Celery's beat closes its scheduler in a signal handler, during any call, and exits."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    dispatcher = fixture.dispatcher([EACH])
    fixture.run(dispatcher)
    fixture.tick(1, 2)
    original_send = fixture.queue.send

    def interrupted(task: DueTask) -> None:
        original_send(task)
        if len(fixture.queue.tasks) == 2:
            dispatcher.close()
            raise SystemExit

    fixture.queue.send = interrupted  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        fixture.run(dispatcher)

    fixture.queue.send = original_send  # type: ignore[method-assign]
    fixture.run(fixture.dispatcher([EACH]))
    assert fixture.queue.due("each") == [1, 2, 1, 2]
    assert len({one.id for one in fixture.queue.tasks}) == 2


def test_catch_up_last_sends_one_task_for_a_long_backlog() -> None:
    """Also for a backlog of 12,000 ticks, which is read in many batches."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    schedules = [Schedule("last", EachTick(), CatchUp.LAST)]
    first = fixture.dispatcher(schedules)
    fixture.run(first)
    first.close()
    fixture.tick(*range(1, 12_001))

    fixture.run(fixture.dispatcher(schedules), steps=40)

    assert fixture.queue.due("last") == [12_000]


def test_the_tasks_of_a_tick_are_in_one_trace() -> None:
    """The same again after a repeated send, another one for the next tick; and none unless it is switched on."""
    fixture = DispatcherFixture()
    schedules = [EACH, Schedule("also", EachTick())]
    fixture.tick(0)
    plain = fixture.dispatcher(schedules)
    fixture.run(plain)
    plain.close()
    assert all("traceparent" not in task.headers for task in fixture.queue.tasks)
    fixture.queue.tasks.clear()

    fixture.tick(1, 2)
    fixture.run(fixture.dispatcher(schedules, traced=True))

    sent = [(task.tick.at_ms, task.headers["traceparent"]) for task in fixture.queue.tasks]
    assert (len(sent), len(set(sent)), len(dict(sent))) == (4, 2, 2)
