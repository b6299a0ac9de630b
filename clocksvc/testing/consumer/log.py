"""The content of one partition, and what is known about each record: facts that the judge collects."""

from bisect import bisect_left

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from clocksvc.testing.consumer.record import Message, Record


class StoredRecord:
    """One record of a partition.

    Attributes:
        log, index, offset, timestamp_ms, record: its place and content.
        highest_ms: the highest timestamp up to this record.
        done: True if it was flushed, skipped, or acknowledged as a dead letter, in the present assignment or before.
        skipped: True if it needed no flush.
        deliveries: how often a consumer got it.
    """

    __slots__ = (
        "deliveries",
        "done",
        "highest_ms",
        "index",
        "log",
        "offset",
        "record",
        "skipped",
        "timestamp_ms",
    )

    def __init__(self, log: "Log", record: Record, timestamp_ms: int) -> None:
        before = log.records[-1] if log.records else None
        self.log, self.record, self.timestamp_ms = log, record, timestamp_ms
        self.index, self.offset = len(log.records), log.end + record.gap
        self.highest_ms: int = timestamp_ms if before is None else max(before.highest_ms, timestamp_ms)
        self.done = self.skipped = False
        self.deliveries = 0

    @property
    def heartbeat(self) -> bool:
        return any(name == HEARTBEAT_HEADER for name, _ in self.record.headers)

    def __str__(self) -> str:
        return f"{self.log.partition}@{self.offset}"


class Delivery:
    """One record that was given to a consumer in one assignment.

    Attributes:
        stored: the record.
        epoch: the assignment.
        message: what the consumer got.
        at: when it got it, in seconds of the monotonic clock.
        in_process: True while a pool of processes calls the author's function.
        in_flush: True while a flush contains it.
        flush_failed: True after a flush with it failed.
        dead_letter: True after it was sent to the dead-letter topic, until that failed.
        done: True if it was flushed, skipped, or acknowledged as a dead letter, in this assignment.
    """

    __slots__ = ("at", "dead_letter", "done", "epoch", "flush_failed", "in_flush", "in_process", "message", "stored")

    def __init__(self, stored: StoredRecord, epoch: int, at: float) -> None:
        log = stored.log
        self.stored, self.epoch, self.at = stored, epoch, at
        self.message = Message(self, log.partition.topic, stored.offset, stored.timestamp_ms, stored.record)
        self.in_process = self.in_flush = self.flush_failed = self.dead_letter = self.done = False

    @property
    def current(self) -> bool:
        """True if its partition is still assigned as it was then."""
        return self.stored.log.epoch == self.epoch

    @property
    def buffered(self) -> bool:
        """True if it waits for a flush."""
        return not (self.done or self.in_process or self.in_flush or self.dead_letter)


class Log:
    """One partition: its records, the group's committed offset, and its assignment to the consumer.

    Attributes:
        records: ascending by offset.
        end: the offset of the next record.
        committed: the committed offset of the group; 0 if there is none.
        acknowledged: the highest offset whose commit was acknowledged to the present process; 0 if none was.
        epoch: the number of the present assignment; 0 if it is not assigned.
        assigned_at: the committed offset when it was assigned.
        next: the index of the next record to deliver.
        paused: True if the consumer has paused it.
        fetched: how many more records are delivered although it is paused, because they were fetched before.
        lost: True if its last assignment ended with a loss or a crash, False if it was revoked.
        reported_ms: the highest timestamp that the present process has reported since the assignment; -1 for none.
        highest_report_ms: the highest timestamp that any process has reported; -1 for none.
        open: the records delivered in this assignment that are not done, by offset.
    """

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.records: list[StoredRecord] = []
        self.end = self.committed = self.acknowledged = 0
        self.epoch = self.assigned_at = self.next = 0
        self.paused = self.lost = False
        self.fetched = 0
        self.reported_ms = self.highest_report_ms = -1
        self.open: dict[int, Delivery] = {}
        self._first_open = 0

    def append(self, record: Record, timestamp_ms: int) -> StoredRecord:
        """Add a record."""
        stored = StoredRecord(self, record, timestamp_ms)
        self.records.append(stored)
        self.end = stored.offset + 1
        return stored

    def assign(self, epoch: int) -> None:
        """Begin an assignment at the committed offset. What was done beyond it does not count any more."""
        self.epoch, self.assigned_at, self.paused, self.reported_ms = epoch, self.committed, False, -1
        self.fetched = 0
        self.next = self._first_open = self.index_at(self.committed)
        for stored in self.records[self.next :]:
            stored.done = False
        self.open.clear()

    def remove(self, *, lost: bool) -> None:
        """End the assignment."""
        self.epoch, self.paused, self.lost = 0, False, lost
        self.open.clear()

    def deliver(self, at: float) -> Delivery:
        """Return the next record."""
        stored = self.records[self.next]
        self.next += 1
        stored.deliveries += 1
        delivery = Delivery(stored, self.epoch, at)
        self.open[stored.offset] = delivery
        return delivery

    def first_not_done(self) -> StoredRecord | None:
        """Return the first record of this assignment that is not done; None if all are."""
        records, index = self.records, self._first_open
        while index < len(records) and records[index].done:
            index += 1
        self._first_open = index
        return records[index] if index < len(records) else None

    def index_at(self, offset: int) -> int:
        """Return the index of the first record at or after an offset."""
        return bisect_left(self.records, offset, key=lambda stored: stored.offset)

    def highest_below(self, offset: int) -> int:
        """Return the highest timestamp of the records below an offset; -1 if there are none."""
        index = self.index_at(offset)
        return self.records[index - 1].highest_ms if index else -1
