"""A partition of due records as brokers keep it, and its writers. Transactions can tear, hang, or end late."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clocksvc.errors import DueLogUnavailable, Fenced, OffsetGap, OpenTransaction, OutcomeUnknown
from clocksvc.interfaces.due_log import Appended, DueLogEntry, DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from tests.faulty.commits import CommitFault, TornTransaction
from tests.scheduler_simulation.judge.due_judge import DueJudge, Found
from tests.scheduler_simulation.sometimes import Path, Sometimes
from tests.scheduler_simulation.world.topic import CUT_S, Link
from tests.simulation.world.scheduler import Scheduler

SKEW_MS = 300
"""How far the clock of a replica, and that of the store, is from the true time."""
BROKERS_SKEW_MS = 3_600_000
"""How far the clocks of brokers may be from each other: the retention counts by them."""
RETENTION_MS = 7 * 86_400_000
POSITION_KEY = b"_position"
UNANSWERED_S = 6
"""How long a writer waits for the answer to a commit."""


@dataclass(eq=False)
class _Transaction:
    """`committed` is None while it is open. `hangs`: the coordinator does not know it, only a resolver ends it."""

    first: int
    committed: bool | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """One offset. `record` is None for a marker."""

    offset: int
    record: DueLogRecord | None
    transaction: _Transaction | None
    moment: int
    wall_ms: int


@dataclass
class BrokerLog:
    """The partition, as all processes see it.

    Attributes:
        commit_faults: what happens to the next commits.
        torn: the next transactions of writers that have committed before in their term.
        stale_ends: how many of the newest transactions the next answered ends lack.
        unavailable: no broker answers.
        retention_ms: how long records are kept.
    """

    number: int
    scheduler: Scheduler
    judge: DueJudge
    sometimes: Sometimes
    observe_schedules: Callable[[], None]
    entries: list[_Entry] = field(default_factory=list)
    first_offset: int = 0
    end: int = 0
    epoch: int = 0
    commit_faults: list[CommitFault] = field(default_factory=list)
    torn: list[TornTransaction] = field(default_factory=list)
    stale_ends: list[int] = field(default_factory=list)
    unavailable: bool = False
    retention_ms: int = RETENTION_MS
    _own: _Transaction | None = None
    _hanging: list[_Transaction] = field(default_factory=list)
    _judged: int = 0
    _had_position: bool = False

    @property
    def stable(self) -> int:
        """The last stable offset."""
        open_ones = [one.first for one in (self._own, *self._hanging) if one is not None and one.committed is None]
        return min(open_ones, default=self.end)

    def fence(self, known_ms: int) -> int:
        """Return the epoch of a new writer, and abort an open transaction, unless it hangs.

        Args:
            known_ms: the newest tick that the new writer knows.
        """
        self.end_own(committed=False)
        self.epoch += 1
        if self._is_torn():
            self.sometimes.took(Path.TORN_FOUND)
        self.judge.fenced(self.number, self.scheduler.moment(), self.scheduler.now_ms, known_ms)
        return self.epoch

    def write(self, records: Sequence[DueLogRecord]) -> None:
        """Append records to the newest writer's transaction."""
        if self._own is None and records:
            self._own = _Transaction(self.end)
        for record in records:
            self._append(record, self._own)

    def end_own(self, *, committed: bool) -> None:
        """Append the marker of the newest writer's transaction, if one is open."""
        own, self._own = self._own, None
        if own is not None:
            self._append(None, own)
            own.committed = committed

    def hang(self) -> None:
        """The coordinator does not know the newest writer's transaction. A commit has no effect, and is answered."""
        own, self._own = self._own, None
        if own is not None:
            own.hangs = True
            self._hanging.append(own)

    def end_hanging(self) -> None:
        """Abort transactions that no coordinator knows."""
        for one in self._hanging:
            self.sometimes.took(Path.TORN_HUNG)
            self._append(None, one)
            one.committed = False
        self._hanging.clear()

    @property
    def hangs(self) -> bool:
        """True while there is a transaction that no coordinator knows."""
        return bool(self._hanging)

    @property
    def own(self) -> object:
        """The newest writer's open transaction; None without one."""
        return self._own

    def committed(self, start: int, end: int) -> list[DueLogEntry]:
        """Return the committed records in a range of offsets."""
        return [
            DueLogEntry(entry.offset, entry.record.key, entry.record.value, list(entry.record.headers))
            for entry in self._range(start, min(end, self.stable))
            if entry.record is not None and entry.transaction is not None and entry.transaction.committed
        ]

    def observe(self) -> None:
        """Give the judge the committed records that can be read since the last call."""
        stable = self.stable
        if stable == self._judged:
            return
        for entry in self._range(self._judged, stable):
            if entry.record is not None and entry.transaction is not None and entry.transaction.committed:
                key, value, headers = entry.record
                texts = {name: text.decode() for name, text in headers}
                self._had_position = self._had_position or key == POSITION_KEY
                self.judge.read(self.number, Found(entry.offset, key, value, texts, entry.moment, entry.wall_ms))
        self._judged = max(self._judged, stable)

    def remove_before(self, offset: int) -> None:
        """Delete all records before an offset."""
        self.first_offset = min(max(offset, self.first_offset), self.stable)
        self.entries = [entry for entry in self.entries if entry.offset >= self.first_offset]

    def retain(self) -> None:
        """Delete what is older than the retention allows."""
        self.observe()
        oldest_ms = self.scheduler.now_ms - self.retention_ms
        young = [entry.offset for entry in self.entries if entry.wall_ms >= oldest_ms]
        self.remove_before(min(young, default=self.end))

    def answered_end(self) -> int:
        """Return the last stable offset as a broker answers it."""
        missing = self.stale_ends.pop(0) if self.stale_ends else 0
        ends = [entry.offset + 1 for entry in self.entries if entry.record is None and entry.offset < self.stable]
        if missing:
            self.sometimes.took(Path.STALE_END)
        return ([self.first_offset] * (missing + 1) + ends)[-1 - missing] if missing else self.stable

    def _is_torn(self) -> bool:
        """True if there are committed due records behind the newest position."""
        newest = self.committed(self.first_offset, self.end)[-1:]
        return bool(newest) and newest[0].key != POSITION_KEY

    def _note_lost_position(self) -> None:
        """A position is appended: the owner may begin late if the one before was removed."""
        if self._had_position and not self._has_position():
            self.sometimes.took(Path.POSITION_LOST)
            oldest_ms = self.scheduler.now_ms + SKEW_MS - self.retention_ms
            self.judge.forgot(self.number, oldest_ms + BROKERS_SKEW_MS)

    def _has_position(self) -> bool:
        return any(entry.key == POSITION_KEY for entry in self.committed(self.first_offset, self.end))

    def _range(self, start: int, end: int) -> list[_Entry]:
        base = self.first_offset
        return self.entries[max(0, start - base) : max(0, end - base)]

    def _append(self, record: DueLogRecord | None, transaction: _Transaction | None) -> None:
        scheduler = self.scheduler
        self.observe_schedules()  # what was written before has an earlier moment
        if record is not None and record.key == POSITION_KEY and self.first_offset:
            self._note_lost_position()
        self.entries.append(_Entry(self.end, record, transaction, scheduler.moment(), scheduler.now_ms))
        self.end += 1


