"""Assigns a tick log to one process of a dispatcher, by a consumer group on the log's one partition.

The group decides which process reads. Its committed offsets are not used: a dispatcher's progress is in its
checkpoints, which can be fenced.
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
"""A dispatcher does not poll while it sends a backlog."""
BATCH = 500


class KafkaTickConsumer:
    """One process's membership in the group of its dispatcher: a TickConsumer.

    Args:
        tick_log, clock: the tick log to read, and its clock.
        dispatcher: its processes share a group.
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
        # Paused until `seek`: the offset comes from the checkpoints, not from the group.
        consumer.assign(partitions)
        consumer.pause(partitions)

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._epoch, self._seeked = None, False
        consumer.unassign()

    def _decode(self, polled: KafkaMessage) -> TickWithOffset | None:
        """A tick; None for other records and for errors after which the consumer goes on by itself."""
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
