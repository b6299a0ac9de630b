"""The state machine, one rule at a time. All orders of inputs: `test_machine_properties.py`."""

from typing import Any

import pytest

from clocksvc.client.consumer.actions import Commit, Drained, Fail, Pause, Report, Resume, SendDeadLetter, StartFlush
from clocksvc.client.consumer.batches import timestamps_of
from clocksvc.client.consumer.buffer_bound import PAUSE_AFTER_S
from clocksvc.client.consumer.commits import COMMIT_TIMEOUT_S
from clocksvc.client.consumer.machine import AHEAD_COMMIT_S, ConsumerMachine
from clocksvc.client.consumer.pauses import AHEAD
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause
from tests.unit.client.consumer.records import ORDERS, Record, machine_options

pytestmark = pytest.mark.core

CAUSE = Cause("ValueError", "bad", "")


class Driven(ConsumerMachine[Record]):
    """A machine of one partition, with the actions that it returned."""

    def __init__(self, **options: Any) -> None:
        super().__init__(machine_options(**options))
        self.now = 100.0
        self.assigned([ORDERS])

    def receive(self, *offsets: int, size: int = 1) -> None:
        """Receive records whose items are the records themselves."""
        records = [Record(offset, b"x" * size) for offset in offsets]
        assignment = self.assignment(ORDERS)
        assert assignment is not None
        self.received(assignment, records, records, offsets[-1] + 1, timestamps_of(records, 2**62))

    def after(self, seconds: float = 0.0) -> list[Any]:
        """The actions after some time."""
        self.now += seconds
        return list(self.poll(self.now))


def started(actions: list[Any]) -> list[list[int]]:
    """The offsets of the flushes that were started."""
    return [[item.offset() for item in one.batch] for one in actions if isinstance(one, StartFlush)]


def only(actions: list[Any], kind: type) -> Any:
    """The only action of this kind."""
    (found,) = (one for one in actions if isinstance(one, kind))
    return found


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"records": 2}, [[0, 1], [2, 3]]),
        ({"bytes": 30, "records": 9}, [[0, 1, 2]]),
        ({"bytes": 9, "records": 9}, [[0], [1], [2], [3]]),
    ],
)
def test_a_batch_is_cut_by_count_and_bytes(limits: dict[str, int], expected: list[list[int]]) -> None:
    """A record that is larger than a batch is alone in one. The rest stays in the open batch."""
    machine = Driven(**limits, slots=9)

    machine.receive(0, 1, 2, 3, 4, size=10)

    assert started(machine.after())[: len(expected)] == expected


def test_a_batch_is_cut_by_age_if_it_can_be_flushed() -> None:
    """While all slots are taken, the batch grows instead."""
    machine = Driven(slots=1)
    machine.after()
    machine.receive(0)
    assert machine.due_at == machine.now + 1.0
    assert started(machine.after(0.9)) == []
    first = only(machine.after(0.1), StartFlush)
    machine.receive(1)
    machine.after(5)
    machine.receive(2)
    assert started(machine.after()) == []

    machine.flush_succeeded(first.flush_id)

    assert started(machine.after(1)) == [[1, 2]]


def test_a_batch_that_fills_the_buffer_is_cut() -> None:
    """If a batch may be larger than the buffer, nothing else would end the wait before the batch has its age."""
    machine = Driven(records=9, bytes=1_000, age_s=3_600.0, buffer_bytes=20)

    machine.receive(0, 1, size=10)

    assert machine.due_at <= machine.now
    assert started(machine.after()) == [[0, 1]]


def test_a_batch_is_cut_if_partitions_stay_paused_because_of_it() -> None:
    """Dead letters have filled the buffer, and are delivered. The open batch alone has more than half of the buffer."""
    machine = Driven(records=10, age_s=3_600.0, buffer_records=10, slots=1)
    assignment = machine.assignment(ORDERS)
    assert assignment is not None
    machine.receive(0)
    machine.flush_buffer()
    flush = only(machine.after(), StartFlush)
    for offset in (1, 2, 3):
        machine.poisoned(assignment, Record(offset), CAUSE, None)
    letters = [one.letter_id for one in machine.after() if isinstance(one, SendDeadLetter)]
    machine.receive(*range(4, 10))
    machine.after()
    assert only(machine.after(PAUSE_AFTER_S), Pause).partitions == [ORDERS]
    for letter in letters:
        machine.dead_letter_delivered(letter)

    machine.flush_succeeded(flush.flush_id)

    assert started(machine.after()) == [list(range(4, 10))]