class ReplicaDueLog:
    """Implements DueLog for one replica: other processes may run before and after each request."""

    def __init__(
        self, log: BrokerLog, link: Link, say: Callable[[str], None], newest: Callable[[], int | None]
    ) -> None:
        self._log, self._link, self._say, self._newest = log, link, say, newest
        self._scheduler = log.scheduler
        self._epoch: int | None = None
        self._delayed_requests = False

    def fence(self, keep_alive: KeepAlive) -> None:
        self._epoch = None
        self._ask("fence", keep_alive)
        self._epoch, self._delayed_requests = self._log.fence(self._newest() or 0), False
        self._say(f"due log {self._log.number} fenced, epoch {self._epoch}")
        self._scheduler.between("due.fence done")

    def bounds(self, keep_alive: KeepAlive) -> LogBounds:
        log = self._log
        self._ask("bounds", keep_alive)
        if self._epoch is not None and log.hangs:
            self._check_epoch(self._epoch)
            log.end_hanging()
        if log.stable < log.end:
            keep_alive()
            self._scheduler.wait(1.0, lambda: log.stable == log.end)
        if log.stable < log.end:
            raise OpenTransaction
        return LogBounds(log.first_offset, log.answered_end())

    def stable_bounds(self, keep_alive: KeepAlive) -> LogBounds:
        self._ask("stable_bounds", keep_alive)
        return LogBounds(self._log.first_offset, self._log.answered_end())

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[DueLogEntry]:
        self._ask("read", keep_alive)
        if start < self._log.first_offset or end > self._log.stable:
            raise DueLogUnavailable("the range is not in the log")
        return self._log.committed(start, end)

    def retention_ms(self, keep_alive: KeepAlive) -> int | None:
        self._ask("retention", keep_alive)
        return self._log.retention_ms

    def append(
        self, records: Sequence[DueLogRecord], position: DueLogRecord | None, end: int, keep_alive: KeepAlive
    ) -> Appended:
        epoch, self._epoch = self._epoch, None
        self._check_epoch(epoch)
        self._ask("append", keep_alive)
        offsets = self._produce(list(records), position, epoch)
        self._check_epoch(epoch)
        if offsets != list(range(end, end + len(offsets))):
            self._log.end_own(committed=False)
            raise OffsetGap
        self._commit(epoch, keep_alive)
        after = offsets[-1] + 2
        if self._log.unavailable or self._link.kafka_cut or self._log.stable < after:
            raise OutcomeUnknown
        if self._log.end > after:
            raise OffsetGap
        self._epoch, self._delayed_requests = epoch, True
        self._scheduler.between("due.append done")
        return Appended(after)

    def close(self) -> None:
        self._epoch = None

    def _produce(self, records: list[DueLogRecord], position: DueLogRecord | None, epoch: int | None) -> list[int]:
        """Write the records, then the position, and return their offsets."""
        log = self._log
        # Brokers reject delayed requests of fenced producers, so nothing tears a producer's first transaction.
        torn = log.torn.pop(0) if log.torn and self._delayed_requests else None
        both = [*records, *([] if position is None else [position])]
        cut = None if torn is None else min(torn.records, len(both))
        offsets: list[int] = []
        for number, record in enumerate(both):
            if torn is not None and number == cut:
                self._tear(torn, epoch)
            if number in (len(records) // 2, len(records)):
                self._scheduler.between("due.position" if number == len(records) else "due.half")
                self._reach()
                self._check_epoch(epoch)
            offsets.append(log.end)
            log.write([record])
        if torn is not None and cut == len(both):
            self._scheduler.between("due.torn")
            self._check_epoch(epoch)
            log.end_own(committed=torn.committed)
            if not torn.committed:
                raise DueLogUnavailable("the transaction was aborted")
        elif torn is not None:
            log.hang()
        return offsets

    def _tear(self, torn: TornTransaction, epoch: int | None) -> None:
        """A delayed request ends the records so far."""
        self._scheduler.between("due.torn")
        self._check_epoch(epoch)
        self._log.end_own(committed=torn.committed)
        self._say(f"due log {self._log.number}: a delayed request has ended a transaction")
        if not torn.answered:
            raise DueLogUnavailable("the brokers reject records outside of a transaction")

    def _commit(self, epoch: int | None, keep_alive: KeepAlive) -> None:
        log = self._log
        fault = log.commit_faults.pop(0) if log.commit_faults else None
        if log.unavailable or self._link.kafka_cut:
            fault = fault or CommitFault.LOST
        self._scheduler.between("due.commit")
        self._check_epoch(epoch)
        if fault is CommitFault.UNANSWERED:
            self._commit_later()
            for _ in range(UNANSWERED_S):
                self._scheduler.wait(1.0)
                keep_alive()
        if fault in (CommitFault.LOST, CommitFault.UNANSWERED):
            raise OutcomeUnknown
        log.end_own(committed=True)
        if fault is CommitFault.LANDS:
            raise OutcomeUnknown

    def _commit_later(self) -> None:
        """The request is delayed: it commits the transaction if no fence came first."""
        log, own = self._log, self._log.own

        def land() -> None:
            if own is not None and log.own is own:
                log.sometimes.took(Path.LATE_COMMIT)
                log.end_own(committed=True)
            else:
                log.sometimes.took(Path.FENCED_LATE_COMMIT)

        self._scheduler.later(self._scheduler.rng.random() * 9, land)

    def _check_epoch(self, epoch: int | None) -> None:
        if epoch is None or epoch != self._log.epoch:
            raise Fenced

    def _ask(self, step: str, keep_alive: KeepAlive) -> None:
        self._scheduler.between(f"due.{step}")
        keep_alive()
        self._reach()

    def _reach(self) -> None:
        if self._link.kafka_cut or self._log.unavailable:
            self._scheduler.wait(CUT_S, lambda: not (self._link.kafka_cut or self._log.unavailable))
            if self._link.kafka_cut or self._log.unavailable:
                raise DueLogUnavailable("Kafka can't be reached")
