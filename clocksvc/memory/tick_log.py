"""A tick log in memory: the log, which all processes share, and a writer for each process."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from clocksvc.clock.log_record import Message, Record, decode_message, encode_message
from clocksvc.errors import Fenced, TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.tick_log import KeepAlive, Tail


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One offset of the log; `message` is None for the marker that ends a transaction."""

    offset: int
    message: Message | None


@dataclass
class MemoryLog:
    """One tick log, as all processes see it. Messages are kept encoded, as in Kafka.

    Attributes:
        exists: True after `ensure_topic` has created the topic.
        entries: all offsets that are kept, markers included.
        first_offset, end: the first offset of the log, and the offset after the last one.
        epoch: the epoch of the newest writer. Older writers are fenced.
    """

    exists: bool = False
    entries: list[LogEntry] = field(default_factory=list)
    first_offset: int = 0
    end: int = 0
    epoch: int = 0

    def fence(self) -> int:
        """Fence all writers, and return the epoch of a new one."""
        self.epoch += 1
        return self.epoch

    def commit(self, messages: Sequence[Message]) -> None:
        """Append messages and the marker of their transaction."""
        for message in (*messages, None):
            self.entries.append(LogEntry(self.end, message))
            self.end += 1

    def committed(self) -> list[Message]:
        """Return all committed messages, oldest first."""
        return list(self.committed_newest_first())[::-1]

    def committed_newest_first(self) -> Iterator[Message]:
        """Yield all committed messages, newest first."""
        for entry in reversed(self.entries.copy()):
            if entry.message is not None:
                yield entry.message

    def committed_from(self, offset: int) -> Iterator[tuple[int, Message]]:
        """Yield the committed messages with their offsets, beginning at `offset`."""
        for entry in self.entries.copy():
            if entry.message is not None and entry.offset >= offset:
                yield entry.offset, entry.message


class MemoryTickLog:
    """A `TickLog` over a MemoryLog, for one process."""

    def __init__(self, log: MemoryLog, clock: str) -> None:
        self._log = log
        self._clock = clock
        self._epoch: int | None = None

    @property
    def writable(self) -> bool:
        return self._epoch is not None

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        self._log.exists = True

    def fence(self, keep_alive: KeepAlive) -> None:
        self._epoch = self._log.fence()

    def tail(self, keep_alive: KeepAlive) -> Tail:
        self._check_exists()
        newest = next(self._log.committed_newest_first(), None)
        return Tail(None if newest is None else decode_message(self._clock, newest), self._log.first_offset)

    def backwards(self, keep_alive: KeepAlive) -> Iterator[Record]:
        self._check_exists()
        for message in self._log.committed_newest_first():
            with suppress(UnreadableRecord):
                yield decode_message(self._clock, message)

    def last_written(self, keep_alive: KeepAlive) -> list[Record]:
        return list(self.backwards(keep_alive))[::-1]

    def append(self, records: Sequence[Record], keep_alive: KeepAlive) -> None:
        if not records:
            return
        if self._epoch is None or self._epoch != self._log.epoch:
            self._epoch = None
            raise Fenced
        self._log.commit([encode_message(record) for record in records])

    def await_commit_marker(self, keep_alive: KeepAlive) -> None:
        """Return at once, because a commit includes its marker."""

    def close(self) -> None:
        self._epoch = None

    def _check_exists(self) -> None:
        if not self._log.exists:
            raise TickLogUnavailable