def test_partitions_are_paused_when_the_buffer_stays_full() -> None:
    """Not at once, because a flush can free it; and they are resumed when half of it is free."""
    machine = Driven(slots=2, buffer_records=6)
    machine.receive(0, 1, 2, 3, 4, 5)
    flushes = [one.flush_id for one in machine.after() if isinstance(one, StartFlush)]

    assert machine.room == 0
    assert not [one for one in machine.after(PAUSE_AFTER_S / 2) if isinstance(one, Pause)]
    assert only(machine.after(PAUSE_AFTER_S / 2), Pause).partitions == [ORDERS]

    machine.flush_succeeded(flushes[0])
    assert only(machine.after(), Resume).partitions == [ORDERS]
    assert machine.room == 3


def test_room_follows_the_size_of_records() -> None:
    """So that one `consume` does not exceed the buffer's bytes by much."""
    machine = Driven(buffer_records=1_000, buffer_bytes=1_000, records=100, bytes=10_000)
    machine.after()
    assert machine.room == 1_000
    for offset in range(40):
        machine.receive(offset, size=10)

    assert 55 <= machine.room <= 65


def test_commits_are_frequent_while_partitions_that_run_ahead_are_paused() -> None:
    """The paused partitions wait for what is reported after a commit."""
    machine = Driven(records=1, slots=4, commit_interval_s=60.0)
    machine.pauses.set(AHEAD, [Partition("orders", 9)])
    for offset in range(3):
        machine.receive(offset)
        machine.flush_succeeded(only(machine.after(), StartFlush).flush_id)
        assert only(machine.after(AHEAD_COMMIT_S), Commit).offsets == {ORDERS: offset + 1}
        machine.committed({ORDERS: offset + 1})


def test_a_batch_that_does_not_grow_is_cut_while_partitions_that_run_ahead_are_paused() -> None:
    """Its records may be of a paused partition for whose report all others wait, and no further one fills the batch."""
    machine = Driven(age_s=60.0, records=10)
    machine.after()
    machine.receive(0)
    machine.pauses.set(AHEAD, [ORDERS])
    assert started(machine.after(0.9 * AHEAD_COMMIT_S)) == []
    machine.receive(1)
    assert machine.due_at == machine.now + AHEAD_COMMIT_S
    assert started(machine.after(0.9 * AHEAD_COMMIT_S)) == []

    assert started(machine.after(0.2 * AHEAD_COMMIT_S)) == [[0, 1]]


def test_the_read_position_is_known_until_all_received_records_are_reported() -> None:
    """A partition may be paused because of it only while records of it will be reported without reading more."""
    machine = Driven(records=1, slots=4, commit_interval_s=0.0)
    for offset in (1_000, 2_000):
        machine.receive(offset)
    flushes = [one.flush_id for one in machine.after() if isinstance(one, StartFlush)]
    for flush_id, end in zip(flushes, (1_001, 2_001), strict=True):
        machine.flush_succeeded(flush_id)
        machine.after()
        machine.commit_failed({ORDERS: end})
        assert only(machine.after(1), Commit).offsets == {ORDERS: end}
        assert machine.read_ms == {ORDERS: 20_000}
        machine.committed({ORDERS: end})
        assert only(machine.after(), Report)

    assert machine.read_ms == {}

    machine.receive(3_000)
    assert machine.read_ms == {ORDERS: 30_000}
    machine.removed([ORDERS])
    assert machine.read_ms == {}


def test_a_commit_waits_for_the_interval_and_the_answer_to_the_one_before() -> None:
    """The first one comes at once, the next one after the interval and after the answer of the one before."""
    machine = Driven(records=1, slots=4, commit_interval_s=1.0)
    machine.after()
    machine.receive(0)
    machine.flush_succeeded(only(machine.after(), StartFlush).flush_id)
    assert only(machine.after(), Commit).offsets == {ORDERS: 1}
    machine.receive(1)
    machine.flush_succeeded(only(machine.after(), StartFlush).flush_id)
    assert not [one for one in machine.after(5) if isinstance(one, Commit)]

    machine.committed({ORDERS: 1})

    actions = machine.after()
    assert only(actions, Report).timestamps[ORDERS].highest_ms == 0
    assert only(actions, Commit).offsets == {ORDERS: 2}


