"""A dispatcher sends what is due by the clock: nothing early, nothing lost, and twice only under the same id."""

from dataclasses import dataclass

import pytest

from clocksvc.interfaces.checkpoint_encoding import key
from clocksvc.interfaces.schedule import (
    CatchUp,
    EachTick,
    Schedule,
)
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.memory.tick_log import CommitFault
from tests.unit.jobs.dispatcher_fixture import (
    START_MIN,
    Bed,
)
from tests.unit.jobs.test_due_tasks import (
    MINUTE,
    At,
)

EACH = Schedule("each", EachTick())


@dataclass(frozen=True)
class Minutely(At):
    """Due at some minutes after the start."""

    minutes: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "minutes", tuple(START_MIN + minute for minute in self.minutes))


def test_a_tick_sends_what_is_due_at_it() -> None:
    """Nothing before the tick; with the tick, its due time and an id of its own."""
    bed = Bed()
    dispatcher = bed.dispatcher([Schedule("two", Minutely((2,)))])
    bed.tick(0, 1)
    bed.run(dispatcher)
    assert bed.broker.taken == []

    bed.tick(2)
    bed.run(dispatcher)

    (sent,) = bed.broker.taken
    assert (sent.due_ms, sent.tick.at_ms) == ((START_MIN + 2) * MINUTE, (START_MIN + 2) * MINUTE)


def test_a_stop_is_made_up_for() -> None:
    """In order; or with the last due time only, where an entry wants that."""
    bed = Bed()
    entries = [EACH, Schedule("last", EachTick(), CatchUp.LAST)]
    bed.tick(0)
    first = bed.dispatcher(entries)
    bed.run(first)
    first.close()
    bed.tick(*range(1, 31))

    bed.run(bed.dispatcher(entries))

    assert bed.broker.due("each") == list(range(1, 31))
    assert bed.broker.due("last") == [30]


def test_a_new_entry_is_not_due_for_time_before_it_existed() -> None:
    """Nor is one whose schedule was changed; one that was there before goes on."""
    bed = Bed()
    bed.tick(0)
    first = bed.dispatcher([EACH, Schedule("changed", Minutely((1, 2, 3)))])
    bed.run(first)
    first.close()
    bed.tick(1, 2)

    bed.run(second := bed.dispatcher([EACH, Schedule("new", EachTick()), Schedule("changed", Minutely((1, 2, 3, 4)))]))
    bed.tick(3)
    bed.run(second)

    assert bed.broker.due("each") == [1, 2, 3]
    assert bed.broker.due("new") == [3]
    assert bed.broker.due("changed") == [3]


def test_a_removed_entry_is_forgotten() -> None:
    """When it comes back it is a new one."""
    bed = Bed()
    bed.tick(0)
    for entries in ([EACH, Schedule("gone", EachTick())], [EACH]):
        dispatcher = bed.dispatcher(entries)
        bed.run(dispatcher)
        dispatcher.close()

    assert key("beat", "gone") not in bed.topic.values


def test_a_crash_between_sending_and_moving_sends_again_under_the_same_id() -> None:
    """The only double there is."""
    bed = Bed()
    bed.tick(0)
    first = bed.dispatcher([EACH])
    bed.run(first)
    bed.tick(1)
    bed.topic.commit_faults.append(CommitFault.LOST)
    first.step(0.0)
    first.step(0.0)
    first.close()

    bed.run(bed.dispatcher([EACH]))

    ids = [sent.id for sent in bed.broker.taken]
    assert bed.broker.due("each") == [1, 1]
    assert ids[0] == ids[1]


def test_a_process_that_lost_its_turn_unawares_is_stopped() -> None:
    """It was asleep; another has moved the position since. It sends at most what it had in hand, under known ids."""
    bed = Bed()
    bed.tick(0)
    asleep = bed.dispatcher([EACH])
    bed.run(asleep)
    other = bed.dispatcher([EACH])
    bed.group.give(bed.group.members[1])
    bed.tick(1, 2)
    bed.run(other)

    bed.run(asleep, other)
    bed.tick(3)
    bed.run(asleep, other)

    assert bed.broker.due("each") == [1, 2, 3]


