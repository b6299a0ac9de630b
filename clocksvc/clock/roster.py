"""The roster: the partitions that must report. A partition is unknown until it is reported.

A partition leaves the roster only by a change of the configuration, an exclusion, or a new topic id (a recreated
topic). Absence from Kafka's metadata removes none.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clocksvc.clock.partition import Partition


class TopicMetadata(NamedTuple):
    """A topic's id in Kafka (a recreated topic has another one) and its number of partitions."""

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The partitions that must report.

    Attributes:
        topics: every configured topic that was ever listed, with the most partitions listed under its present id.
        excluded: partitions that an operator excluded.
        missing: configured topics that are absent from the last metadata; the clock holds while there is one.
    """

    topics: Mapping[str, TopicMetadata]
    excluded: frozenset[Partition] = frozenset()
    missing: tuple[str, ...] = ()

    def partitions(self) -> Iterator[Partition]:
        """All partitions, including excluded ones."""
        for topic, metadata in sorted(self.topics.items()):
            for number in range(metadata.partitions):
                yield Partition(topic, number)

    def present_exclusions(self) -> tuple[Partition, ...]:
        """The excluded partitions that exist, sorted. A tick that is made now names them."""
        counts = {topic: metadata.partitions for topic, metadata in self.topics.items()}
        return tuple(sorted(p for p in self.excluded if 0 <= p.number < counts.get(p.topic, 0)))

    def required_count(self) -> int:
        """The number of partitions that must have reported before a tick can be emitted."""
        return sum(metadata.partitions for metadata in self.topics.values()) - len(self.present_exclusions())


def merge_metadata(
    remembered: Mapping[str, TopicMetadata],
    listed: Mapping[str, TopicMetadata],
    configured: Collection[str],
    excluded: Collection[Partition] = (),
) -> Roster:
    """The roster after a metadata reading.

    Args:
        remembered: the topics known so far, from the tick log's last record and earlier readings.
        listed: what Kafka listed now. Metadata can lag: fewer partitions under the same id are ignored.
        configured: the clock's topics; remembered topics that are not configured any more are dropped.
        excluded: the partitions that an operator excluded.
    """
    topics = {}
    for topic in sorted(configured):
        merged = _newer(remembered.get(topic), listed.get(topic))
        if merged is not None:
            topics[topic] = merged
    missing = tuple(topic for topic in sorted(configured) if topic not in listed or listed[topic].partitions == 0)
    return Roster(topics, frozenset(excluded), missing)


def merge_topics(newer: Mapping[str, TopicMetadata], older: Mapping[str, TopicMetadata]) -> dict[str, TopicMetadata]:
    """All topics of two readings: the newer id where ids differ, else the larger number of partitions."""
    merged = dict(older)
    for topic, metadata in newer.items():
        merged[topic] = _newer(older.get(topic), metadata) or metadata
    return merged


def _newer(known: TopicMetadata | None, now: TopicMetadata | None) -> TopicMetadata | None:
    if known is None or now is None:
        return now or known
    if now.id != known.id:
        return now
    return TopicMetadata(now.id, max(now.partitions, known.partitions))