def test_a_failed_commit_is_repeated_and_not_reported() -> None:
    """After half a second, with what was done since. A commit without an answer counts as failed after a minute."""
    machine = Driven(records=1, commit_interval_s=0.0)
    machine.receive(5)
    machine.flush_succeeded(only(machine.after(), StartFlush).flush_id)
    commit = only(machine.after(), Commit)

    machine.commit_failed(commit.offsets)

    assert machine.after(0.4) == []
    assert only(machine.after(0.1), Commit).offsets == {ORDERS: 6}
    assert only(machine.after(COMMIT_TIMEOUT_S) + machine.after(0.5), Commit).offsets == {ORDERS: 6}
    machine.committed({ORDERS: 6})
    assert only(machine.after(), Report).timestamps[ORDERS].highest_ms == 50


def test_results_of_an_earlier_assignment_change_nothing() -> None:
    """The partition was lost while its flush ran, and came back. Its records are delivered again."""
    machine = Driven(records=1, slots=4)
    machine.receive(0)
    late = only(machine.after(), StartFlush)
    machine.removed([ORDERS])
    machine.assigned([ORDERS])
    machine.receive(0)
    machine.after()

    machine.flush_succeeded(late.flush_id)

    assert not [one for one in machine.after(5) if isinstance(one, Commit)]


def test_a_retry_leaves_out_the_items_of_a_partition_that_was_lost() -> None:
    """The other consumer may have flushed later records already."""
    machine = Driven(records=2)
    other = ORDERS._replace(number=1)
    machine.assigned([other])
    machine.receive(0)
    record = Record(7, partition=other)
    assignment = machine.assignment(other)
    assert assignment is not None
    machine.received(assignment, [record], [record], 8, None)
    flush = only(machine.after(), StartFlush)
    machine.removed([ORDERS])

    machine.flush_failed(flush.flush_id, RuntimeError())

    assert started(machine.after(1)) == [[7]]


def search(machine: Driven, poison: set[int]) -> list[Any]:
    """Let every flush with poison fail, until nothing is started. Returns all other actions."""
    others: list[Any] = []
    for _ in range(100):
        for action in machine.after(10):
            if not isinstance(action, StartFlush):
                others.append(action)
            elif poison & {item.offset() for item in action.batch}:
                machine.flush_failed(action.flush_id, RuntimeError(f"poison in {len(action.batch)}"))
            else:
                machine.flush_succeeded(action.flush_id)
    return others


@pytest.mark.parametrize("poison", [{0}, {7}, {3, 4}, {0, 1, 2, 3, 5, 6, 7}, set(range(7))])
def test_the_items_that_fail_are_found(poison: set[int]) -> None:
    """After the last attempt, halves are flushed. Only the records that fail alone become dead letters.

    Three records that fail alone end the search, unless another one of the batch was flushed.
    """
    machine = Driven(records=8, retry=RetryPolicy(2, 1.0, 1.0))
    machine.receive(*range(8))

    actions = search(machine, poison)

    letters = [one for one in actions if isinstance(one, SendDeadLetter)]
    if poison >= {0, 1, 2}:
        assert "8 items can't be flushed: RuntimeError: poison in 1" in str(only(actions, Fail).error)
        assert not letters
        return
    assert {letter.record.offset() for letter in letters} == poison
    assert not [one for one in actions if isinstance(one, Commit) and one.offsets[ORDERS] > min(poison)]
    for letter in letters:
        machine.dead_letter_delivered(letter.letter_id)
    assert only(machine.after(), Commit).offsets == {ORDERS: 8}


def test_a_search_leaves_out_the_items_of_a_partition_that_was_lost() -> None:
    """They are neither flushed again nor compared with the others. The item that fails alone is still found."""
    machine = Driven(records=4, retry=RetryPolicy(1, 1.0, 1.0))
    other = ORDERS._replace(number=1)
    machine.assigned([other])
    machine.receive(0, 1)
    assignment, records = machine.assignment(other), [Record(7, partition=other), Record(8, partition=other)]
    assert assignment is not None
    machine.received(assignment, records, records, 9, None)
    flush = only(machine.after(), StartFlush)
    machine.flush_failed(flush.flush_id, RuntimeError())
    halves = machine.after()
    machine.removed([other])
    machine.flush_failed(only(halves, StartFlush).flush_id, RuntimeError())

    quarters = []
    while found := [one for one in machine.after(1) if isinstance(one, StartFlush)]:
        (one,) = found
        quarters.append([item.offset() for item in one.batch])
        if 0 in quarters[-1]:
            machine.flush_failed(one.flush_id, RuntimeError())
        else:
            machine.flush_succeeded(one.flush_id)
            letters = machine.after()

    assert quarters == [[0], [1]]
    assert only(letters, SendDeadLetter).record.offset() == 0


