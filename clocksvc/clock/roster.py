"""The roster: the partitions that must report. Unknown until reported; absence from a metadata reading retires none.

Only the configuration, an exclusion or a new topic id (a topic made anew) takes a partition off.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clocksvc.clock.partition import Partition


class TopicMetadata(NamedTuple):
    """A topic as Kafka knows it: its id (a topic made anew has another) and its number of partitions."""

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Roster:
    """Who must report.

    Attributes:
        topics: every configured topic that was ever seen, with the most partitions seen under its present id.
        excluded: partitions that an operator took off.
        missing: configured topics that the last metadata reading did not list; while there is one, the clock holds.
    """

    topics: Mapping[str, TopicMetadata]
    excluded: frozenset[Partition] = frozenset()
    missing: tuple[str, ...] = ()

    def partitions(self) -> Iterator[Partition]:
        """Every partition, excluded ones too."""
        for topic, shape in sorted(self.topics.items()):
            for number in range(shape.partitions):
                yield Partition(topic, number)

    def present_exclusions(self) -> tuple[Partition, ...]:
        """The excluded partitions that exist, sorted: what a tick made now has to name."""
        counts = {topic: shape.partitions for topic, shape in self.topics.items()}
        return tuple(sorted(p for p in self.excluded if 0 <= p.number < counts.get(p.topic, 0)))

    def required_count(self) -> int:
        """How many partitions must have reported before a tick can come."""
        return sum(shape.partitions for shape in self.topics.values()) - len(self.present_exclusions())


def merge_metadata(
    remembered: Mapping[str, TopicMetadata],
    listed: Mapping[str, TopicMetadata],
    configured: Collection[str],
    excluded: Collection[Partition] = (),
) -> Roster:
    """The roster after a metadata reading.

    Args:
        remembered: the shapes known so far, from the tick log's last record and earlier readings.
        listed: what Kafka listed now; metadata may lag, so fewer partitions under the same id count for nothing.
        configured: the clock's topics; remembered ones that are no longer configured are dropped.
        excluded: the partitions that an operator took off.
    """
    topics = {}
    for topic in sorted(configured):
        known, now = remembered.get(topic), listed.get(topic)
        shape = _newer(known, now)
        if shape is not None:
            topics[topic] = shape
    missing = tuple(topic for topic in sorted(configured) if topic not in listed or listed[topic].partitions == 0)
    return Roster(topics, frozenset(excluded), missing)


def merge_topics(newer: Mapping[str, TopicMetadata], older: Mapping[str, TopicMetadata]) -> dict[str, TopicMetadata]:
    """What two memories know together: the most partitions under one id, the newer memory's id where they differ."""
    shapes = dict(older)
    for topic, shape in newer.items():
        known = older.get(topic, shape)
        shapes[topic] = (
            shape if known.id != shape.id else TopicMetadata(shape.id, max(shape.partitions, known.partitions))
        )
    return shapes


def _newer(known: TopicMetadata | None, now: TopicMetadata | None) -> TopicMetadata | None:
    if known is None or now is None:
        return now or known
    if now.id != known.id:
        return now
    return TopicMetadata(now.id, max(now.partitions, known.partitions))
