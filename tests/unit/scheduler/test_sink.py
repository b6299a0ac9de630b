"""A partition of schedules whose due records go to a task queue instead of the topic."""

import json
from collections.abc import Callable, Sequence

import pytest

from clocksvc.errors import TaskQueueUnavailable
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.due_sink import Rejected
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.scheduler import due_appender
from clocksvc.scheduler.due_appender import MAX_TASKS
from clocksvc.scheduler.term import MAX_STEP_S
from clocksvc.schedules.wheel import Reason
from clocksvc.testing import ManualTime
from tests.unit.scheduler.partition_fixture import PartitionFixture

pytestmark = pytest.mark.core


class Queue:
    """A DueSink in memory.

    Attributes:
        accepted: all records that were accepted, in order.
        accepts: how many records the next calls accept before they fail; None for all.
        rejects: keys of the schedules whose tasks are rejected.
        slow_s: how long a call takes.
        then: called when a call has accepted its records.
    """

    def __init__(self, time: ManualTime) -> None:
        self.accepted: list[DueLogRecord] = []
        self.accepts: int | None = None
        self.rejects: set[bytes] = set()
        self.slow_s = 0.0
        self.then: Callable[[], None] = lambda: None
        self._time = time

    def send(self, records: Sequence[DueLogRecord], keep_alive: KeepAlive) -> list[Rejected]:
        self._time.advance(self.slow_s)
        for record in records:
            if record.key in self.rejects:
                continue
            if self.accepts is not None:
                if self.accepts == 0:
                    raise TaskQueueUnavailable("the broker does not answer")
                self.accepts -= 1
            self.accepted.append(record)
        self.then()
        return [Rejected(record, "wanted another task") for record in records if record.key in self.rejects]

    def due(self) -> list[tuple[str, str]]:
        """Schedule and due time of each accepted task, as 12:01."""
        found = [dict(record.headers) for record in self.accepted]
        return [(one["clocksvc-schedule"].decode(), one["clocksvc-due"].decode()[11:16]) for one in found]

    def ids(self) -> list[bytes]:
        """The ids of the accepted tasks."""
        return [dict(record.headers)["clocksvc-id"] for record in self.accepted]


@pytest.fixture
def partition() -> PartitionFixture:
    """A partition with a sink."""
    fixture = PartitionFixture()
    fixture.sink = Queue(fixture.time)
    return fixture


@pytest.fixture
def queue(partition: PartitionFixture) -> Queue:
    """The sink."""
    assert isinstance(partition.sink, Queue)
    return partition.sink


def types(partition: PartitionFixture) -> list[str | None]:
    """The types of all records in the topic; None of due records."""
    return [headers.get("clocksvc-type") for headers in partition.headers()]


def test_due_schedules_become_tasks(partition: PartitionFixture, queue: Queue) -> None:
    """The topic has the positions only. A task is what its record would have been."""
    partition.put("a", payload={"url": "x"})
    owner = partition.owner()
    partition.tick(2)
    partition.run(owner)

    assert queue.due() == [("a", "12:01"), ("a", "12:02")]
    assert json.loads(queue.accepted[0].value) == {"url": "x"}
    assert set(types(partition)) == {"position"}
    assert partition.positions()[-1] == "12:02"
    assert owner.stats.due == 2


def test_the_position_waits_until_the_tasks_are_accepted(partition: PartitionFixture, queue: Queue) -> None:
    """After an outage they are sent again, with the same ids. No run is lost."""
    for key in ("a", "b", "c"):
        partition.put(key)
    owner = partition.owner()
    queue.accepts = 2
    partition.tick()
    for _ in range(5):
        partition.time.advance(max(0.1, owner.step()))
    assert partition.positions() == ["12:00"] * len(partition.positions())
    assert owner.stats.problem == "the broker does not answer"

    queue.accepts = None
    partition.run(owner)

    assert sorted(set(queue.due())) == [("a", "12:01"), ("b", "12:01"), ("c", "12:01")]
    assert len(queue.due()) == 5
    assert len(set(queue.ids())) == 3
    assert partition.positions()[-1] == "12:01"


def test_a_successor_sends_again_what_has_no_position(partition: PartitionFixture, queue: Queue) -> None:
    """The previous owner died after the queue had accepted the tasks: at least once, with the same ids."""
    partition.put("a")
    owner = partition.owner()
    queue.then = lambda: setattr(partition.due_log, "unavailable", True)
    partition.tick()
    owner.step()
    partition.due_log.unavailable, queue.then = False, lambda: None

    partition.owner()

    assert queue.due() == [("a", "12:01")] * 2
    assert len(set(queue.ids())) == 1


def test_a_large_tick_is_not_repeated_from_its_beginning(partition: PartitionFixture, queue: Queue) -> None:
    """What was accepted in parts of the tick is in the topic. So it ends, however often owners change."""
    for number in range(2 * MAX_TASKS + 1):
        partition.put(f"id-{number}")
    owner = partition.owner()
    queue.accepts = MAX_TASKS + 3
    partition.tick()
    owner.step()
    assert "accepted" in types(partition)

    queue.accepts = None
    successor = partition.owner()

    assert len(set(queue.ids())) == 2 * MAX_TASKS + 1
    assert len(queue.ids()) == 2 * MAX_TASKS + 1 + 3
    assert partition.positions()[-1] == "12:01"
    partition.tick()
    partition.run(successor)
    assert len(queue.ids()) == 4 * MAX_TASKS + 2 + 3


def test_tasks_are_sent_before_missed_runs_of_later_ticks_are_appended(
    partition: PartitionFixture, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new owner passes over the ticks before the newest one that is in the topic: their tasks were accepted."""
    monkeypatch.setattr(due_appender, "MAX_RECORDS", 1)
    partition.put("a")
    for key in ("x", "y"):
        partition.put(key, cron="*/2 * * * *", max_age=0)
    owner = partition.owner()
    queue.accepts = 0
    partition.tick(3)
    owner.step()

    queue.accepts = None
    partition.run(owner)

    assert queue.due() == [("a", "12:01"), ("a", "12:02"), ("a", "12:03")]
    assert types(partition).count("missed") == 2


def test_a_task_that_is_rejected_is_a_missed_run(
    partition: PartitionFixture, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, and delays no other."""
    for key in ("a", "b", "c"):
        partition.put(key)
    queue.rejects = {b"b"}
    owner = partition.owner()
    partition.tick()
    partition.run(owner)

    assert sorted(queue.due()) == [("a", "12:01"), ("c", "12:01")]
    found = owner.call(lambda owned: owned.missed(None, 10))
    owner.step()
    (missed,) = found.result(0).runs
    assert (missed.missed.key, missed.missed.reason, missed.missed.runs) == (b"b", Reason.REJECTED, 1)
    assert "schedule b of clock checkins is recorded as missed" in caplog.text
    assert partition.positions()[-1] == "12:01"


def test_a_slow_queue_does_not_make_a_step_long(partition: PartitionFixture, queue: Queue) -> None:
    """A backlog is handled in steps, so that requests are answered between them."""
    for number in range(MAX_TASKS):
        partition.put(f"id-{number}")
    owner = partition.owner()
    queue.slow_s = MAX_STEP_S
    partition.tick(3)
    positions = []
    for _ in range(3):
        owner.step()
        positions.append(partition.positions()[-1])

    assert positions == ["12:01", "12:02", "12:03"]
    assert len(set(queue.ids())) == len(queue.ids()) == 3 * MAX_TASKS
