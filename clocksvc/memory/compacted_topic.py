"""A compacted topic in memory. One object is the topic in its cluster; `open` gives readers of it."""

import threading
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from clocksvc.interfaces.compacted_topic import CleanupSettings, OffsetBounds, Polled, TableRecord, TopicInspection

BATCH = 10_000


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """A record with the methods of confluent-kafka's messages."""

    _topic: str
    _partition: int
    _offset: int
    _key: bytes | None
    _value: bytes | None
    _timestamp_ms: int
    _headers: tuple[tuple[str, bytes], ...] = ()

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (1, self._timestamp_ms)

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> tuple[tuple[str, bytes], ...] | None:
        return self._headers or None


@dataclass
class _Log:
    records: list[MemoryRecord] = field(default_factory=list)
    begin: int = 0
    end: int = 0
    open_since: int | None = None

    @property
    def stable(self) -> int:
        return self.end if self.open_since is None else self.open_since


class MemoryCompactedTopic:
    """The topic. Safe to use from several threads.

    Attributes:
        cleanup: the settings that readers get.
    """

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self.cleanup = CleanupSettings("compact", 86_400_000)
        self._lock = threading.RLock()
        self._id, self._logs = uuid.uuid4().hex, [_Log() for _ in range(partitions)]

    def append(self, partition: int, key: bytes | None, value: bytes | None, timestamp_ms: int = -1) -> int:
        """Append a committed record; a tombstone if `value` is None. Return its offset."""
        with self._lock:
            log = self._logs[partition]
            log.records.append(MemoryRecord(self.name, partition, log.end, key, value, timestamp_ms))
            log.end += 1
            return log.end - 1

    def skip(self, partition: int, offsets: int) -> None:
        """Append offsets that no reader gets: aborted records, or transaction markers."""
        with self._lock:
            self._logs[partition].end += offsets

    def open_transaction(self, partition: int) -> None:
        """Hide all records from here on, until `end_transaction`."""
        with self._lock:
            self._logs[partition].open_since = self._logs[partition].end

    def end_transaction(self, partition: int) -> None:
        """Append the marker, and show the records."""
        with self._lock:
            self._logs[partition].open_since = None
            self.skip(partition, 1)

    def compact(self, partition: int, *, tombstones: bool) -> None:
        """Keep only the newest record of each key. Offsets stay. `tombstones`: remove tombstones, too."""
        with self._lock:
            log = self._logs[partition]
            newest = {record.key(): record for record in log.records}
            log.records = [
                record
                for record in log.records
                if newest[record.key()] is record and not (tombstones and record.value() is None)
            ]

    def truncate(self, partition: int, *, begin: int | None = None, end: int | None = None) -> None:
        """Remove all records before `begin`, and from `end` on."""
        with self._lock:
            log = self._logs[partition]
            log.begin = log.begin if begin is None else begin
            log.end = log.end if end is None else end
            log.records = [record for record in log.records if log.begin <= record.offset() < log.end]

    def add_partitions(self, total: int) -> None:
        """Add empty partitions."""
        with self._lock:
            self._logs += [_Log() for _ in range(total - len(self._logs))]

    def recreate(self, partitions: int) -> None:
        """Delete the topic, and create it with another id and without records."""
        with self._lock:
            self._id, self._logs = uuid.uuid4().hex, [_Log() for _ in range(partitions)]

    def open(self) -> "MemoryTopicReader":
        """Return a new reader."""
        return MemoryTopicReader(self)

    def inspect(self, partitions: Collection[int] | None) -> TopicInspection:
        """See `CompactedTopic.inspect`."""
        with self._lock:
            wanted = range(len(self._logs)) if partitions is None else partitions
            bounds = {
                number: OffsetBounds(self._logs[number].begin, self._logs[number].end)
                for number in wanted
                if number < len(self._logs)
            }
            return TopicInspection(self._id, len(self._logs), bounds)

    def read(self, partition: int, offset: int, limit: int) -> tuple[list[MemoryRecord], int, int] | None:
        """Return committed records from an offset, where the next read begins, and the last stable offset.

        None if the offset is out of range.
        """
        with self._lock:
            log = self._logs[partition] if partition < len(self._logs) else _Log()
            if not log.begin <= offset <= log.end:
                return None
            found = [record for record in log.records if offset <= record.offset() < log.stable][:limit]
            after = found[-1].offset() + 1 if len(found) == limit else log.stable
            return found, max(offset, after), log.stable


class MemoryTopicReader:
    """Implements CompactedTopic."""

    def __init__(self, topic: MemoryCompactedTopic) -> None:
        self._topic = topic
        self._next: dict[int, int] = {}
        self._ended: dict[int, int] = {}

    def inspect(self, partitions: Collection[int] | None) -> TopicInspection | None:
        return self._topic.inspect(partitions)

    def cleanup_settings(self) -> CleanupSettings:
        return self._topic.cleanup

    def start(self, offsets: Mapping[int, int]) -> None:
        self.stop(list(offsets))
        self._next.update(offsets)

    def stop(self, partitions: Collection[int]) -> None:
        for number in partitions:
            self._next.pop(number, None)
            self._ended.pop(number, None)

    def poll(self, timeout_s: float) -> Polled:
        records: list[TableRecord] = []
        ends: dict[int, int] = {}
        out_of_range: dict[int, str] = {}
        for number, offset in list(self._next.items()):
            read = self._topic.read(number, offset, max(1, BATCH // len(self._next)))
            if read is None:
                out_of_range[number] = f"offset {offset} is out of range"
                del self._next[number]
                continue
            found, self._next[number], stable = read
            records += found
            if self._next[number] == stable and self._ended.get(number) != stable:
                ends[number] = self._ended[number] = stable
        return Polled(records, ends, out_of_range)

    def close(self) -> None:
        self._next.clear()
