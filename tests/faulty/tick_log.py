"""A tick log in memory that fails as Kafka can: transactions stay open, commits get lost, offsets disappear."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from clocksvc.clock.log_record import Message, Record, decode_message, encode_message
from clocksvc.errors import Fenced, OpenTransaction, OutcomeUnknown, TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.tick_log import KeepAlive, Tail
from clocksvc.kafka.tick_log_topic import TickLogTopic, raise_if_unsafe
from clocksvc.memory.tick_log import LogEntry, MemoryLog, MemoryTickLog
from tests.faulty.commits import CommitFault


@dataclass(slots=True)
class Transaction:
    """One transaction: `committed` is None while it is open. The coordinator has forgotten one that `hangs`."""

    first_offset: int
    committed: bool | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Entry(LogEntry):
    """One offset of the log with its transaction; None for a record that was written without one."""

    transaction: Transaction | None = None


def _nothing(_: str) -> None:
    return None


@dataclass
class FaultyLog(MemoryLog):
    """A tick log, as all processes see it, with transactions that can stay open.

    Attributes:
        shape: the topic's settings; None while it does not exist (`ensure_topic` creates it).
        unavailable: no broker answers.
        commit_faults: for the next commits, in order: what happens to a commit whose answer is lost.
        at: is called with the name of a step (`append.sent`, …) wherever another process could act in between.
    """

    shape: TickLogTopic | None = None
    topic_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    entries: list[Entry] = field(default_factory=list)  # type: ignore[assignment]
    unavailable: bool = False
    commit_faults: list[CommitFault] = field(default_factory=list)
    at: Callable[[str], None] = _nothing
    _own: Transaction | None = None
    _foreign: Transaction | None = None

    @property
    def last_stable_offset(self) -> int:
        """Where read_committed readers stop: at the first open transaction, else at the end."""
        return min((t.first_offset for t in (self._own, self._foreign) if t is not None), default=self.end)

    @property
    def hangs(self) -> bool:
        """Whether the brokers forgot how the newest writer's last transaction ended."""
        return self._own is not None and self._own.hangs

    def committed_newest_first(self) -> Iterator[Message]:
        stable = self.last_stable_offset
        for entry in reversed(self.entries.copy()):
            if entry.message is not None and entry.offset < stable and _landed(entry):
                yield entry.message

    def committed_from(self, offset: int) -> Iterator[tuple[int, Message]]:
        stable = self.last_stable_offset
        for entry in self.entries.copy():
            if entry.message is not None and offset <= entry.offset < stable and _landed(entry):
                yield entry.offset, entry.message

    def commit(self, messages: Sequence[Message]) -> None:
        self.begin_own(messages)
        self.end_own(committed=True)

    def fence(self) -> int:
        """The epoch of a new writer. An older writer's open transaction is aborted, unless it hangs."""
        if self._own is not None and not self._own.hangs:
            self.end_own(committed=False)
        self.epoch += 1
        return self.epoch

    def begin_own(self, messages: Sequence[Message]) -> None:
        """Write records in the newest writer's transaction, without its marker."""
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
        """The brokers forget the marker at the log's end: the newest writer's last transaction hangs."""
        marker = self.entries.pop()
        self.end = marker.offset
        self._own = marker.transaction
        if self._own is not None:
            self._own.committed, self._own.hangs = None, True

    def begin_foreign(self, *messages: Message) -> None:
        """A writer with another transactional id begins a transaction and leaves it open."""
        self._foreign = Transaction(self.end)
        for one in messages or [Message(b"foreign", b"{}", None)]:
            self._write(one, self._foreign)

    def end_foreign(self, *, committed: bool) -> None:
        """The foreign transaction ends."""
        if self._foreign is not None:
            self._write(None, self._foreign)
            self._foreign.committed = committed
            self._foreign = None

    def write_foreign(self, one: Message) -> None:
        """Another program writes a record without a transaction."""
        self._write(one, None)

    def truncate_before(self, offset: int) -> None:
        """All records before `offset` are deleted, as by `delete_records` or by a retention."""
        self.first_offset = min(max(offset, self.first_offset), self.end)
        self.entries = [entry for entry in self.entries if entry.offset >= self.first_offset]

    def lose_tail(self, offsets: int) -> None:
        """The last offsets are lost, as after an unclean leader election."""
        self.end = max(self.end - offsets, self.first_offset)
        self.entries = [entry for entry in self.entries if entry.offset < self.end]
        self._own = self._own if self._own and self._own.first_offset < self.end else None
        self._foreign = self._foreign if self._foreign and self._foreign.first_offset < self.end else None

    def recreate(self) -> None:
        """The topic was deleted and recreated: empty, with another id."""
        self.topic_id = uuid.uuid4().hex
        self.entries, self.first_offset, self.end = [], 0, 0
        self._own = self._foreign = None

    def _write(self, one: Message | None, transaction: Transaction | None) -> None:
        self.entries.append(Entry(self.end, one, transaction))
        self.end += 1


