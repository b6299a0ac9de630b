"""One partition: its records, transactions, and what its leaders answer."""

from collections.abc import Iterator
from enum import StrEnum


class State(StrEnum):
    """The state of a transaction in one partition. It ends with the marker."""

    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


class TransactionPart:
    """The records of a transaction in one partition."""

    __slots__ = ("first", "state")

    def __init__(self, first: int) -> None:
        self.first, self.state = first, State.OPEN


class Record:
    """A record or a marker.

    Attributes:
        timestamp_ms: of a marker, the coordinator's wall time.
        processed: True once the group has processed it.
        passed_over: True once the group has passed over it by its own decision, such as a reset to the end.
        gone: True once retention or compaction has removed it.
        outputs: for each record that a stage makes of this one, its copies in the next topic; None before it does.
    """

    __slots__ = ("gone", "marker", "offset", "outputs", "part", "passed_over", "processed", "timestamp_ms")

    def __init__(self, offset: int, timestamp_ms: int, part: TransactionPart | None, *, marker: bool = False) -> None:
        self.offset, self.timestamp_ms, self.part, self.marker = offset, timestamp_ms, part, marker
        self.processed = self.passed_over = self.gone = False
        self.outputs: tuple[list[Record], ...] | None = None

    @property
    def visible(self) -> bool:
        """True if a consumer with read_committed gets it."""
        return not self.marker and not self.gone and (self.part is None or self.part.state is State.COMMITTED)

    @property
    def aborted(self) -> bool:
        """True if its transaction was aborted."""
        return self.part is not None and self.part.state is State.ABORTED


class View:
    """What a former leader answers from its resumption until it learns that it was deposed. It lacks what came later.

    `still_asked` is True while the observer does not know the new leader.
    """

    __slots__ = ("epoch", "from_ms", "high", "low", "still_asked", "until_ms")

    def __init__(self, log: "PartitionLog", from_ms: int, until_ms: int, *, still_asked: bool) -> None:
        self.low, self.high, self.epoch = log.low, log.high, log.epoch
        self.from_ms, self.until_ms, self.still_asked = from_ms, until_ms, still_asked


class PartitionLog:
    """A partition of one incarnation of a topic. Offsets are indexes of `records`.

    Attributes:
        high: the high watermark.
        broker: the leader.
        available_from_ms: until then, no leader answers.
        stalled_until_ms: until then, the high watermark stays.
        suspended_until_ms: until then, the process of the leader (of the former one, after an election) is suspended.
        former: what the former leader answers after it was resumed.
        unprocessed: the records that the group has yet to process, by offset.
    """

    def __init__(self, topic: str, number: int, topic_id: str, broker: int) -> None:
        self.topic, self.number, self.topic_id, self.broker = topic, number, topic_id, broker
        self.records: list[Record] = []
        self.low = self.high = 0
        self.epoch = 0
        self.available_from_ms = self.stalled_until_ms = self.suspended_until_ms = 0
        self.former: View | None = None
        self.deleted = False
        self.unprocessed: dict[int, Record] = {}
        self._open: list[TransactionPart] = []

    def __str__(self) -> str:
        return f"{self.topic}:{self.number}/{self.topic_id}"

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return len(self.records)

    @property
    def last_stable(self) -> int:
        """The last stable offset."""
        return min(self.high, *(part.first for part in self._open)) if self._open else self.high

    def writable(self, now_ms: int) -> bool:
        """True if a leader accepts records."""
        return not self.deleted and now_ms >= self.available_from_ms

    def append(self, timestamp_ms: int, part: TransactionPart | None = None) -> Record:
        """Append a record."""
        record = Record(self.end, timestamp_ms, part)
        self.records.append(record)
        self.unprocessed[record.offset] = record
        return record

    def begin(self) -> TransactionPart:
        """Begin the part of a transaction, with the next record."""
        part = TransactionPart(self.end)
        self._open.append(part)
        return part

    def finish(self, part: TransactionPart, state: State, timestamp_ms: int) -> None:
        """Append the marker."""
        part.state = state
        self._open.remove(part)
        self.records.append(Record(self.end, timestamp_ms, part, marker=True))
        if state is State.ABORTED:
            for record in list(self.unprocessed.values()):
                if record.part is part:
                    del self.unprocessed[record.offset]

    def delete(self) -> None:
        """Delete the topic with all records."""
        self.deleted = True
        for record in self.records:
            self.remove(record)

    def advance(self, now_ms: int) -> None:
        """Move the high watermark to the end, unless it stalls."""
        if now_ms >= self.stalled_until_ms:
            self.high = len(self.records)

    def remove(self, record: Record) -> None:
        """Remove a record, as retention and compaction do."""
        record.gone = True
        self.unprocessed.pop(record.offset, None)

    def note_processed(self, record: Record) -> None:
        """Note that the group has processed a record."""
        record.processed = True
        self.unprocessed.pop(record.offset, None)

    def pass_over(self, below: int) -> int:
        """Note that the group does not process what is below an offset, by its own decision. Returns the number."""
        passed = [record for record in self.unprocessed.values() if record.offset < below]
        for record in passed:
            record.passed_over = True
            del self.unprocessed[record.offset]
        return len(passed)

    def read(self, start: int, end: int) -> Iterator[Record]:
        """The visible records from `start` up to before `end`."""
        for record in self.records[max(start, self.low) : end]:
            if record.visible:
                yield record
