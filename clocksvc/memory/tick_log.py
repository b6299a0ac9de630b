"""A tick log in memory: the brokers' side, shared, and one writer for each process. For tests and simulations.

It behaves as Kafka does under transactions and fencing, offsets taken by markers included, and can be told to fail.
It must not be gentler than Kafka: values are stored encoded, and an outcome can stay unknown.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

from clocksvc.clock.log_record import Message, Record, decode_message, encode_message
from clocksvc.errors import Fenced, OpenTransaction, OutcomeUnknown, TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.tick_log import (
    KeepAlive,
    Tail,
)
from clocksvc.interfaces.tick_log_topic import (
    TickLogTopic,
    raise_if_unsafe,
)


class CommitFault(StrEnum):
    """What happens to a commit whose answer never comes."""

    LANDS = "lands"
    LOST = "lost"


@dataclass(slots=True)
class Transaction:
    """One transaction: `committed` is None while it is open; no coordinator knows any more of one that `hangs`."""

    first_offset: int
    committed: bool | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One offset of the log; `message` is None for a transaction's marker."""

    offset: int
    message: Message | None
    transaction: Transaction | None = None


def _nothing(_: str) -> None:
    return None


@dataclass
class MemoryLog:
    """The brokers' side of one tick log: what every process sees.

    Attributes:
        shape: of its topic; None while it does not exist (`ensure_topic` creates it).
        entries: every offset that is kept, markers included.
        epoch: of the newest writer; older ones are fenced.
        unavailable: no broker answers.
        commit_faults: for the next commits, in order: the answer never comes.
        at: called with the name of a step (`append.sent`, …) wherever another process could act in between.
    """

    shape: TickLogTopic | None = None
    topic_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    entries: list[Entry] = field(default_factory=list)
    first_offset: int = 0
    end: int = 0
    epoch: int = 0
    unavailable: bool = False
    commit_faults: list[CommitFault] = field(default_factory=list)
    at: Callable[[str], None] = _nothing
    _own: Transaction | None = None
    _foreign: Transaction | None = None

    @property
    def last_stable_offset(self) -> int:
        """Where a read_committed reader's world ends: at the first open transaction, else at the end."""
        return min((t.first_offset for t in (self._own, self._foreign) if t is not None), default=self.end)

    @property
    def hangs(self) -> bool:
        """Whether a broker forgot how the newest writer's last transaction ended."""
        return self._own is not None and self._own.hangs

    def committed_newest_first(self) -> Iterator[Message]:
        """What a read_committed reader gets, from the end."""
        stable = self.last_stable_offset
        for entry in reversed(self.entries.copy()):
            if entry.message is not None and entry.offset < stable and _landed(entry):
                yield entry.message

    def committed(self) -> list[Message]:
        """What a read_committed reader gets, in order."""
        return list(self.committed_newest_first())[::-1]

    def fence(self) -> int:
        """A new writer's epoch; an older writer's open transaction is aborted, unless nobody knows of it."""
        if self._own is not None and not self._own.hangs:
            self.end_own(committed=False)
        self.epoch += 1
        return self.epoch

    def begin_own(self, messages: Sequence[Message]) -> None:
        """Write what the newest writer's transaction holds, without its marker."""
        self._own = self._own or Transaction(self.end)
        for one in messages:
            self._write(one, self._own)

    def end_own(self, *, committed: bool) -> None:
        """Write the marker of the newest writer's transaction, if one is open."""
        if self._own is not None:
            self._write(None, self._own)
            self._own.committed = committed
            self._own = None

    def forget_end(self) -> None:
        """A broker forgets how the newest writer's last transaction, with which the log ends, had ended: it hangs."""
        marker = self.entries.pop()
        self.end = marker.offset
        self._own = marker.transaction
        if self._own is not None:
            self._own.committed, self._own.hangs = None, True

    def begin_foreign(self, *messages: Message) -> None:
        """Somebody with another transactional id begins a transaction and leaves it open."""
        self._foreign = Transaction(self.end)
        for one in messages or [Message(b"foreign", b"{}", None)]:
            self._write(one, self._foreign)

    def end_foreign(self, *, committed: bool) -> None:
        """Somebody's open transaction ends."""
        if self._foreign is not None:
            self._write(None, self._foreign)
            self._foreign.committed = committed
            self._foreign = None

    def write_foreign(self, one: Message) -> None:
        """Somebody writes a record outside any transaction."""
        self._write(one, None)

    def truncate_before(self, offset: int) -> None:
        """Everything before `offset` is deleted, as by `delete_records` or a retention that should not be there."""
        self.first_offset = min(max(offset, self.first_offset), self.end)
        self.entries = [entry for entry in self.entries if entry.offset >= self.first_offset]

    def lose_tail(self, offsets: int) -> None:
        """The last offsets are gone, as after an unclean election."""
        self.end = max(self.end - offsets, self.first_offset)
        self.entries = [entry for entry in self.entries if entry.offset < self.end]
        self._own = self._own if self._own and self._own.first_offset < self.end else None
        self._foreign = self._foreign if self._foreign and self._foreign.first_offset < self.end else None

    def recreate(self) -> None:
        """Somebody deleted the topic and made it anew: empty, with another id."""
        self.topic_id = uuid.uuid4().hex
        self.entries, self.first_offset, self.end = [], 0, 0
        self._own = self._foreign = None

    def _write(self, one: Message | None, transaction: Transaction | None) -> None:
        self.entries.append(Entry(self.end, one, transaction))
        self.end += 1


