"""A tick log in memory with the faults of Kafka: see `fenced_log.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

from clocksvc.clock.log_record import SNAPSHOT, LogEntry, Message
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.kafka.tick_log_topic import TickLogTopic, raise_if_unsafe
from clocksvc.memory.tick_log import MemoryLog
from tests.faulty.fenced_log import FaultyFencedLog, FaultySharedLog


@dataclass
class FaultyLog(FaultySharedLog[Message], MemoryLog):
    """A log, as all processes see it, with transactions that can stay open.

    Attributes:
        shape: the topic's settings; None while it does not exist (`ensure_topic` creates it).
        rejects_copies: brokers reject copies in snapshots, too: the limit of the size of records was lowered. Otherwise
            they accept copies of records with `rejected_keys`, as before.
    """

    shape: TickLogTopic | None = None
    rejects_copies: bool = False

    @property
    def missing(self) -> bool:
        return self.shape is None

    def rejects(self, one: Message) -> bool:
        return super().rejects(one) and (one.type != SNAPSHOT or self.rejects_copies)

    def begin_foreign(self, *messages: Message) -> None:
        super().begin_foreign(*(messages or [Message(b"foreign", b"{}", None)]))


class FaultyTickLog(FaultyFencedLog[Message]):
    """A `TickLog` over a FaultyLog, for one process."""

    no_answer = TickLogUnavailable
    _log: FaultyLog

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        self._ask("ensure_topic", keep_alive)
        if self._log.shape is None:
            self._log.shape = TickLogTopic("clocksvc-ticks")
        raise_if_unsafe(self._log.shape)

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        return [LogEntry(*found) for found in self._read(start, end, keep_alive)]

    def offset_at(self, timestamp_ms: int, keep_alive: KeepAlive) -> int:
        self._ask("offset_at", keep_alive)
        return self._log.offset_at(timestamp_ms)

    def append(self, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        return self._append(messages, end, keep_alive)
