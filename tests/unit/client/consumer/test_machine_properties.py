"""The promises of the state machine, for random orders of all its inputs, against a model of single records."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.client.consumer.actions import (
    Commit,
    Drained,
    Fail,
    Pause,
    Report,
    Resume,
    SendDeadLetter,
    StartFlush,
)
from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.batches import timestamps_of
from clocksvc.client.consumer.machine import ConsumerMachine
from clocksvc.client.consumer.retry import RetryPolicy
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause
from tests.unit.client.consumer.records import Record, machine_options

pytestmark = pytest.mark.core

PARTITIONS = [Partition("orders", number) for number in range(3)]
CAUSE = Cause("ValueError", "bad", "")


class World:
    """A consumer with everything outside of it, and what it must have done by its promises."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.options = machine_options(
            records=rng.choice([1, 2, 3, 7]),
            bytes=rng.choice([3, 10, 100]),
            slots=rng.choice([1, 2, 4]),
            dead_letters=True,
            retry=RetryPolicy(rng.choice([1, 3, None]), 0.1, 1.0),
            commit_interval_s=rng.choice([0.0, 1.0]),
        )
        self.machine: ConsumerMachine[Record] = ConsumerMachine(self.options, rng)
        self.now = 0.0
        self.next_offset = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.received: dict[Partition, list[Record]] = {}
        self.done: dict[Partition, set[int]] = {}
        self.acknowledged: dict[Partition, int] = {}
        self.reported: dict[Partition, int] = {}
        self.flushes: dict[int, list[Record]] = {}
        self.letters: dict[int, Record] = {}
        self.commits: list[dict[Partition, int]] = []
        self.paused: set[Partition] = set()
        self.ended = self.failed = False

    # -- inputs -------------------------------------------------------------------------------------------------------

    def assign(self) -> None:
        """Some partitions are assigned. Reading begins at the committed offset."""
        free = [one for one in PARTITIONS if one not in self.received]
        chosen = [one for one in free if self.rng.random() < 0.6]
        self.machine.assigned(chosen)
        for one in chosen:
            self.received[one], self.done[one] = [], set()
            self.next_offset[one] = self.committed[one]
            self.acknowledged.pop(one, None)
        self.paused -= set(chosen)

    def receive(self) -> None:
        """A run of records: items, records without an item, and poison. Offsets can have gaps."""
        if not self.received or not self.machine.room:
            return
        partition = self.rng.choice(sorted(self.received))
        if partition in self.paused:
            return
        assignment = self.machine.assignment(partition)
        assert assignment is not None
        records = []
        for _ in range(self.rng.randint(1, 5)):
            self.next_offset[partition] += self.rng.choice([1, 1, 1, 3])
            record = Record(self.next_offset[partition] - 1, b"x" * self.rng.randint(0, 4), partition=partition)
            records.append(record)
        self.received[partition] += records
        with_items = [record for record in records if self.rng.random() < 0.8]
        self.done[partition] |= {record.offset() for record in records if record not in with_items}
        self.machine.received(
            assignment, with_items, with_items, records[-1].offset() + 1, timestamps_of(records, 2**62)
        )
        if self.rng.random() < 0.2:
            self.poison(partition, assignment)

    def poison(self, partition: Partition, assignment: Assignment) -> None:
        """One record for which the author's function raised."""
        self.next_offset[partition] += 1
        record = Record(self.next_offset[partition] - 1, partition=partition)
        self.received[partition].append(record)
        self.machine.poisoned(assignment, record, CAUSE, timestamps_of([record], 2**62))

    def end_flush(self) -> None:
        """Any running flush ends, in any order."""
        if not self.flushes:
            return
        flush_id = self.rng.choice(sorted(self.flushes))
        items = self.flushes.pop(flush_id)
        if self.rng.random() < 0.7:
            self.mark_done(items)
            self.machine.flush_succeeded(flush_id)
        else:
            self.machine.flush_failed(flush_id, RuntimeError("sink"))

    def end_letter(self) -> None:
        """Any dead letter is answered, in any order."""
        if not self.letters:
            return
        letter_id = self.rng.choice(sorted(self.letters))
        record = self.letters.pop(letter_id)
        if self.rng.random() < 0.8:
            self.mark_done([record])
            self.machine.dead_letter_delivered(letter_id)
        else:
            self.machine.dead_letter_failed(letter_id, "no answer")

    def end_commit(self) -> None:
        """A commit is answered: acknowledged, rejected, or with a part of its partitions rejected."""
        if not self.commits:
            return
        offsets = self.commits.pop(0)
        rejected = {one: offset for one, offset in offsets.items() if self.rng.random() < 0.3}
        self.acknowledge({one: offset for one, offset in offsets.items() if one not in rejected})
        if rejected:
            self.machine.commit_failed(rejected)

    def acknowledge(self, offsets: dict[Partition, int]) -> None:
        self.committed |= offsets
        self.acknowledged |= {one: offset for one, offset in offsets.items() if one in self.received}
        self.machine.committed(offsets)

    def revoke(self) -> None:
        """Some partitions are revoked, after a last commit that can fail."""
        chosen = [one for one in sorted(self.received) if self.rng.random() < 0.5]
        self.machine.flush_buffer()
        self.poll()
        offsets = self.machine.take_commit(chosen)
        self.check_commit(offsets)
        if self.rng.random() < 0.7:
            self.acknowledge(offsets)
        else:
            self.machine.commit_failed(offsets)
        self.poll()
        self.machine.removed(chosen)
        self.forget(chosen)

    def lose(self) -> None:
        """Some partitions are lost. Another consumer commits further."""
        chosen = [one for one in sorted(self.received) if self.rng.random() < 0.3]
        self.machine.removed(chosen)
        self.forget(chosen)

    def forget(self, partitions: list[Partition]) -> None:
        for one in partitions:
            del self.received[one], self.done[one]
            self.acknowledged.pop(one, None)
            self.reported.pop(one, None)

    def advance(self) -> None:
        self.now += self.rng.choice([0.05, 0.5, 2.0])

    # -- actions ------------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Do what the machine returns, and check it."""
        for action in self.machine.poll(self.now):
            self.perform(action)
        assert len(self.flushes) <= self.options.slots

    def perform(self, action: Any) -> None:
        match action:
            case StartFlush(flush_id, batch):
                assert flush_id not in self.flushes
                assert 0 < len(batch) <= self.options.batch.records
                assert len(batch) == 1 or sum(map(len, batch)) <= self.options.batch.bytes
                self.flushes[flush_id] = batch
            case SendDeadLetter(letter_id, record, _):
                assert letter_id not in self.letters
                self.letters[letter_id] = record
            case Commit(offsets):
                assert not self.commits or not self.ended
                self.check_commit(offsets)
                self.commits.append(dict(offsets))
            case Report(timestamps):
                for partition, found in timestamps.items():
                    below = [one for one in self.received[partition] if one.offset() < self.acknowledged[partition]]
                    assert found.highest_ms <= max(one.timestamp()[1] for one in below)
                    self.reported[partition] = max(found.highest_ms, self.reported.get(partition, -1))
            case Pause(partitions):
                assert not self.paused & set(partitions)
                self.paused |= set(partitions)
            case Resume(partitions):
                assert self.paused >= set(partitions)
                self.paused -= set(partitions)
            case Fail():
                self.failed = True
            case Drained():
                assert not self.flushes
                assert self.failed or not any(self.is_own(record) for record in self.letters.values())
                self.ended = True

    def check_commit(self, offsets: Any) -> None:
        """Each received record below a committed offset is done."""
        for partition, offset in offsets.items():
            missing = [
                one
                for one in self.received[partition]
                if one.offset() < offset and one.offset() not in self.done[partition]
            ]
            assert not missing, f"committed {offset} of {partition}, but {missing} are not done"

    def mark_done(self, records: list[Record]) -> None:
        for record in records:
            if self.is_own(record):
                self.done[Partition(record.topic(), record.partition())].add(record.offset())

    def is_own(self, record: Record) -> bool:
        """True if the record was received in a present assignment: an effect counts for this assignment only."""
        partition = Partition(record.topic(), record.partition())
        return any(one is record for one in self.received.get(partition, ()))

    def finish(self) -> None:
        """Nothing fails any more, and the consumer ends."""
        self.machine.drain()
        self.rng.random = lambda: 0.5  # type: ignore[method-assign]
        for _ in range(2_000):
            self.poll()
            if self.ended:
                return
            self.end_flush()
            self.end_letter()
            self.end_commit()
            self.now += 0.5
        raise AssertionError("the consumer does not end")


INPUTS = [
    "assign",
    "receive",
    "receive",
    "receive",
    "end_flush",
    "end_letter",
    "end_commit",
    "revoke",
    "lose",
    "advance",
]


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.integers(0, 150))
def test_the_promises_hold_for_every_order_of_inputs(seed: int, steps: int) -> None:
    """No commit beyond a record that is not done, no report before its commit, and an end in which all is committed.
    A read position is forgotten as soon as all received records are reported, and not before."""
    world = World(seed)
    world.assign()
    for _ in range(steps):
        getattr(world, world.rng.choice(INPUTS))()
        world.poll()
        for partition, records in world.received.items():
            newest_ms = records[-1].timestamp()[1] if records else None
            assert world.failed or newest_ms in (
                None,
                world.reported.get(partition),
                world.machine.read_ms.get(partition),
            )

    world.finish()

    if not world.failed:
        for partition, records in world.received.items():
            if records:
                assert world.acknowledged[partition] == records[-1].offset() + 1
                assert world.reported[partition] == records[-1].timestamp()[1]
        assert world.machine.read_ms == {}
        assert world.machine.buffer.records == 0
        assert world.machine.buffer.bytes == 0