class MemoryTickLog:
    """One process's way to a MemoryLog: a TickLog."""

    def __init__(self, log: MemoryLog, clock: str) -> None:
        self._log = log
        self._clock = clock
        self._epoch: int | None = None

    @property
    def writable(self) -> bool:
        return self._epoch is not None

    def ensure_topic(self, waiting: KeepAlive) -> None:
        self._ask("ensure_topic", waiting)
        if self._log.shape is None:
            self._log.shape = TickLogTopic(f"{self._clock}-ticks")
        raise_if_unsafe(self._log.shape)

    def fence(self, waiting: KeepAlive) -> None:
        self._epoch = None
        self._ask("fence", waiting)
        self._epoch = self._log.fence()
        self._log.at("fence.done")

    def tail(self, waiting: KeepAlive) -> Tail:
        self._ask("tail", waiting)
        self._end_hanging()
        self._refuse_open(waiting)
        found = next(self._log.committed_newest_first(), None)
        return Tail(None if found is None else decode_message(self._clock, found), self._log.first_offset)

    def backwards(self, waiting: KeepAlive) -> Iterator[Record]:
        self._ask("backwards", waiting)
        self._refuse_open(waiting)
        for one in self._log.committed_newest_first():
            with suppress(UnreadableRecord):
                yield decode_message(self._clock, one)

    def last_written(self, waiting: KeepAlive) -> list[Record]:
        self._ask("last_written", waiting)
        self._refuse_open(waiting)
        records = []
        for entry in self._log.entries:
            with suppress(UnreadableRecord):
                if entry.message is not None:
                    records.append(decode_message(self._clock, entry.message))
        return records

    def append(self, records: Sequence[Record], waiting: KeepAlive) -> None:
        if not records:
            return
        try:
            self._ask("append", waiting)
            self._check_epoch()
            self._log.begin_own([encode_message(record) for record in records])
            self._log.at("append.sent")
            self._check_epoch()
            self._commit(waiting)
        except BaseException:
            self._epoch = None
            raise
        self._log.at("append.done")

    def await_commit_marker(self, waiting: KeepAlive) -> None:
        if self._log.hangs:
            waiting()
            self._epoch = None
            raise OutcomeUnknown

    def close(self) -> None:
        self._epoch = None

    def _end_hanging(self) -> None:
        if self._epoch is None or not self._log.hangs:
            return
        self._log.at("tail.hanging")
        try:
            self._check_epoch()
        except Fenced:
            self._epoch = None
            raise
        self._log.end_own(committed=False)

    def _commit(self, waiting: KeepAlive) -> None:
        fault = self._log.commit_faults.pop(0) if self._log.commit_faults else None
        if self._log.unavailable:
            fault = fault or CommitFault.LOST
        if fault is CommitFault.LOST:
            waiting()
            raise OutcomeUnknown
        self._log.end_own(committed=True)
        if fault is CommitFault.LANDS:
            waiting()
            raise OutcomeUnknown

    def _check_epoch(self) -> None:
        if self._epoch is None or self._epoch != self._log.epoch:
            raise Fenced

    def _refuse_open(self, waiting: KeepAlive) -> None:
        if self._log.last_stable_offset < self._log.end:
            waiting()
            self._log.at("tail.open")
        if self._log.last_stable_offset < self._log.end:
            raise OpenTransaction

    def _ask(self, step: str, waiting: KeepAlive) -> None:
        self._log.at(step)
        missing = self._log.shape is None and step not in ("ensure_topic", "fence")
        if self._log.unavailable or missing:
            waiting()
            raise TickLogUnavailable


def _landed(entry: Entry) -> bool:
    return entry.transaction is None or entry.transaction.committed is True
