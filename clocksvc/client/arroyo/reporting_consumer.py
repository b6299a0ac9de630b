"""A consumer of Arroyo that observes what it has committed, and drops heartbeats."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from arroyo.backends.abstract import Consumer, ProducerFuture
from arroyo.backends.kafka import KafkaPayload
from arroyo.types import BrokerValue, Partition, Topic

from clocksvc.client.arroyo.partition_progress import ContiguousOffsets, PartitionProgress, timestamp_ms
from clocksvc.client.consumer.reporting import ProgressReporter, observe, topic_partitions
from clocksvc.client.membership import check_reporter_group, group_of
from clocksvc.client.message import is_heartbeat
from clocksvc.client.progress import DEFAULT_MAX_FUTURE_MS
from clocksvc.clock import partition as clock
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.time import Time

logger = logging.getLogger("clocksvc.arroyo")

IDLE_COMMIT_S = 1.0
"""How often heartbeats are committed while the pipeline itself has nothing to commit."""


class ReportingConsumer(Consumer[KafkaPayload]):
    """Wraps a consumer. The reporter observes the records below the offsets that `commit_offsets` has committed.

    Heartbeats are not returned by `poll`. They are committed when all records in front of them are staged.

    An invalid record can be staged before records in front of it, because Arroyo's `Reduce` forwards it and keeps the
    others in its buffer. In this case the offset of the first record that is not done is committed, not the offset
    after the invalid record. Before each commit, `commit_offsets` waits until the dead-letter queue has all invalid
    records; Arroyo itself waits only for those of the last staged offsets.

    If the strategies are created again while the consumer keeps a partition, as in incremental rebalances, records of
    this partition that are not done are read again.

    Args:
        consumer: the consumer to wrap. `commit_offsets` must return what it has committed.
        reporter: observes the committed records. This object does not close it.

    Raises:
        InvalidValue: librdkafka commits for this consumer, so `commit_offsets` returns nothing; or the reporter has
            another group than the consumer.
    """

    def __init__(self, consumer: Consumer[KafkaPayload], reporter: ProgressReporter, time: Time) -> None:
        if consumer.commit_offsets() is None:
            raise InvalidValue(
                "consumer",
                consumer,
                "wanted a consumer that returns what it has committed. librdkafka commits for this one: pass "
                "enable_auto_commit=False to build_kafka_consumer_configuration, or remove arroyo.enable.auto.commit",
            )
        check_reporter_group(reporter, group_of(consumer))
        self._consumer, self._reporter, self._time = consumer, reporter, time
        self._partitions: dict[Partition, PartitionProgress] = {}
        self._passed_heartbeats: set[Partition] = set()
        self._read_again_from: dict[Partition, int] = {}
        self._dead_letters: deque[ProducerFuture[BrokerValue[KafkaPayload]]] = deque()
        self._has_staged = False
        self._idle_commit_at = time.monotonic()
        self._near_until_ms = 0
        self._logged: set[Partition] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._consumer!r})"

    # -- records ------------------------------------------------------------------------------------------------------

    def poll(self, timeout: float | None = None) -> BrokerValue[KafkaPayload] | None:
        value = self._consumer.poll(timeout)
        if self._read_again_from and self._read_again(value):
            value = None
        if value is not None and self._add(value):
            return value
        self._commit_heartbeats()
        return None

    def add_invalid(self, partition: Partition, offset: int) -> None:
        """Record that the pipeline raised InvalidMessage for a record."""
        if partition in self._partitions:
            self._partitions[partition].add_invalid(offset)

    def add_dead_letter(self, delivery: ProducerFuture[BrokerValue[KafkaPayload]]) -> None:
        """Record that an invalid record was produced to the dead-letter queue."""
        while self._dead_letters and self._dead_letters[0].done():
            try:
                self._dead_letters[0].result()
            except Exception:
                break  # the next commit raises it: StreamProcessor ignores errors while it produces
            self._dead_letters.popleft()
        self._dead_letters.append(delivery)

    def _add(self, value: BrokerValue[KafkaPayload]) -> bool:
        """Add a polled record. False if it is a heartbeat."""
        progress = self._partitions.get(value.partition)
        if progress is None:
            progress = self._partitions[value.partition] = PartitionProgress(value.offset)
        at_ms = timestamp_ms(value)
        if at_ms > self._near_until_ms:
            self._near_until_ms = self._time.now_ms() + DEFAULT_MAX_FUTURE_MS
        heartbeat = bool(value.payload.headers) and is_heartbeat(value.payload)
        progress.add(value.offset, at_ms, far_ahead=at_ms > self._near_until_ms, heartbeat=heartbeat)
        if heartbeat and progress.done == value.next_offset:
            self._passed_heartbeats.add(value.partition)
        return not heartbeat

    # -- commits ------------------------------------------------------------------------------------------------------

    def stage_offsets(self, offsets: Mapping[Partition, int]) -> None:
        if not offsets:
            return
        done, contiguous = dict(offsets), isinstance(offsets, ContiguousOffsets)
        for partition, next_offset in offsets.items():
            progress = self._partitions.get(partition)
            if progress is not None:
                if not progress.stage(next_offset, contiguous=contiguous):
                    self._log_regress(partition, next_offset)
                done[partition] = progress.done
        self._consumer.stage_offsets(done)
        self._has_staged = True

    def commit_offsets(self) -> Mapping[Partition, int]:
        while self._has_staged and self._dead_letters:
            self._dead_letters[0].result()
            self._dead_letters.popleft()
        if self._passed_heartbeats:
            self._consumer.stage_offsets({each: self._partitions[each].done for each in self._passed_heartbeats})
        committed = self._consumer.commit_offsets() or {}
        self._has_staged = False
        self._passed_heartbeats.clear()
        for partition, next_offset in committed.items():
            progress = self._partitions.get(partition)
            if progress is not None:
                for timestamps in progress.commit(next_offset):
                    observe(self._reporter, _partition(partition), timestamps)
        return committed

    def _commit_heartbeats(self) -> None:
        """Commit heartbeats, unless the pipeline has staged offsets.

        Only the pipeline may commit those, because it waits for its dead-letter queue before.
        """
        if self._passed_heartbeats and not self._has_staged and self._time.monotonic() >= self._idle_commit_at:
            self._idle_commit_at = self._time.monotonic() + IDLE_COMMIT_S
            self.commit_offsets()

    def _log_regress(self, partition: Partition, next_offset: int) -> None:
        if partition in self._logged:
            return
        self._logged.add(partition)
        logger.error(
            "the pipeline staged offset %d of %s:%d after a higher one, so it staged records that were not done: ticks "
            "can be too early, and a crash can lose these records. FilterStep with a commit policy in front of Reduce "
            "does this",
            next_offset,
            partition.topic.name,
            partition.index,
        )

    # -- rebalances ---------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        topics: Sequence[Topic],
        on_assign: Callable[[Mapping[Partition, int]], None] | None = None,
        on_revoke: Callable[[Sequence[Partition]], None] | None = None,
    ) -> None:
        def assign(offsets: Mapping[Partition, int]) -> None:
            kept = self._partitions.keys() - offsets.keys()
            self._partitions.update({partition: PartitionProgress(offset) for partition, offset in offsets.items()})
            self._passed_heartbeats -= offsets.keys()
            self._reporter.on_assign(None, topic_partitions(map(_partition, offsets)))
            if on_assign is not None:
                on_assign(offsets)
            self._read_unfinished_again(kept)

        def revoke(partitions: Sequence[Partition]) -> None:
            try:
                if on_revoke is not None:
                    on_revoke(partitions)  # closes the strategies, which commit what is done
            finally:
                self._forget(partitions)
            self._read_unfinished_again(self._partitions.keys())

        self._consumer.subscribe(topics, on_assign=assign, on_revoke=revoke)

    def close(self, timeout: float | None = None) -> None:
        try:
            self._consumer.close(timeout)
        finally:
            self._forget(list(self._partitions))

    def _forget(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._partitions.pop(partition, None)
            self._passed_heartbeats.discard(partition)
            self._read_again_from.pop(partition, None)
        if partitions:
            self._reporter.on_revoke(None, topic_partitions(map(_partition, partitions)))

    def _read_unfinished_again(self, partitions: Iterable[Partition]) -> None:
        for partition in list(partitions):
            progress = self._partitions[partition]
            if progress.has_unfinished:
                self._partitions[partition] = PartitionProgress(progress.done)
                self._read_again_from[partition] = progress.done

    def _read_again(self, value: BrokerValue[KafkaPayload] | None) -> bool:
        """Seek to the first unfinished records. True if `value` was polled before, so that it will be polled again."""
        offsets, self._read_again_from = self._read_again_from, {}
        self._consumer.seek(offsets)
        return value is not None and value.partition in offsets

    # -- passed on unchanged ------------------------------------------------------------------------------------------

    def unsubscribe(self) -> None:
        self._consumer.unsubscribe()

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._consumer.pause(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._consumer.resume(partitions)

    def paused(self) -> Sequence[Partition]:
        return self._consumer.paused()

    def tell(self) -> Mapping[Partition, int]:
        return self._consumer.tell()

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self._consumer.seek(offsets)

    @property
    def closed(self) -> bool:
        return bool(self._consumer.closed)

    @property
    def member_id(self) -> str:
        return self._consumer.member_id


def _partition(partition: Partition) -> clock.Partition:
    return clock.Partition(partition.topic.name, partition.index)
