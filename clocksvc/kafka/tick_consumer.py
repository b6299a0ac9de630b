"""Assigns a clock's log to one process of a dispatcher.

All processes of the dispatcher are in one consumer group, which is subscribed to the tick log's topic. Kafka divides
the logs between them. Only the process that gets the clock's log has the assignment; it ignores the other logs. The
group's committed offsets are not used. The dispatcher stores its progress in checkpoints, because an old writer of
checkpoints can be fenced.
"""

from collections.abc import Mapping
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.logs import log_of
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import (
    LastTick,
    OwnerWithOffset,
    TickDecoder,
    TickWithOffset,
    offset_before,
    read_last_tick,
)
from clocksvc.interfaces.tick_log import KeepAlive, TickLog
from clocksvc.kafka.client import ClientLog, client_settings, describe_error, dispatcher_id, translate_errors
from clocksvc.kafka.reader import message_of

SESSION_TIMEOUT_MS = 6_000
MAX_POLL_INTERVAL_MS = 300_000
"""Long, because a dispatcher does not poll while it sends a backlog."""
BATCH = 500


class KafkaTickConsumer:
    """Implements TickConsumer: one member of a dispatcher's consumer group.

    Args:
        topic: the topic of the tick log.
        clock: the clock's name.
        dispatcher: the dispatcher's name. All processes of a dispatcher are in the same group.
        settings: librdkafka settings from the configuration.
        log: the clock's log. `close` closes it.
    """

    def __init__(self, topic: str, clock: str, dispatcher: str, settings: Mapping[str, str], log: TickLog) -> None:
        self._clock, self._log = clock, log
        self._decoder = TickDecoder(clock)
        self._partition = TopicPartition(topic, log_of(clock), OFFSET_BEGINNING)
        self._group = dispatcher_id(topic, clock, dispatcher)
        self._failed = f"the tick log {topic!r} can't be read by group {self._group!r}"
        self._acls = {"Topic": f"Read on topic {topic}", "Group": f"Read on group {self._group}"}
        self._assignments = 0
        self._epoch: int | None = None
        self._seeked = False
        self._refused = ""
        with translate_errors(TickLogUnavailable, self._failed, self._acls):
            self._consumer = Consumer(
                client_settings(
                    settings,
                    group_id=self._group,
                    isolation_level="read_committed",
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    session_timeout_ms=SESSION_TIMEOUT_MS,
                    max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
                    partition_assignment_strategy="range",
                    fetch_wait_max_ms=100,
                ),
                logger=ClientLog(),
            )
            self._consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    @property
    def assignment_epoch(self) -> int | None:
        return self._epoch

    @property
    def owner(self) -> OwnerWithOffset | None:
        return self._decoder.owner

    def last_tick(self, keep_alive: KeepAlive) -> LastTick:
        return read_last_tick(self._log, self._clock, keep_alive)

    def seek(self, after: Checkpoint | None) -> None:
        if after is None:
            offset = OFFSET_BEGINNING
        else:
            offset = offset_before(self._log, after.at_ms) if after.offset is None else after.offset
        self._partition.offset = offset
        with translate_errors(TickLogUnavailable, self._failed, self._acls):
            self._consumer.assign([self._partition])
            self._consumer.resume([self._partition])
        self._seeked = True
        self._decoder.reset()

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        with translate_errors(TickLogUnavailable, self._failed, self._acls):
            messages = self._consumer.consume(1, timeout_s)
            if messages:
                messages += self._consumer.consume(BATCH - 1, 0)
        for error in filter(None, (message.error() for message in messages)):
            # librdkafka reports a missing permission or topic only once, and then tries again without a message.
            self._refused = describe_error(KafkaException(error), self._acls)
            raise TickLogUnavailable(f"{self._failed}: {self._refused}")
        if self._epoch is None and self._refused:
            raise TickLogUnavailable(f"{self._failed}: {self._refused}")
        if self._epoch is None or not self._seeked:
            return []
        return [found for message in messages if (found := self._decode(message)) is not None]

    def close(self) -> None:
        self._epoch = None
        self._consumer.close()
        self._log.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._refused = ""
        self._seeked = False
        own = [assigned for assigned in partitions if assigned.partition == self._partition.partition]
        if own:
            self._assignments += 1
            self._epoch = self._assignments
        # Paused until `seek` is called, because the start offset is in the checkpoints, not in the group.
        consumer.assign(own)
        consumer.pause(own)

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._epoch, self._seeked = None, False
        consumer.unassign()

    def _decode(self, polled: KafkaMessage) -> TickWithOffset | None:
        """Return a tick of the clock; None for another record."""
        return self._decoder.decode(cast(int, polled.offset()), message_of(polled))
