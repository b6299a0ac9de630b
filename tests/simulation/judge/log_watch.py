"""Watches one process's calls of a log: which end it knows, and which commits were confirmed to it."""

from collections.abc import Callable, Sequence
from typing import Any

from clocksvc.clock.log_record import Message
from clocksvc.errors import OffsetGap, OutcomeUnknown, RecordRejected
from tests.faulty.fenced_log import Entry
from tests.simulation.judge.log_bytes import body
from tests.simulation.judge.log_judge import LogJudge
from tests.simulation.judge.violation import Violation
from tests.simulation.judge.witness import Witness
from tests.simulation.sometimes import Path, Sometimes
from tests.simulation.world.environment import Environment


class LogWatch:
    """The calls of one process."""

    def __init__(
        self, environment: Environment, log: LogJudge, process: str, witness: Witness | None, sometimes: Sometimes
    ) -> None:
        self._environment, self._log, self._process = environment, log, process
        self._witness, self._sometimes = witness, sometimes
        self._began_with: str = ""
        self._stale = False
        self._losses = 0
        self._snapshots = 0
        self._rejected = False
        self._recovered = False

    def call(self, method: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """Execute a call."""
        return getattr(self, f"_{method}")(args, call)

    def _fence(self, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        call()
        self._log.check()
        self._snapshots, self._began_with, self._recovered = 0, "", False
        self._losses = self._log.losses
        if self._witness is not None:
            self._witness.fenced_at = self._environment.scheduler.moment()
            self._witness.known_end = None

    def _bounds(self, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        found = call()
        if self._witness is not None and self._witness.known_end is None:
            self._witness.known_end = found.end
            self._stale = found.end < self._log.log.last_stable_offset
            self._began_with = _reading(self._log.log.committed(found.first, found.end), found.first)
        return found

    def _read(self, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        return call()

    def _append(self, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        messages, end = args
        witness = self._witness
        if not messages:
            return call()
        if witness is not None and witness.known_end != end:
            raise Violation(f"unchained: {self._process} appends at {end}, it knows the end {witness.known_end}")
        losses = self._log.losses
        if witness is not None:
            witness.known_end = None  # unless the commit is confirmed
        try:
            after = call()
        except OffsetGap:
            self._sometimes.took(Path.OFFSET_GAP)
            if self._stale and not self._recovered:
                self._sometimes.took(Path.STALE_END)
            if self._log.losses > self._losses:
                self._sometimes.took(Path.LOST_TAIL_NOTICED)
            raise
        except OutcomeUnknown:
            self._log.check()
            landed = self._log.log._own is None
            self._sometimes.took(Path.UNKNOWN_OUTCOME_LANDED if landed else Path.UNKNOWN_OUTCOME_LOST)
            raise
        except RecordRejected:
            self._rejected = True
            raise
        self._log.check()
        self._confirm(messages, end, after, losses)
        if witness is not None:
            witness.known_end = after
        self._note(messages)
        return after

    def _confirm(self, messages: Sequence[Message], end: int, after: int, losses: int) -> None:
        """What was confirmed to the process is true: its records and their marker are in the log, and nothing more."""
        log, count = self._log.log, len(messages)
        own = self._log.commits.newest_of(self._process)
        if own is not None:
            self._log.confirmed[id(own)] = self._process
        if self._log.losses > losses:
            return  # the log has lost records during the call
        found: list[Entry[Message]] = [
            entry for entry in log.entries[log._position(end) :] if entry.offset <= end + count
        ]
        transactions = {id(entry.transaction) for entry in found}
        if after != end + count + 1 or len(transactions) != 1:
            raise Violation(f"unconfirmed: {self._process} got a confirmation of {count} records at {end}: {found}")
        if [entry.message for entry in found] != [*messages, None]:
            raise Violation(f"unconfirmed: {self._process} got a confirmation of {count} records at {end}: {found}")
        if found[0].transaction is not None and not found[0].transaction.committed:
            raise Violation(f"unconfirmed: {self._process} got a confirmation of {count} records at {end}")

    def _note(self, messages: Sequence[Message]) -> None:
        took = self._sometimes.took
        if messages[-1].type == "snapshot-end":
            self._snapshots += 1
            if self._snapshots > 1:
                took(Path.SNAPSHOT_WITHIN_TERM)
        if not self._recovered:
            self._recovered = True
            paths = {
                "": Path.READ_FROM_BEGINNING,
                "newest": Path.READ_FROM_SNAPSHOT,
                "older": Path.OLDER_SNAPSHOT,
            }
            took(paths[self._began_with])
            if self._log.has_torn:
                took(Path.TORN_RECOVERED)
                self._log.has_torn = False
        if self._rejected and messages[-1].type == "tick" and self._log.log.rejected_keys:
            took(Path.REJECTED_ALONE)
            self._rejected = False


def _reading(entries: Sequence[Any], first: int) -> str:
    """Return where the log is read from: the `newest` snapshot, an `older` one, or "" for the beginning."""
    copies = {offset for offset, message in entries if message.type == "snapshot"}
    newest = True
    for offset, message in reversed(entries):
        if message.type != "snapshot-end":
            continue
        count = body(message)["count"]
        if all(at in copies for at in range(offset - count, offset)) and offset - count > first:
            return "newest" if newest else "older"
        newest = False
    return ""