def test_a_search_of_which_one_item_is_left_gives_it_up() -> None:
    """The other items are of a partition that was lost. One item can't be compared, so the consumer does not end."""
    machine = Driven(records=2, retry=RetryPolicy(1, 1.0, 1.0))
    other = ORDERS._replace(number=1)
    machine.assigned([other])
    machine.receive(0)
    assignment, record = machine.assignment(other), Record(7, partition=other)
    assert assignment is not None
    machine.received(assignment, [record], [record], 8, None)
    machine.flush_failed(only(machine.after(), StartFlush).flush_id, RuntimeError())
    machine.flush_failed(only(machine.after(), StartFlush).flush_id, RuntimeError())
    machine.removed([other])

    assert only(machine.after(), SendDeadLetter).record.offset() == 0


def test_one_item_that_fails_is_a_dead_letter() -> None:
    """A batch of one item can't be searched."""
    machine = Driven(records=1, retry=RetryPolicy(2, 1.0, 1.0))
    machine.receive(0)

    assert only(search(machine, {0}), SendDeadLetter).record.offset() == 0


def test_without_a_dead_letter_topic_the_consumer_ends_after_the_last_attempt() -> None:
    """The retries have delays. Nothing is committed, and no other batch is begun."""
    machine = Driven(dead_letters=False, retry=RetryPolicy(2, 1.0, 1.0), slots=1)
    machine.receive(0, 1, 2, 3)
    error = RuntimeError("sink is down")
    machine.flush_failed(only(machine.after(), StartFlush).flush_id, error)
    assert machine.after(0.4) == []
    retry = only(machine.after(0.6), StartFlush)

    machine.flush_failed(retry.flush_id, error)

    actions = machine.after() + machine.after(100)
    assert only(actions, Fail).error.__cause__ is error
    assert [type(one) for one in actions] == [Fail, Pause, Drained]


def test_no_attempt_begins_after_the_error_that_ends_the_consumer() -> None:
    """A flush that runs at that moment can still succeed. If it fails, it is not repeated, so the end has no delay."""
    machine = Driven(dead_letters=False, retry=RetryPolicy(2, 1.0, 1.0), slots=2)
    machine.receive(0, 1, 2, 3, 4, 5)
    first, second = (one.flush_id for one in machine.after() if isinstance(one, StartFlush))
    machine.flush_failed(first, RuntimeError())
    machine.flush_failed(only(machine.after(1), StartFlush).flush_id, RuntimeError())
    machine.after()

    machine.flush_failed(second, RuntimeError())

    assert [type(one) for one in machine.after() + machine.after(100)] == [Drained]


def test_a_dead_letter_that_is_not_delivered_ends_the_consumer() -> None:
    """After as many attempts as a flush has. The record is not committed."""
    machine = Driven(retry=RetryPolicy(2, 1.0, 1.0))
    assignment = machine.assignment(ORDERS)
    assert assignment is not None
    machine.poisoned(assignment, Record(4), CAUSE, None)
    for _ in range(2):
        machine.dead_letter_failed(only(machine.after(1), SendDeadLetter).letter_id, "unknown topic")

    actions = machine.after()

    text = "the record at offset 4 of orders:0 can't be sent to the dead-letter topic: unknown topic: ValueError: bad"
    assert str(only(actions, Fail).error) == text
    assert isinstance(actions[-1], Drained)
    assert machine.take_commit([ORDERS]) == {}


def test_draining_flushes_and_commits_what_was_received() -> None:
    """The age of the open batch does not count. Records that come now are not accepted."""
    machine = Driven(commit_interval_s=60.0)
    machine.after()
    machine.receive(0)
    machine.drain()
    machine.receive(1)
    assert machine.room == 0
    flush = only(machine.after(), StartFlush)
    assert len(flush.batch) == 1
    machine.flush_succeeded(flush.flush_id)
    assert only(machine.after(), Commit).offsets == {ORDERS: 1}
    machine.committed({ORDERS: 1})

    actions = machine.after()

    assert [type(one) for one in actions] == [Report, Drained]
