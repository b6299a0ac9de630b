"""A broker that gives every topic the same id: zero."""

import json
from collections.abc import Collection

from clocksvc.clock.roster import TopicMetadata
from clocksvc.interfaces.topics import ClusterMetadata
from tests.faulty.clock import FaultyClock
from tests.faulty.topics import FaultyTopics
from tests.unit.leader.clocks import minutes, pass_time, times

ZERO_ID = "AAAAAAAAAAAAAAAAAAAAAA"


class TopicsWithoutIds(FaultyTopics):
    """Topics of a broker that knows no topic ids."""

    def describe(self, topics: Collection[str]) -> ClusterMetadata:
        listed = super().describe(topics)
        shapes = {name: TopicMetadata(ZERO_ID, shape.partitions) for name, shape in listed.topics.items()}
        return ClusterMetadata(listed.cluster_id, shapes)


def test_a_topic_without_an_id_is_a_hold() -> None:
    """Without an id a recreated topic cannot be recognised: the clock gives no tick, and its hold names the topic."""
    clock = FaultyClock(partitions=2, now="2026-11-22T12:10:00Z")
    clock.topics = TopicsWithoutIds("memory")
    clock.topics.create("events", 2)
    clock.leader = clock.new_leader("leader")
    clock.report(0, "2026-11-22T12:05:30Z")
    clock.report(1, "2026-11-22T12:01:00Z")

    clock.topics.create("events", 2)
    pass_time(clock, 31, clock.leader)
    clock.report(1, "2026-11-22T12:05:10Z")

    early = set(minutes(2, 3, 4, 5)) & set(times(clock))
    assert not early, f"partition 0 of the recreated topic has not been reported, ticks came: {sorted(early)}"
    hold = json.loads(clock.store.snapshot().leader_status or "{}").get("hold")
    assert hold is not None
    assert "events" in hold["detail"]
