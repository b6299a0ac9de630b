"""A dispatcher sends tasks only at ticks that leaders with its own installation's store have made."""

import logging

import pytest

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.errors import StoreMismatch
from tests.unit.jobs.dispatcher_fixture import DispatcherFixture
from tests.unit.jobs.test_dispatcher_owner import schedules

OURS, THEIRS = (LogOwner(Installation("clocksvc", "redis:6379"), store_id) for store_id in ("ours", "theirs"))


class Stores:
    """The ids of the installation's own store."""

    def __init__(self) -> None:
        self.own = {OURS.store_id}

    def check(self, owner: LogOwner) -> None:
        """As bootstrap gives it to dispatchers."""
        if owner.store_id not in self.own:
            raise StoreMismatch(f"led with {owner.store_id}")


def led_by(fixture: DispatcherFixture, owner: LogOwner) -> None:
    """A leader begins a term."""
    fixture.log.begin_own([owner.message()])
    fixture.log.end_own(committed=True)


def test_a_log_of_another_store_waits(caplog: pytest.LogCaptureFixture) -> None:
    """It joins, sends nothing and changes no checkpoint, and logs why, until the log belongs to its store."""
    fixture, stores = DispatcherFixture(), Stores()
    led_by(fixture, THEIRS)
    fixture.tick(0)
    dispatcher = fixture.dispatcher(schedules("bills"), check_owner=stores.check)
    with caplog.at_level(logging.WARNING, "clocksvc.dispatcher"):
        fixture.run(dispatcher)
    assert (fixture.queue.tasks, fixture.topic.checkpoints) == ([], {})
    assert ["led with theirs" in str(record.__dict__["detail"]) for record in caplog.records] == [True]

    stores.own.add(THEIRS.store_id)
    fixture.run(dispatcher)
    fixture.tick(1)
    fixture.run(dispatcher)

    assert fixture.queue.due("bills") == [1]


def test_ticks_of_another_store_send_no_tasks() -> None:
    """Another installation begins to lead the log while the dispatcher runs."""
    fixture, stores = DispatcherFixture(), Stores()
    led_by(fixture, OURS)
    fixture.tick(0)
    dispatcher = fixture.dispatcher(schedules("bills"), check_owner=stores.check)
    fixture.run(dispatcher)
    fixture.tick(1)
    led_by(fixture, THEIRS)
    fixture.tick(2, 3)

    fixture.run(dispatcher)

    assert [due for due in fixture.queue.due("bills") if due > 1] == []


def test_owners_before_the_last_one_do_not_count() -> None:
    """The store was emptied and has a new id. A dispatcher that reads a backlog from before this sends its tasks."""
    fixture, stores = DispatcherFixture(), Stores()
    led_by(fixture, OURS)
    fixture.tick(0)
    first = fixture.dispatcher(schedules("bills"), check_owner=stores.check)
    fixture.run(first)
    first.close()
    fixture.tick(1)
    led_by(fixture, OURS)
    fixture.tick(*range(2, 700))  # more than one poll returns
    led_by(fixture, THEIRS)
    fixture.tick(700)
    stores.own = {THEIRS.store_id}

    fixture.run(fixture.dispatcher(schedules("bills"), check_owner=stores.check))

    assert fixture.queue.due("bills") == [*range(1, 701)]
