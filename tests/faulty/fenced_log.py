"""A partition with a single writer, in memory, with the faults of Kafka.

They are open and torn transactions, lost commits, stale ends, and lost records.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeVar

from clocksvc.errors import Fenced, OffsetGap, OpenTransaction, OutcomeUnknown, RecordRejected, Unavailable
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from clocksvc.memory.fenced_log import MemoryFencedLog, SharedLog, StoredOffset
from tests.faulty.commits import CommitFault, TornTransaction

_TIMEOUT_SLICES = 6
"""How often a writer without an answer calls `keep_alive` before it gives up."""


class _Keyed(Protocol):
    @property
    def key(self) -> bytes | None: ...


K = TypeVar("K", bound=_Keyed)


@dataclass(slots=True)
class Transaction:
    """One transaction: `committed` is None while it is open. The coordinator has forgotten one that `hangs`."""

    first_offset: int
    committed: bool | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Entry(StoredOffset[K]):
    """One offset of the log with its transaction; None for a record that was written without one."""

    transaction: Transaction | None = None


def _nothing(_: str) -> None:
    return None


@dataclass
class FaultySharedLog(SharedLog[K]):
    """A partition, as all processes see it, with transactions that can stay open.

    Attributes:
        unavailable: no broker answers.
        commit_faults: for the next commits, in order: what happens to a commit whose answer is lost.
        torn: for the next transactions, in order: a delayed request ends a part of it.
        stale_ends: for the next answers of `bounds` and `stable_bounds`, in order: how many of the newest transactions
            are missing in the answer, as in the answer of a deposed partition leader.
        rejected_keys: brokers reject records with these keys.
        rejects_batches: brokers reject all records of a transaction because of one of them.
        at: is called with the name of a step (`append.sent`, …) wherever another process could act in between.
    """

    topic_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    entries: list[Entry[K]] = field(default_factory=list)  # type: ignore[assignment]
    unavailable: bool = False
    commit_faults: list[CommitFault] = field(default_factory=list)
    torn: list[TornTransaction] = field(default_factory=list)
    stale_ends: list[int] = field(default_factory=list)
    rejected_keys: set[bytes | None] = field(default_factory=set)
    rejects_batches: bool = False
    at: Callable[[str], None] = _nothing
    _own: Transaction | None = None
    _foreign: Transaction | None = None

    @property
    def last_stable_offset(self) -> int:
        """The offset at which read_committed readers stop: of the first open transaction, else the end."""
        return min((t.first_offset for t in (self._own, self._foreign) if t is not None), default=self.end)

    @property
    def missing(self) -> bool:
        """True while the topic does not exist."""
        return False

    def rejects(self, one: K) -> bool:
        """True if the brokers reject this record."""
        return one.key in self.rejected_keys

    @property
    def hangs(self) -> bool:
        """True if the brokers forgot how the newest writer's last transaction ended."""
        return self._own is not None and self._own.hangs

    def commit(self, messages: Sequence[K]) -> None:
        self.begin_own(messages)
        self.end_own(committed=True)

    def fence(self) -> int:
        """Return the epoch of a new writer. An older writer's open transaction is aborted, unless it hangs."""
        if self._own is not None and not self._own.hangs:
            self.end_own(committed=False)
        self.epoch += 1
        return self.epoch

    def begin_own(self, messages: Sequence[K]) -> None:
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

    def forget_own(self) -> None:
        """The coordinator does not know the newest writer's open transaction: its commit has no effect, it hangs."""
        if self._own is not None:
            self._own.hangs = True

    def begin_foreign(self, *messages: K) -> None:
        """A writer with another transactional id begins a transaction and leaves it open."""
        self._foreign = Transaction(self.end)
        for one in messages:
            self._write(one, self._foreign)

    def end_foreign(self, *, committed: bool) -> None:
        """The foreign transaction ends."""
        if self._foreign is not None:
            self._write(None, self._foreign)
            self._foreign.committed = committed
            self._foreign = None

    def write_foreign(self, one: K) -> None:
        """Another program writes a record without a transaction."""
        self._write(one, None)

    def compact(self, offsets: set[int]) -> None:
        """The records at these offsets are compacted away."""
        self.entries = [entry for entry in self.entries if entry.offset not in offsets]

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

    def answered_end(self) -> int:
        """Return the last stable offset as a broker answers it. A stale answer lacks the newest transactions."""
        stable = self.last_stable_offset
        missing = self.stale_ends.pop(0) if self.stale_ends else 0
        if not missing:
            return stable
        ends = [entry.offset + 1 for entry in self.entries if entry.message is None and entry.offset < stable]
        # The newest of these ends is the present one.
        return ([self.first_offset] * (missing + 1) + ends)[-1 - missing]

    def _is_committed(self, entry: StoredOffset[K]) -> bool:
        transaction = entry.transaction if isinstance(entry, Entry) else None
        return transaction is None or transaction.committed is True

    def _write(self, one: K | None, transaction: Transaction | None) -> None:
        self.entries.append(Entry(self.end, one, self.time.now_ms(), transaction))
        self.end += 1