class FaultyTickLog(MemoryTickLog):
    """A `TickLog` over a FaultyLog, for one process."""

    _log: FaultyLog

    def __init__(self, log: FaultyLog, clock: str) -> None:
        super().__init__(log, clock)

    def ensure_topic(self, keep_alive: KeepAlive) -> None:
        self._ask("ensure_topic", keep_alive)
        if self._log.shape is None:
            self._log.shape = TickLogTopic(f"{self._clock}-ticks")
        raise_if_unsafe(self._log.shape)

    def fence(self, keep_alive: KeepAlive) -> None:
        self._epoch = None
        self._ask("fence", keep_alive)
        self._epoch = self._log.fence()
        self._log.at("fence.done")

    def tail(self, keep_alive: KeepAlive) -> Tail:
        self._ask("tail", keep_alive)
        self._end_hanging()
        self._refuse_open(keep_alive)
        newest = next(self._log.committed_newest_first(), None)
        return Tail(None if newest is None else decode_message(self._clock, newest), self._log.first_offset)

    def backwards(self, keep_alive: KeepAlive) -> Iterator[Record]:
        self._ask("backwards", keep_alive)
        self._refuse_open(keep_alive)
        for one in self._log.committed_newest_first():
            with suppress(UnreadableRecord):
                yield decode_message(self._clock, one)

    def last_written(self, keep_alive: KeepAlive) -> list[Record]:
        self._ask("last_written", keep_alive)
        self._refuse_open(keep_alive)
        records = []
        for entry in self._log.entries:
            with suppress(UnreadableRecord):
                if entry.message is not None:
                    records.append(decode_message(self._clock, entry.message))
        return records

    def append(self, records: Sequence[Record], keep_alive: KeepAlive) -> None:
        if not records:
            return
        try:
            self._ask("append", keep_alive)
            self._check_epoch()
            self._log.begin_own([encode_message(record) for record in records])
            self._log.at("append.sent")
            self._check_epoch()
            self._commit(keep_alive)
        except BaseException:
            self._epoch = None
            raise
        self._log.at("append.done")

    def await_commit_marker(self, keep_alive: KeepAlive) -> None:
        if self._log.hangs:
            keep_alive()
            self._epoch = None
            raise OutcomeUnknown

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

    def _commit(self, keep_alive: KeepAlive) -> None:
        fault = self._log.commit_faults.pop(0) if self._log.commit_faults else None
        if self._log.unavailable:
            fault = fault or CommitFault.LOST
        if fault is CommitFault.LOST:
            keep_alive()
            raise OutcomeUnknown
        self._log.end_own(committed=True)
        if fault is CommitFault.LANDS:
            keep_alive()
            raise OutcomeUnknown

    def _check_epoch(self) -> None:
        if self._epoch is None or self._epoch != self._log.epoch:
            raise Fenced

    def _refuse_open(self, keep_alive: KeepAlive) -> None:
        if self._log.last_stable_offset < self._log.end:
            keep_alive()
            self._log.at("tail.open")
        if self._log.last_stable_offset < self._log.end:
            raise OpenTransaction

    def _ask(self, step: str, keep_alive: KeepAlive) -> None:
        self._log.at(step)
        missing = self._log.shape is None and step not in ("ensure_topic", "fence")
        if self._log.unavailable or missing:
            keep_alive()
            raise TickLogUnavailable


def _landed(entry: Entry) -> bool:
    return entry.transaction is None or entry.transaction.committed is True
