"""What a consumer needs of a Reporter, and the messages that it observes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from clocksvc.client.consumer.watermark import Timestamps
from clocksvc.client.message import KafkaMessage, TopicPartition
from clocksvc.clock.partition import Partition


class ProgressReporter(Protocol):
    """A Reporter of clocksvc, or a similar object. The caller closes it."""

    def observe_message(self, message: KafkaMessage) -> None:
        """Observe a processed record by its message. Does not block."""

    def on_assign(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Start partitions without progress. Does not block."""

    def on_revoke(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Report the progress of partitions, then forget it. Blocks for seconds."""

    def on_lost(self, consumer: object, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions. Does not block."""

    def ahead(self, read: Mapping[tuple[str, int], int]) -> Collection[Partition]:
        """Return the partitions to pause, because they run ahead of the clock. Does not block.

        Args:
            read: the highest timestamp of each partition's received records that are not observed yet, in milliseconds.
        """


class _TopicPartition(NamedTuple):
    topic: str
    partition: int


class _CommittedRecord:
    """A message with what a Reporter reads of it. So the buffer need not keep the messages themselves."""

    __slots__ = ("_partition", "_timestamp")

    def __init__(self, partition: Partition, timestamp: tuple[int, int]) -> None:
        self._partition, self._timestamp = partition, timestamp

    def topic(self) -> str:
        return self._partition.topic

    def partition(self) -> int:
        return self._partition.number

    def timestamp(self) -> tuple[int, int]:
        return self._timestamp

    def error(self) -> None:
        return None


def topic_partitions(partitions: Iterable[Partition]) -> Sequence[TopicPartition]:
    """Return partitions as confluent-kafka passes them to the callbacks of a rebalance."""
    return [_TopicPartition(topic, number) for topic, number in partitions]


def observe(reporter: ProgressReporter, partition: Partition, timestamps: Timestamps) -> None:
    """Observe committed records of one partition: the lowest and the highest timestamp, and one far in the future.

    The lowest one shows the reporter that there were late records. It counts one of them, not each.
    """
    kind, lowest_ms, highest_ms, far_ms = timestamps
    observed = [lowest_ms, highest_ms] if lowest_ms < highest_ms else [highest_ms]
    for at_ms in (*observed, far_ms):
        if at_ms >= -1:
            reporter.observe_message(_CommittedRecord(partition, (kind, at_ms)))
