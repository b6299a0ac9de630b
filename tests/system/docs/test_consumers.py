"""docs/consumers.md: the examples that need no server."""

from typing import Any, NamedTuple

import pytest
from confluent_kafka import TopicPartition

from clocksvc import Reporter
from clocksvc.testing import InMemoryClock, ManualTime
from tests.repository import ROOT
from tests.system.docs.blocks import blocks
from tests.unit.client.fake_sink import NOW_MS, AssignedPartition, FakeSink, message

pytestmark = pytest.mark.core

PAGE = "docs/consumers.md"


class AioKafkaRecord(NamedTuple):
    """A record as aiokafka has it."""

    topic: str
    partition: int
    timestamp: int


def names_of(block_name: str, **given: Any) -> dict[str, Any]:
    """The names that an example of the page defines; some of its imports may be replaced."""
    (block,) = [block for block in blocks(PAGE, "python") if block.name == block_name]
    names: dict[str, Any] = dict(given)
    exec(compile(block.text, block_name, "exec"), names)
    return names


def test_one_reporter_for_each_topic() -> None:
    """The example of several topics: each reporter gets the records of its topic, and all get a rebalance."""
    sinks: dict[str, FakeSink] = {}

    def make(url: str, clock: str, *, group: str, topic: str) -> Reporter:
        sinks[topic] = FakeSink()
        return Reporter(url, clock, group=group, topic=topic, sink=sinks[topic], time=ManualTime(), start=False)

    names = names_of("several", Reporter=make)
    batch = [AioKafkaRecord("ingest-checkins", 0, NOW_MS), AioKafkaRecord("ingest-results", 1, NOW_MS)]
    names["on_assign"](None, [AssignedPartition(0, "ingest-checkins"), AssignedPartition(1, "ingest-results")])
    names["report"](batch)
    for reporter in names["reporters"].values():
        assert reporter.flush(0)

    assert {topic: sink.last_sent() for topic, sink in sinks.items()} == {
        "ingest-checkins": {0: NOW_MS},
        "ingest-results": {1: NOW_MS},
    }


class PausingConsumer:
    """The pauses of a consumer. As in librdkafka, they outlive an assignment."""

    def __init__(self) -> None:
        self.paused: set[int] = set()

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused.update(item.partition for item in partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused.difference_update(item.partition for item in partitions)


def test_partitions_that_run_ahead_are_paused() -> None:
    """The example of `ahead`: a partition is paused, resumed when the others are near, and read after a rebalance."""
    clock = InMemoryClock(topic="ingest-checkins", partitions=2, max_drift_seconds=600)
    reporter = Reporter("memory://", "clock", group="group", sink=clock.store, time=clock.time, start=False)
    names = names_of("ahead", reporter=reporter, TopicPartition=TopicPartition)
    consumer = PausingConsumer()

    def read(partition: int, hours_ago: float) -> set[int]:
        reporter.observe_message(message(partition, NOW_MS - round(hours_ago * 3_600_000), "ingest-checkins"))
        for _ in range(3):
            clock.settle()
            reporter.step()
        names["pause_partitions_ahead"](consumer)
        return consumer.paused

    def assign(partition: int) -> None:
        names["on_assign"](consumer, [TopicPartition("ingest-checkins", partition)])

    clock.settle()
    assign(0)
    assign(1)
    for hours_ago in (3, 2.9):
        assert read(0, hours_ago) == set()
        assert read(1, hours_ago) == set()
    assert read(1, 2) == {1}
    assert read(0, 2) == set()

    assert read(1, 1) == {1}
    assign(1)
    assert consumer.paused == set()
    assert read(1, 1.9) == set()


def test_the_page_shows_the_example_for_node() -> None:
    """As it is in examples/node."""
    (block,) = blocks(PAGE, "javascript")

    assert block.text == (ROOT / "examples" / "node" / "consumer.js").read_text(encoding="utf-8")