def test_an_unknown_outcome_is_looked_up() -> None:
    """The commit landed: nothing is sent again."""
    bed = Bed()
    bed.tick(0)
    dispatcher = bed.dispatcher([EACH])
    bed.run(dispatcher)
    bed.topic.commit_faults.append(CommitFault.LANDS)
    bed.tick(1)
    bed.run(dispatcher)
    bed.tick(2)
    bed.run(dispatcher)

    assert bed.broker.due("each") == [1, 2]


def test_a_broker_that_is_away_holds_everything_up_and_loses_nothing() -> None:
    """Entries of the same tick that were taken before are not sent again by the same process."""
    bed = Bed()
    bed.tick(0)
    dispatcher = bed.dispatcher([EACH, Schedule("other", EachTick())])
    bed.run(dispatcher)
    bed.tick(1, 2)
    bed.broker.failing = 3
    bed.run(dispatcher)

    assert bed.broker.due("each") == [1, 2]
    assert bed.broker.due("other") == [1, 2]


def test_a_task_that_no_broker_takes_does_not_hold_the_others_up() -> None:
    """It is refused, loudly; the next ones go."""
    bed = Bed()
    bed.tick(0)
    bed.broker.refusing.add("bad")
    dispatcher = bed.dispatcher([Schedule("bad", EachTick()), EACH])
    bed.run(dispatcher)
    bed.tick(1, 2)
    bed.run(dispatcher)

    assert bed.broker.due("each") == [1, 2]


def test_an_offset_that_is_no_longer_right_is_found_out() -> None:
    """Somebody made the tick log anew: the position's time counts, and no tick is passed over."""
    bed = Bed()
    bed.tick(0, 1, 2, 3)
    first = bed.dispatcher([EACH])
    bed.run(first)
    bed.tick(4)
    bed.run(first)
    first.close()
    bed.log.recreate()
    bed.tick(5, 6, 7, 8, 9, 10)

    bed.run(bed.dispatcher([EACH]))

    assert bed.broker.due("each") == [4, 5, 6, 7, 8, 9, 10]


def test_before_the_first_tick_a_sender_waits_for_it() -> None:
    """What is due at a clock's very first tick is sent, if the entry was there before."""
    bed = Bed()
    dispatcher = bed.dispatcher([EACH])
    bed.run(dispatcher)
    bed.tick(7)
    bed.run(dispatcher)

    assert bed.broker.due("each") == [7]


def test_a_crash_before_the_first_position_loses_no_tick() -> None:
    """A dispatcher started before the clock's first tick sends it, even after a crash before its first checkpoint."""
    bed = Bed()
    first = bed.dispatcher([EACH])
    bed.run(first)
    first.close()
    bed.tick(7)
    bed.tick(8)

    bed.run(bed.dispatcher([EACH, Schedule("new", EachTick())]))

    assert bed.broker.due("each") == [7, 8]
    assert bed.broker.due("new") == []


def test_a_process_that_is_told_to_end_while_it_sends_ends() -> None:
    """Celery's beat closes its scheduler in the signal's handler, in the middle of whatever it does, and exits."""
    bed = Bed()
    bed.tick(0)
    dispatcher = bed.dispatcher([EACH])
    bed.run(dispatcher)
    bed.tick(1, 2)
    plain_send = bed.broker.send

    def interrupted(sending: DueTask) -> None:
        plain_send(sending)
        if len(bed.broker.taken) == 2:
            dispatcher.close()
            raise SystemExit

    bed.broker.send = interrupted  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        bed.run(dispatcher)

    bed.broker.send = plain_send  # type: ignore[method-assign]
    bed.run(bed.dispatcher([EACH]))
    assert bed.broker.due("each") == [1, 2, 1, 2]
    assert len({one.id for one in bed.broker.taken}) == 2


def test_of_a_long_backlog_only_the_last_run_is_sent() -> None:
    """Of more than a night of a clock of 1 s, too."""
    bed = Bed()
    bed.tick(0)
    entries = [Schedule("last", EachTick(), CatchUp.LAST)]
    first = bed.dispatcher(entries)
    bed.run(first)
    first.close()
    bed.tick(*range(1, 12_001))

    bed.run(bed.dispatcher(entries), steps=40)

    assert bed.broker.due("last") == [12_000]
