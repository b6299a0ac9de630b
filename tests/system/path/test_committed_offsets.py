"""A clock from committed offsets on real servers. Its group knows nothing of clocksvc, its topic has no heartbeats."""

from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from tests.process import children, runs
from tests.system.clock_fixture import ClockFixture, running
from tests.system.evidence import broken_links
from tests.system.installation import wall_ms
from tests.system.plain_group import PlainGroup, early
from tests.waiting import eventually

BUSY, QUIET, EMPTY = (0, 1), 2, 3
OBSERVED: dict[str, Any] = {"source": "committed", "heartbeat": None, "poll": "1s", "drain_delay": "1s"}


def test_a_plain_group_has_a_clock(tmp_path: Path, bootstrap: str, redis_url: str, key_prefix: str) -> None:
    """With a quiet and an empty partition. SIGTERM ends the service and the process that observes.

    No tick is early, by what the group noted before it committed, and nothing but the producers' records is in the
    topic.
    """
    clock = ClockFixture(key_prefix, "observed", 4, **OBSERVED)
    with (
        running(tmp_path, bootstrap, redis_url, key_prefix, clock) as installation,
        clock,
        PlainGroup(bootstrap, clock.topic, clock.group, first=True) as group,
    ):
        clock.write({QUIET: wall_ms()})
        producer, began_s = clock.producer(*BUSY), wall_ms() // 1000
        state = clock.until_reached(began_s + 1)
        (observer,) = children(installation.processes["serve"].pid)
        assert installation.end("serve", within=5) == 0
        ended = not runs(observer)
        producer.close()
        sent = producer.sent + 1
        eventually(lambda: len(group.first_times()) == sent, within=20, what="all records to be handled")
        ticks, offsets = clock.log(), used_offsets(bootstrap, clock.topic, clock.partitions)

    assert ended
    assert state["partitions"]["known"] == 4
    assert offsets == sent
    assert broken_links(ticks, 1_000) == []
    assert early(ticks, group.timestamps(), group.first_times()) == []


def used_offsets(bootstrap: str, topic: str, partitions: int) -> int:
    """The number of offsets that are used in a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "not-used"})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in range(partitions)]
    consumer.close()
    return sum(ends)
