"""Defects of the tick log: who may write to it, and what of it counts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from unittest.mock import patch

from clocksvc.clock.log_record import Record, decode_message
from clocksvc.errors import Fenced, OutcomeUnknown
from clocksvc.interfaces.tick_log import KeepAlive, Tail
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
    directed="unit/leader/test_recovery.py::test_a_fenced_leader_steps_back_and_leads_again",
)
def no_fencing() -> Patched:
    def check(log: FaultyTickLog) -> None:
        if log._epoch is None:
            raise Fenced

    return patch.object(FaultyTickLog, "_check_epoch", check)


@defect(
    "the log is read to its high watermark, with open transactions",
    Promise.NEVER_LOST,
    "lost",
    "chain",
    "dead",
    directed="unit/leader/test_recovery.py::test_a_foreign_open_transaction_is_a_hold_until_it_ends",
)
def read_to_the_high_watermark() -> Patched:
    def tail(log: FaultyTickLog, waiting: KeepAlive) -> Tail:
        log._ask("tail", waiting)
        found = [entry.message for entry in log._log.entries if entry.message is not None]
        return Tail(decode_message(log._clock, found[-1]) if found else None, log._log.first_offset)

    return together(
        patch.object(FaultyTickLog, "tail", tail), patch.object(FaultyTickLog, "_refuse_open", lambda *_: None)
    )


@defect(
    "another client's open transaction is ignored",
    Promise.NEVER_LOST,
    "silent",
    "twice",
    "lost",
    directed="unit/leader/test_recovery.py::test_a_foreign_open_transaction_is_a_hold_until_it_ends",
)
def open_transaction_ignored() -> Patched:
    return patch.object(FaultyTickLog, "_refuse_open", lambda *_: None)


@defect(
    "a new writer does not abort the old one's open transaction",
    Promise.ALIVE,
    "dead",
    directed="unit/leader/test_recovery.py::test_the_log_decides_about_a_commit_without_an_answer",
)
def open_transaction_not_aborted() -> Patched:
    def fence(log: FaultyLog) -> int:
        log.epoch += 1
        return log.epoch

    return patch.object(FaultyLog, "fence", fence)


@defect(
    "a leader that was fenced goes on with the same producer",
    Promise.ALIVE,
    "dead",
    directed="unit/leader/test_recovery.py::test_a_fenced_leader_steps_back_and_leads_again",
)
def fenced_producer_reused() -> Patched:
    fenced: dict[FaultyTickLog, int | None] = {}

    def append(log: FaultyTickLog, records: Sequence[Record], waiting: KeepAlive) -> None:
        epoch = log._epoch
        try:
            _append(log, records, waiting)
        except Fenced:
            fenced[log] = log._epoch = epoch
            raise

    def fence(log: FaultyTickLog, waiting: KeepAlive) -> None:
        if log in fenced:
            log._epoch = fenced[log]
        else:
            _fence(log, waiting)

    return together(patch.object(FaultyTickLog, "append", append), patch.object(FaultyTickLog, "fence", fence))


@defect(
    "a commit whose outcome is unknown is sent again",
    Promise.NEVER_LOST,
    "twice",
    directed="unit/leader/test_recovery.py::test_the_log_decides_about_a_commit_without_an_answer",
)
def unknown_outcome_repeated() -> Patched:
    def append(log: FaultyTickLog, records: Sequence[Record], waiting: KeepAlive) -> None:
        try:
            _append(log, records, waiting)
        except OutcomeUnknown:
            log.fence(waiting)
            _append(log, records, waiting)

    return patch.object(FaultyTickLog, "append", append)


@defect(
    "a commit whose outcome is unknown counts as done",
    Promise.NEVER_EARLY,
    "early",
    "lost",
    directed="unit/leader/test_recovery.py::test_the_log_decides_about_a_commit_without_an_answer",
)
def unknown_outcome_taken_for_success() -> Patched:
    def append(log: FaultyTickLog, records: Sequence[Record], waiting: KeepAlive) -> None:
        epoch = log._epoch
        with suppress(OutcomeUnknown):
            _append(log, records, waiting)
        log._epoch = epoch

    return patch.object(FaultyTickLog, "append", append)