class FaultyFencedLog(MemoryFencedLog[K]):
    """The partition for one process: what the tick log and the due log have in common."""

    no_answer: ClassVar[type[Unavailable]]
    _log: FaultySharedLog[K]

    def __init__(self, log: FaultySharedLog[K]) -> None:
        super().__init__(log)
        self._delayed_requests = False

    def fence(self, keep_alive: KeepAlive) -> None:
        self._epoch = None
        self._ask("fence", keep_alive)
        self._epoch, self._delayed_requests = self._log.fence(), False
        self._log.at("fence.done")

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        self._ask("stable_bounds", keep_alive)
        return LogBounds(self._log.first_offset, self._log.answered_end())

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        self._ask("bounds", keep_alive)
        self._end_hanging()
        if self._log.last_stable_offset < self._log.end:
            keep_alive()
            self._log.at("bounds.open")
        if self._log.last_stable_offset < self._log.end:
            raise OpenTransaction
        return LogBounds(self._log.first_offset, self._log.answered_end())

    def _read(self, start: int, end: int, keep_alive: KeepAlive) -> list[tuple[int, K]]:
        self._ask("read", keep_alive)
        if start < self._log.first_offset or end > self._log.last_stable_offset:
            keep_alive()
            raise self.no_answer
        return self._log.records(start, end)

    def _append(self, messages: Sequence[K], end: int, keep_alive: KeepAlive) -> int:
        epoch, self._epoch = self._epoch, None
        if not messages:
            self._epoch = epoch
            return end
        self._check_epoch(epoch)
        self._ask("append", keep_alive)
        self._check_epoch(epoch)
        offsets = self._send(messages, epoch)
        self._log.at("append.sent")
        self._check_epoch(epoch)
        self._check_offsets(offsets, end)
        self._commit(keep_alive)
        self._log.at("append.committed")
        self._confirm(offsets[-1] + 2, keep_alive)
        self._epoch, self._delayed_requests = epoch, True
        self._log.at("append.done")
        return offsets[-1] + 2

    def _send(self, messages: Sequence[K], epoch: int | None) -> list[int]:
        """Write the records, and return their offsets."""
        rejected = [one for one in messages if self._log.rejects(one)]
        if rejected:
            self._log.begin_own([message for message in messages if message not in rejected])
            self._log.end_own(committed=False)
            raise RecordRejected([message.key for message in (messages if self._log.rejects_batches else rejected)])
        # Brokers reject delayed requests of fenced producers, so nothing tears a producer's first transaction.
        torn = self._log.torn.pop(0) if self._log.torn and self._delayed_requests else None
        if torn is None:
            return self._write(messages)
        ended = min(torn.records, len(messages))
        offsets = self._write(messages[:ended])
        self._log.at("append.torn")
        self._check_epoch(epoch)
        self._log.end_own(committed=torn.committed)
        if ended == len(messages):
            # The coordinator answers a second commit with OK, but rejects a commit after an abort.
            if torn.committed:
                return offsets
            raise self.no_answer
        if not torn.answered:
            raise self.no_answer
        offsets += self._write(messages[ended:])
        self._log.forget_own()
        return offsets

    def _write(self, messages: Sequence[K]) -> list[int]:
        first = self._log.end
        if messages:
            self._log.begin_own(messages)
        return list(range(first, first + len(messages)))

    def _check_offsets(self, offsets: list[int], end: int) -> None:
        """Check that the transaction begins at the known end, and that its offsets are contiguous."""
        if offsets != list(range(end, end + len(offsets))):
            if not self._log.hangs:
                self._log.end_own(committed=False)
            raise OffsetGap

    def _end_hanging(self) -> None:
        if self._epoch is None or not self._log.hangs:
            return
        self._log.at("bounds.hanging")
        epoch, self._epoch = self._epoch, None
        self._check_epoch(epoch)
        self._log.end_own(committed=False)
        self._epoch = epoch

    def _commit(self, keep_alive: KeepAlive) -> None:
        fault = self._log.commit_faults.pop(0) if self._log.commit_faults else None
        if self._log.unavailable:
            fault = fault or CommitFault.LOST
        for _ in range(_TIMEOUT_SLICES if fault is CommitFault.UNANSWERED else 0):
            self._log.at("append.unanswered")
            keep_alive()
        if fault is CommitFault.LOST:
            keep_alive()
        if fault in (CommitFault.LOST, CommitFault.UNANSWERED):
            raise OutcomeUnknown
        if not self._log.hangs:
            self._log.end_own(committed=True)
        if fault is CommitFault.LANDS:
            keep_alive()
            raise OutcomeUnknown

    def _confirm(self, end: int, keep_alive: KeepAlive) -> None:
        """Check that the log ends with the transaction's marker."""
        if self._log.unavailable or self._log.last_stable_offset < end:
            keep_alive()
            raise OutcomeUnknown
        if self._log.end > end:
            raise OffsetGap

    def _check_epoch(self, epoch: int | None) -> None:
        if epoch is None or epoch != self._log.epoch:
            raise Fenced

    def _ask(self, step: str, keep_alive: KeepAlive) -> None:
        self._log.at(step)
        missing = self._log.missing and step not in ("ensure_topic", "fence")
        if self._log.unavailable or missing:
            keep_alive()
            raise self.no_answer
