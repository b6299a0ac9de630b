"""The roster: the partitions that must report. A partition is unknown until it is reported.

A partition leaves the roster only if the configuration changes, if an operator excludes it, or if its topic is
recreated with a new id. A partition that is absent from Kafka's metadata stays on the roster.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from clocksvc.clock.partition import Partition

MAX_FORMER_IDS = 8
"""How many former ids of a topic are remembered. Metadata lag for seconds, not over several deletions of a topic."""


class TopicMetadata(NamedTuple):
    """A topic's id in Kafka and its number of partitions. A recreated topic has a new id."""

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The partitions that must report.

    Attributes:
        topics: all configured topics that Kafka has ever listed, with the largest number of partitions that it has
            listed under the topic's present id.
        excluded: partitions that an operator excluded.
        missing: configured topics that are absent from the last metadata. The clock holds until Kafka lists all topics.
    """

    topics: Mapping[str, TopicMetadata]
    excluded: frozenset[Partition] = frozenset()
    missing: tuple[str, ...] = ()

    def partitions(self) -> Iterator[Partition]:
        """Yield all partitions, including excluded ones."""
        for topic, metadata in sorted(self.topics.items()):
            for number in range(metadata.partitions):
                yield Partition(topic, number)

    def present_exclusions(self) -> tuple[Partition, ...]:
        """Return the excluded partitions that exist, sorted. A tick that is made now lists them in `excluded`."""
        counts = {topic: metadata.partitions for topic, metadata in self.topics.items()}
        return tuple(sorted(p for p in self.excluded if 0 <= p.number < counts.get(p.topic, 0)))

    def required_count(self) -> int:
        """Return the number of partitions that must be reported before a tick can be emitted."""
        return sum(metadata.partitions for metadata in self.topics.values()) - len(self.present_exclusions())


def merge_metadata(
    remembered: Mapping[str, TopicMetadata],
    listed: Mapping[str, TopicMetadata],
    configured: Collection[str],
    excluded: Collection[Partition] = (),
) -> Roster:
    """Return the roster after Kafka's metadata were read.

    Args:
        remembered: the topics known so far, from the clock's last record in the tick log and from the store.
        listed: the topics that Kafka lists now. Metadata can lag, so a smaller number of partitions under the same id
            is ignored.
        configured: the clock's topics. Remembered topics that are not configured any more are dropped.
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
    """Return the topics of two sources.

    If the ids of a topic differ, the newer source counts. If they are equal, the larger number of partitions counts.
    """
    merged = dict(older)
    for topic, metadata in newer.items():
        merged[topic] = _newer(older.get(topic), metadata) or metadata
    return merged


def add_former_ids(
    former: Mapping[str, tuple[str, ...]], before: Mapping[str, TopicMetadata], after: Mapping[str, TopicMetadata]
) -> dict[str, tuple[str, ...]]:
    """Return the former ids of topics after a change of the roster.

    Args:
        former: the former ids so far, oldest first. Only the topics of the new roster are kept.
        before, after: the topics of the old and of the new roster.
    """
    ids = {}
    for topic, metadata in after.items():
        known = before.get(topic, metadata).id
        added = (known,) if known != metadata.id else ()
        kept = tuple(one for one in former.get(topic, ()) if one not in (known, metadata.id))
        if kept or added:
            ids[topic] = (*kept, *added)[-MAX_FORMER_IDS:]
    return ids


def _newer(known: TopicMetadata | None, now: TopicMetadata | None) -> TopicMetadata | None:
    if known is None or now is None:
        return now or known
    if now.id != known.id:
        return now
    return TopicMetadata(now.id, max(now.partitions, known.partitions))
