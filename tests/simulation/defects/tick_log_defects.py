"""Defects of the tick log: who may write to it, and what of it counts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from unittest.mock import patch

from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.errors import OutcomeUnknown
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds
from tests.faulty.tick_log import FaultyLog, FaultyTickLog
from tests.simulation.defects.defect import Promise, defect, together

Patched = AbstractContextManager[object]

_append, _fence = FaultyTickLog.append, FaultyTickLog.fence


@defect(
    "a new leader does not fence the old one",
    Promise.NEVER_LOST,
    "twice",
    "lost",
    "early",
    "unconfirmed",
    directed="unit/leader/test_recovery.py::test_a_fenced_leader_steps_back_and_leads_again",
)
def no_fencing() -> Patched:
    return patch.object(FaultyTickLog, "_check_epoch", lambda log, epoch: None)


@defect(
    "the log is read to its high watermark, with open transactions",
    Promise.NEVER_LOST,
    "lost",
    "chain",
    "dead",
    "silent",
    "unconfirmed",
    "snapshot",
    directed="unit/leader/test_recovery.py::test_a_foreign_open_transaction_is_a_hold_until_it_ends",
)
def read_to_the_high_watermark() -> Patched:
    def bounds(log: FaultyTickLog, keep_alive: KeepAlive) -> LogBounds:
        log._ask("bounds", keep_alive)
        return LogBounds(log._log.first_offset, log._log.end)

    def read(log: FaultyTickLog, start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        log._ask("read", keep_alive)
        return [
            LogEntry(entry.offset, entry.message)
            for entry in log._log.entries
            if entry.message is not None and start <= entry.offset < end
        ]

    return together(patch.object(FaultyTickLog, "bounds", bounds), patch.object(FaultyTickLog, "read", read))


@defect(
    "a new writer does not abort the old one's open transaction",
    Promise.ALIVE,
    "dead",
    "silent",
    directed="unit/leader/test_recovery.py::test_the_log_decides_about_a_commit_without_an_answer",
)
def open_transaction_not_aborted() -> Patched:
    def fence(log: FaultyLog) -> int:
        log.epoch += 1
        return log.epoch

    return patch.object(FaultyLog, "fence", fence)


@defect(
    "the offsets of a transaction are not compared with the known end",
    Promise.NEVER_LOST,
    "unconfirmed",
    "lost",
    "twice",
    "chain",
    "snapshot",
    directed="unit/leader/test_offset_chain.py::test_a_stale_end_at_a_recovery",
)
def offsets_not_compared() -> Patched:
    return patch.object(FaultyTickLog, "_check_offsets", lambda log, offsets, end: None)


@defect(
    "a commit is not confirmed before its ticks are published",
    Promise.NEVER_EARLY,
    "unconfirmed",
    "early",
    "lost",
    directed="unit/leader/test_offset_chain.py::test_a_torn_transaction",
)
def commit_not_confirmed() -> Patched:
    return patch.object(FaultyTickLog, "_confirm", lambda log, end, keep_alive: None)


@defect(
    "a commit whose outcome is unknown is sent again",
    Promise.NEVER_LOST,
    "twice",
    directed="unit/leader/test_recovery.py::test_the_log_decides_about_a_commit_without_an_answer",
)
def unknown_outcome_repeated() -> Patched:
    def append(log: FaultyTickLog, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        try:
            return _append(log, messages, end, keep_alive)
        except OutcomeUnknown:
            log.fence(keep_alive)
            return _append(log, messages, log.bounds(keep_alive).end, keep_alive)

    return patch.object(FaultyTickLog, "append", append)


@defect(
    "a commit whose outcome is unknown counts as done",
    Promise.NEVER_EARLY,
    "unconfirmed",
    "early",
    "lost",
    directed="unit/leader/test_recovery.py::test_the_log_decides_about_a_commit_without_an_answer",
)
def unknown_outcome_taken_for_success() -> Patched:
    def append(log: FaultyTickLog, messages: Sequence[Message], end: int, keep_alive: KeepAlive) -> int:
        epoch = log._epoch
        try:
            return _append(log, messages, end, keep_alive)
        except OutcomeUnknown:
            log._epoch = epoch
            return end + len(messages) + 1

    return patch.object(FaultyTickLog, "append", append)
