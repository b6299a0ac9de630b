"""What a report contains: timestamps, local rejections and late records of one topic. No I/O, no locks."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from clocksvc.client.local_rejections import PendingRejection
from clocksvc.client.observed_topic import ObservedTopic
from clocksvc.client.progress import NONE, Progress
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.progress import MAX_LATE_RECORDS, ClockParameters, Report

MAX_TIMESTAMPS_PER_REPORT = 1_000
"""The largest number of timestamps, or of local rejections, in one report."""


class PendingTimestamp(NamedTuple):
    """The timestamp of one partition in a report."""

    partition: int
    progress: Progress
    timestamp_ms: int
    create_time: bool


def make_report(
    group: str,
    topic: ObservedTopic,
    parameters: ClockParameters,
    progress: Mapping[int, Progress],
    items: Sequence[PendingTimestamp],
    rejected: Sequence[PendingRejection],
    late_records: int,
) -> Report:
    """Return a report of these items and rejections, and of late records.

    If the observed topic is not known, the report rejects all that was observed. If nothing was observed because the
    consumer reads other topics than the clock's, the report rejects one partition of each of these topics.

    Args:
        group: the consumer group.
        topic: the observed topic.
        parameters: the parameters of the clock.
        progress: the progress by partition number.
        items, rejected: at most MAX_TIMESTAMPS_PER_REPORT each.
        late_records: the number of late records. More than MAX_LATE_RECORDS are left for the next report.
    """
    foreign = () if progress or items or rejected else topic.foreign_assignment(parameters)
    if foreign:
        nothing = (PartitionTimestamp(partition, NONE) for partition in foreign)
        return Report(group, (), tuple((one, Outcome.FOREIGN_TOPIC) for one in nothing))
    name = topic.name
    if name is None:
        return Report(group, (), tuple(_reject_without_topic(topic.possible_topics(parameters), progress)))
    timestamps = (PartitionTimestamp(Partition(name, item.partition), item.timestamp_ms) for item in items)
    rejections = (
        (PartitionTimestamp(Partition(other or name, partition), timestamp_ms), outcome)
        for partition, timestamp_ms, outcome, other in rejected
    )
    create_time = (name,) if any(item.create_time for item in items) else ()
    return Report(group, tuple(timestamps), tuple(rejections), min(late_records, MAX_LATE_RECORDS), create_time)


def _reject_without_topic(
    topics: Sequence[str], progress: Mapping[int, Progress]
) -> Iterator[tuple[PartitionTimestamp, Outcome]]:
    # The partitions may belong to any of these topics, so the hold of each of them gets this reason.
    partitions = (Partition(topic, number) for topic in topics for number in progress)
    for partition in islice(partitions, MAX_TIMESTAMPS_PER_REPORT):
        yield PartitionTimestamp(partition, progress[partition.number].timestamp_ms), Outcome.FOREIGN_TOPIC
