"""Assigns a tick log to one process of a dispatcher.

All processes of the dispatcher are in one consumer group, and Kafka assigns the log's only partition to one of them.
The group's committed offsets are not used. The dispatcher stores its progress in checkpoints, because an old writer of
checkpoints can be fenced.
"""

from collections.abc import Mapping
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from clocksvc.clock.log_record import TYPE_HEADER, Message, decode_message
from clocksvc.clock.tick import Tick
from clocksvc.errors import TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.client import ClientLog, client_settings, describe_error, dispatcher_id, translate_errors
from clocksvc.kafka.tick_log import KafkaTickLog, tick_log_topic

SESSION_TIMEOUT_MS = 6_000
MAX_POLL_INTERVAL_MS = 300_000
"""Long, because a dispatcher does not poll while it sends a backlog."""
BATCH = 500


class KafkaTickConsumer:
    """Implements TickConsumer: one member of a dispatcher's consumer group.

    Args:
        tick_log: the topic of the tick log.
        clock: the clock's name.
        dispatcher: the dispatcher's name. All processes of a dispatcher are in the same group.
        settings: librdkafka settings from the configuration.
    """

    def __init__(self, tick_log: str, clock: str, dispatcher: str, settings: Mapping[str, str], time: Time) -> None:
        self._topic, self._clock = tick_log_topic(tick_log), clock
        self._log = KafkaTickLog(tick_log, clock, settings, time)
        self._group = dispatcher_id(tick_log, dispatcher)
        self._assignments = 0
        self._epoch: int | None = None
        self._seeked = False
        with translate_errors(TickLogUnavailable, f"the {self._topic} can't be subscribed to"):
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
            self._consumer.subscribe(
                [tick_log], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
            )

    @property
    def assignment_epoch(self) -> int | None:
        return self._epoch

    def last_tick_ms(self, keep_alive: KeepAlive) -> int | None:
        newest = next(self._log.backwards(keep_alive), None)
        return None if newest is None else newest.state.last_tick_ms

    def seek(self, after: Checkpoint | None) -> None:
        offset = OFFSET_BEGINNING if after is None or after.offset is None else after.offset
        with translate_errors(TickLogUnavailable, f"the {self._topic} can't be read from a checkpoint"):
            position = [TopicPartition(self._topic.name, 0, offset)]
            self._consumer.assign(position)
            self._consumer.resume(position)
        self._seeked = True

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        with translate_errors(TickLogUnavailable, f"the {self._topic} can't be read"):
            messages = self._consumer.consume(1, timeout_s)
            if messages:
                messages += self._consumer.consume(BATCH - 1, 0)
        if self._epoch is None or not self._seeked:
            return []
        return [found for one in messages if (found := self._decode(one)) is not None]

    def close(self) -> None:
        self._epoch = None
        self._consumer.close()
        self._log.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._assignments += 1
            self._epoch = self._assignments
        self._seeked = False
        # Paused until `seek` is called, because the start offset is in the checkpoints, not in the group.
        consumer.assign(partitions)
        consumer.pause(partitions)

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._epoch, self._seeked = None, False
        consumer.unassign()

    def _decode(self, polled: KafkaMessage) -> TickWithOffset | None:
        """Return a tick; None for another record, and for an error after which the consumer continues by itself."""
        error = polled.error()
        if error is not None:
            if error.retriable() or error.code() == KafkaError._PARTITION_EOF:
                return None
            acls = self._topic.acls("Read") | {"Group": f"Read on group {self._group}"}
            why = describe_error(KafkaException(error), acls)
            raise TickLogUnavailable(f"the {self._topic} can't be read: {why}")
        headers = cast("list[tuple[str, bytes | None]]", polled.headers() or [])
        if (TYPE_HEADER, b"tick") not in headers:
            return None
        tick = _tick(self._clock, Message(polled.key(), polled.value(), "tick"))
        return TickWithOffset(cast(int, polled.offset()), tick)


def _tick(clock: str, message: Message) -> Tick:
    tick = decode_message(clock, message).tick
    if tick is None:
        raise UnreadableRecord("a tick log record of type 'tick' contains no tick")
    return tick
