"""Judges one log: who wrote it, its snapshots, its installation, and that each record belongs to its clock."""

from collections.abc import Mapping

from clocksvc.clock.log_record import Message
from tests.faulty.fenced_log import Entry, Transaction
from tests.faulty.tick_log import FaultyLog
from tests.simulation.judge.clock_judge import ClockJudge
from tests.simulation.judge.log_bytes import Wire, body, clock_of
from tests.simulation.judge.violation import Violation
from tests.simulation.judge.witness import Witness
from tests.simulation.sometimes import Path, Sometimes
from tests.simulation.world.environment import INSTALLATION, Commits, Environment

MOST_TICKS = 500
"""The largest number of ticks in a round."""


class LogJudge:
    """Judges what is committed to one log.

    Attributes:
        newest: the newest record of each clock, as it is in the log.
        installation: the prefix of the installation that the log names; None if it names none.
        confirmed: the writers whose TickLog has confirmed a commit, by the transaction's identity.
        committed_at: the moment at which each transaction was judged, by identity.
        announced: by replica, when it announced itself last, and its digests.
        expired_holder: the replica whose lease expired, as it was read last.
        losses: how often the log has lost records.
        has_torn: a torn transaction was committed, and no leader has begun a term since.
    """

    def __init__(
        self,
        number: int,
        environment: Environment,
        clocks: dict[str, ClockJudge],
        sometimes: Sometimes,
        commands: set[str],
    ) -> None:
        self.number = number
        self._environment, self._clocks, self.sometimes = environment, clocks, sometimes
        self.newest: dict[str, Message] = {}
        self.installation: str | None = None
        self.witnesses: dict[str, Witness] = {}
        self._commands = commands
        self.confirmed: dict[int, str] = {}
        self.committed_at: dict[int, int] = {}
        self.announced: dict[str, tuple[int, Mapping[str, str]]] = {}
        self.expired_holder: str | None = None
        self.losses = 0
        self.has_torn = False
        self._next_offset = 0
        self._copies: list[int] = []
        self._present: Transaction | None = None
        self._ticks: dict[str, int] = {}
        self._late: set[str] = set()
        self._lost: set[tuple[str, bytes | None]] = set()

    @property
    def names(self) -> set[str]:
        """The clocks of this log."""
        return set(self._clocks)

    @property
    def log(self) -> FaultyLog:
        return self._environment.logs[self.number]

    @property
    def commits(self) -> Commits:
        return self._environment.commits[self.number]

    def check(self) -> None:
        """Judge what was committed since the last call."""
        log, commits = self.log, self.commits
        if log.end == self._next_offset:
            return
        for entry in log.entries[log._position(self._next_offset) :]:
            transaction = entry.transaction
            foreign = commits.is_foreign(transaction)
            if not foreign and transaction is not None and transaction.committed is None:
                return
            self._next_offset = entry.offset + 1
            if entry.message is None:
                self._end_transaction(transaction)
            elif not foreign and transaction is not None and transaction.committed:
                self._judge(entry, entry.message, transaction)
            elif transaction is None and entry.message.type in ("tick", "control"):
                self.newest[clock_of(entry.message) or ""] = entry.message  # another program wrote it

    def log_lost(self) -> None:
        """The log has just lost records. Called after the loss, before any process acts."""
        self._next_offset = self.log.end
        self.losses += 1
        kept = [entry for entry in self.log.entries if self._counts(entry)]
        self._lost |= {(clock, message.value) for clock, message in self.newest.items()}
        self.newest, self.installation, self._copies = {}, None, []
        complete = False
        for entry in kept:
            message = entry.message
            assert message is not None
            clock = clock_of(message)
            if clock is not None and message.type in ("tick", "control", "snapshot"):
                self.newest[clock] = message
            elif message.type == "installation":
                self.installation = body(message)["prefix"]
            elif message.type == "snapshot-end":
                complete = complete or body(message)["complete"]
        for name, judge in self._clocks.items():
            records = [one for entry in kept if (one := entry.message) is not None and clock_of(one) == name]
            newest = self.newest.get(name)
            wire = None if newest is None else body(newest)
            judge.log_lost(records, wire, shows_it=not complete and self.log.first_offset > 0)

    def _counts(self, entry: Entry[Message]) -> bool:
        transaction = entry.transaction
        if entry.message is None or transaction is None or not transaction.committed:
            return False
        return not self.commits.is_foreign(transaction)

    def transaction_of(self, clock: str, at_ms: int) -> Transaction | None:
        """Return the transaction with a tick."""
        return self._clocks[clock].transactions.get(at_ms)

    # -- one record ---------------------------------------------------------------------------------------------------

    def _judge(self, entry: Entry[Message], message: Message, transaction: Transaction) -> None:
        writer = self.commits.writer_of(transaction)
        if transaction is not self._present:
            self._begin_transaction(transaction, writer)
        if message.type == "installation":
            self._judge_installation(body(message), writer)
        elif message.type == "snapshot":
            self._judge_copy(entry.offset, message, writer)
        elif message.type == "snapshot-end":
            self._judge_snapshot_end(entry.offset, body(message))
        elif message.type in ("tick", "control"):
            self._judge_record(entry, message, transaction, writer)
        else:
            raise Violation(f"foreign: {writer} wrote a record {message.key!r} of type {message.type!r}")

    def _begin_transaction(self, transaction: Transaction, writer: str) -> None:
        self._present = transaction
        self._copies, self._ticks, self._late = [], {}, set()
        self.committed_at[id(transaction)] = self._environment.scheduler.moment()
        if writer != self.commits.fenced_by:
            raise Violation(
                f"twice: {writer} committed to log {self.number} although {self.commits.fenced_by} fenced it"
            )
        witness = self.witnesses.get(writer)
        if witness is not None and witness.guest and self.installation is not None:
            raise Violation(f"foreign: {writer} of another installation wrote to the log of {self.installation}")

    def _end_transaction(self, transaction: Transaction | None) -> None:
        if transaction is not self._present or transaction is None or not transaction.committed:
            return
        self._present = None
        if len(self._ticks) >= 3:
            self.sometimes.took(Path.MANY_CLOCKS_IN_ROUND)
        if sum(self._ticks.values()) >= MOST_TICKS:
            self.sometimes.took(Path.CATCH_UP_CAPPED)
        if sum(self._ticks.values()) > MOST_TICKS:
            raise Violation(f"size: a transaction with {sum(self._ticks.values())} ticks, wanted at most {MOST_TICKS}")
        if self._late and len(self._ticks) > len(self._late):
            self.sometimes.took(Path.CATCH_UP_BESIDE_LIVE)

    def _judge_installation(self, wire: Wire, writer: str) -> None:
        named, witness = (wire["prefix"], wire["store"]), self.witnesses.get(writer)
        is_own = named == (INSTALLATION.prefix, INSTALLATION.store)
        if is_own is (witness is not None and witness.guest):
            raise Violation(f"foreign: {writer} wrote the installation {named}, which is not its own")
        self.installation = wire["prefix"]

    def _judge_copy(self, offset: int, message: Message, writer: str) -> None:
        clock = clock_of(message)
        witness = self.witnesses.get(writer)
        newest = None if clock is None else self.newest.get(clock)
        if clock is None or newest is None or message.value != newest.value:
            judge = self._clocks.get(clock or "")
            read_before = judge is not None and witness is not None and judge.log_lost_at > witness.fenced_at
            if clock is None or judge is None or not read_before or (clock, message.value) not in self._lost:
                raise Violation(f"snapshot: {writer} copied another record of {message.key!r} than the newest")
            judge.restore(body(message))
        self.newest[clock] = message
        self._copies.append(offset)
        if witness is not None and clock not in witness.specs:
            self.sometimes.took(Path.SNAPSHOT_OF_REMOVED_CLOCK)

    def _judge_snapshot_end(self, offset: int, wire: Wire) -> None:
        count = wire["count"]
        if self._copies != list(range(offset - count, offset)) or (count and wire["offset"] != offset - count):
            raise Violation(f"snapshot: the end at {offset} says {count} copies from {wire['offset']}: {self._copies}")
        if count != len(self.newest):
            raise Violation(f"snapshot: {count} copies, and the log has records of {sorted(self.newest)}")

    def _judge_record(self, entry: Entry[Message], message: Message, transaction: Transaction, writer: str) -> None:
        clock, wire = clock_of(message), body(message)
        if clock not in self._clocks or wire["clock"] != clock:
            raise Violation(f"foreign: {writer} wrote a record of {wire['clock']} with the key {message.key!r}")
        witness = self.witnesses.get(writer)
        if witness is not None and clock not in witness.specs:
            raise Violation(f"conflict: {writer} wrote a record of {clock}, which it does not know")
        if len(message.value or b"") > 64 * 1024:
            raise Violation(f"size: a record of {clock} has {len(message.value or b'')} bytes")
        judge = self._clocks[clock]
        is_late = judge.is_far_behind
        judge.judge_record(wire, message.type == "tick", writer, witness, by_command=writer in self._commands)
        self.newest[clock] = message
        if message.type == "tick":
            judge.transactions[wire["timestamp_seconds"] * 1000] = transaction
            self._ticks[clock] = self._ticks.get(clock, 0) + 1
            if is_late:
                self._late.add(clock)
