"""A dispatcher's turn at a tick log by Kafka's own means: a consumer group on the log's one partition.

The group `clocksvc.<tick log>.<dispatcher>` decides who reads; its committed offsets are not used: positions are kept
where they can be fenced.
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
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)
from clocksvc.kafka.errors import (
    error_of,
    translated,
)
from clocksvc.kafka.tick_log import KafkaTickLog

SESSION_TIMEOUT_MS = 6_000
MAX_POLL_INTERVAL_MS = 300_000
"""A dispatcher does not poll while it sends a backlog."""
BATCH = 500


class KafkaTickConsumer:
    """One process's membership: a Subscription.

    Args:
        tick_log, clock: whose ticks.
        dispatcher: processes of one dispatcher share a group.
        settings: librdkafka's, as the user set them.
    """

    def __init__(self, tick_log: str, clock: str, dispatcher: str, settings: Mapping[str, str], time: Time) -> None:
        self._topic, self._clock = tick_log, clock
        self._log = KafkaTickLog(tick_log, clock, settings, time)
        self._turns = 0
        self._turn: int | None = None
        self._begun = False
        with translated("the tick log can't be subscribed to"):
            self._consumer = Consumer(
                client_settings(
                    settings,
                    group_id=f"clocksvc.{tick_log}.{dispatcher}",
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
        return self._turn

    def last_tick_ms(self, waiting: KeepAlive) -> int | None:
        newest = next(self._log.backwards(waiting), None)
        return None if newest is None else newest.state.last_tick_ms

    def seek(self, after: Checkpoint | None) -> None:
        offset = OFFSET_BEGINNING if after is None or after.offset is None else after.offset
        with translated("the tick log can't be read from a position on"):
            place = [TopicPartition(self._topic, 0, offset)]
            self._consumer.assign(place)
            self._consumer.resume(place)
        self._begun = True

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        with translated("the tick log can't be read"):
            messages = self._consumer.consume(1, timeout_s)
            if messages:
                messages += self._consumer.consume(BATCH - 1, 0)
        if self._turn is None or not self._begun:
            return []
        return [found for one in messages if (found := self._logged(one)) is not None]

    def close(self) -> None:
        self._turn = None
        self._consumer.close()
        self._log.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._turns += 1
            self._turn = self._turns
        self._begun = False
        # Nothing is read before it is known from where: the position is.
        consumer.assign(partitions)
        consumer.pause(partitions)

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._turn, self._begun = None, False
        consumer.unassign()

    def _logged(self, got: KafkaMessage) -> TickWithOffset | None:
        error = got.error()
        if error is not None:
            if error.retriable() or error.code() == KafkaError._PARTITION_EOF:
                return None
            raise TickLogUnavailable(f"the tick log can't be read: {error_of(KafkaException(error)).str()}")
        headers = cast("list[tuple[str, bytes | None]]", got.headers() or [])
        if (TYPE_HEADER, b"tick") not in headers:
            return None
        tick = _tick(self._clock, Message(got.key(), got.value(), "tick"))
        return TickWithOffset(cast(int, got.offset()), tick)


def _tick(clock: str, message: Message) -> Tick:
    tick = decode_message(clock, message).tick
    if tick is None:
        raise UnreadableRecord("a record of the tick log says that it is a tick, and is none")
    return tick
