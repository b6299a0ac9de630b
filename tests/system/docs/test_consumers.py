"""docs/consumers.md: the examples that need no server."""

from typing import Any

import pytest
from confluent_kafka import Message

from clocksvc import Reporter
from clocksvc.testing import ManualTime
from tests.system.docs.blocks import blocks
from tests.unit.client.fake_sink import NOW_MS, AssignedPartition, FakeSink, message

pytestmark = pytest.mark.core

PAGE = "docs/consumers.md"


def names_of(block_name: str, **given: Any) -> dict[str, Any]:
    """The names that an example of the page defines; some of its imports may be replaced."""
    (block,) = [block for block in blocks(PAGE, "python") if block.name == block_name]
    names: dict[str, Any] = dict(given)
    exec(compile(block.text, block_name, "exec"), names)
    return names


def test_one_reporter_for_each_topic() -> None:
    """The example of several topics: each reporter gets the messages of its topic, and all get a rebalance."""
    sinks: dict[str, FakeSink] = {}

    def make(url: str, clock: str, *, group: str, topic: str) -> Reporter:
        sinks[topic] = FakeSink()
        return Reporter(url, clock, group=group, topic=topic, sink=sinks[topic], time=ManualTime(), start=False)

    names = names_of("several", Reporter=make)
    batch: list[Message] = [message(0, NOW_MS, "ingest-checkins"), message(1, NOW_MS, "ingest-results")]
    names["on_assign"](None, [AssignedPartition(0, "ingest-checkins"), AssignedPartition(1, "ingest-results")])
    names["report"](batch)
    for reporter in names["reporters"].values():
        assert reporter.flush(0)

    assert {topic: sink.last_sent() for topic, sink in sinks.items()} == {
        "ingest-checkins": {0: NOW_MS},
        "ingest-results": {1: NOW_MS},
    }


def test_the_test_of_a_consumer() -> None:
    """The functions of the example of `clocksvc.testing` pass."""
    names = names_of("test_consumer.py")
    tests = [name for name in names if name.startswith("test_")]
    for name in tests:
        names[name]()

    assert len(tests) == 2
