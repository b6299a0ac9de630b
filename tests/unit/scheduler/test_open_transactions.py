"""A transaction in the topic of schedules that an owner has left open hides everything behind it, until it is ended."""

import pytest

from clocksvc.interfaces.compacted_topic import Polled
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.compacted_topic import MemoryTopicReader
from clocksvc.memory.schedule_writer import MemoryScheduleWriter
from clocksvc.scheduler.partition import BLOCKED_AFTER_S
from clocksvc.scheduler.partition_state import PartitionState
from tests.unit.scheduler import partition_fixture
from tests.unit.scheduler.partition_fixture import PartitionFixture


class _Writer(MemoryScheduleWriter):
    """Its fence ends the transaction of an earlier owner, as in Kafka."""

    def fence(self, keep_alive: KeepAlive) -> None:
        super().fence(keep_alive)
        self._writers.topic.end_transaction(0)


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> PartitionFixture:
    made, poll = PartitionFixture(), MemoryTopicReader.poll

    def poll_and_wait(reader: MemoryTopicReader, timeout_s: float) -> Polled:
        found = poll(reader, timeout_s)
        if not found.records:
            made.time.advance(timeout_s)
        return found

    monkeypatch.setattr(MemoryTopicReader, "poll", poll_and_wait)
    monkeypatch.setattr(partition_fixture, "MemoryScheduleWriter", _Writer)
    return made


def test_an_owner_ends_it_at_the_next_tick(partition: PartitionFixture) -> None:
    """The previous owner has died within a write, or brokers have forgotten its transaction."""
    partition.put("a")
    owner = partition.owner()
    partition.topic.open_transaction(0)
    partition.put("b")
    partition.tick()

    partition.run(owner)

    assert sorted(partition.due()) == [("a", "12:01"), ("b", "12:01")]
    assert owner.stats.problem is None


def test_a_replica_that_loads_ends_it(partition: PartitionFixture) -> None:
    """There may be no owner who could end it. It waits for a while, because an owner's write takes a moment."""
    partition.put("a")
    partition.topic.open_transaction(0)
    partition.put("b")
    replica = partition.open()
    replica.acquire()
    for _ in range(5):
        replica.step()
    assert replica.state is PartitionState.LOADING
    assert partition.writers.epoch == 0

    partition.time.advance(BLOCKED_AFTER_S)
    partition.run(replica)
    partition.tick()
    partition.run(replica)

    assert sorted(partition.due()) == [("a", "12:01"), ("b", "12:01")]
