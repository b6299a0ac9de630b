"""Reads and writes one log of the tick log in Kafka."""

from collections.abc import Mapping, Sequence
from functools import partial

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.errors import Fenced, TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.kafka.fenced_log import SETTLE_S, TIMEOUT_S, FencedLog
from clocksvc.kafka.internal_topic import InternalTopic, ensure_topic
from clocksvc.kafka.log_consumers import LogConsumers
from clocksvc.kafka.reader import log_entry
from clocksvc.kafka.tick_log_topic import wanted_config, wanted_log_topic


def tick_log_topic(name: str, log: int) -> InternalTopic:
    """Describe the partition of a log, for requests and error messages."""
    return InternalTopic(name, "tick log", TickLogUnavailable, log)


class KafkaTickLog(FencedLog):
    """Implements TickLog: one log, in Kafka.

    Args:
        topic: the name of the tick log's topic.
        log: the number of the log, which is its partition.
        keep_ms: how long all ticks are kept, for a new topic.
        settings, time, timeout_s, settle_s, consumers: see FencedLog.
    """

    def __init__(
        self,
        topic: str,
        log: int,
        settings: Mapping[str, str],
        time: Time,
        keep_ms: int,
        timeout_s: float = TIMEOUT_S,
        settle_s: float = SETTLE_S,
        consumers: LogConsumers | None = None,
    ) -> None:
        super().__init__(tick_log_topic(topic, log), settings, time, timeout_s, settle_s, consumers)
        self._keep_ms = keep_ms

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        wanted = wanted_log_topic(self._topic.kind, partial(wanted_config, keep_ms=self._keep_ms))
        ensure_topic(self._topic, wanted, self._settings, self._timeout_s, self._deadline(keep_alive))

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        return self._read(start, end, keep_alive, log_entry)

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        found = self._reader.offset_at(timestamp_ms, self._deadline(keep_alive))
        return self._reader.stable_bounds(self._deadline(keep_alive))[1] if found is None else found

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        if self._writer is None:
            raise Fenced(f"this process is not the writer of the {self._topic}: call fence first")
        return self._append(messages, end, keep_alive) if messages else end
