"""Defects of the reporter: what a consumer says it has processed, and when."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from clocksvc.client import progress_tracker as tracker
from clocksvc.client import report_sender as sender
from clocksvc.client.local_rejections import PendingRejection
from clocksvc.client.message import TopicPartition
from clocksvc.client.progress import Progress
from clocksvc.client.progress_tracker import ProgressTracker
from clocksvc.client.report_content import PendingTimestamp
from clocksvc.client.reporter import Reporter
from clocksvc.clock import partition
from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.interfaces.progress import ClockParameters, Report, StoreIdentity
from clocksvc.memory.store import MemoryStore
from tests.simulation.defects.defect import Promise, defect, together

Patched = AbstractContextManager[object]

_reject = ProgressTracker._reject


@defect(
    "a rejected timestamp hides the good ones after it",
    Promise.ALIVE,
    "dead",
    directed="unit/client/test_reporter_refusals.py::test_a_timestamp_far_ahead_is_forgotten",
)
def refused_number_remembered() -> Patched:
    def remember(self: ProgressTracker, partition: int, timestamp_ms: int, outcome: Outcome) -> None:
        _reject(self, partition, timestamp_ms, outcome)
        known = self.progress[partition]
        known.high_ms = max(known.high_ms, timestamp_ms)

    return together(
        patch.object(ProgressTracker, "_reject", remember),
        patch.object(Progress, "mark_rejected", lambda self, timestamp_ms: None),
    )


@defect(
    "a reporter keeps a timestamp that the store rejected",
    Promise.ALIVE,
    "dead",
    directed="unit/client/test_reporter_refusals.py::test_a_number_that_the_store_refuses_falls_back_to_the_last_accepted",
)
def refusal_by_the_store_ignored() -> Patched:
    return patch.object(Progress, "mark_rejected", lambda self, timestamp_ms: None)


@defect(
    "a doubtful timestamp is rejected after it was overtaken, and takes the good one with it",
    Promise.ALIVE,
    "unreported",
    directed="unit/client/test_reporter_refusals.py::test_a_doubtful_number_that_was_overtaken_takes_no_good_one_with_it",
)
def overtaken_number_refused() -> Patched:
    look_at = ProgressTracker._recheck

    def refuse(
        self: ProgressTracker, partition: int, progress: Progress, parameters: ClockParameters, now_ms: int
    ) -> None:
        if progress.ahead_ms > now_ms + parameters.max_future_ms:
            progress.mark_rejected(progress.ahead_ms)
        look_at(self, partition, progress, parameters, now_ms)

    return patch.object(ProgressTracker, "_recheck", refuse)


@defect(
    "neither reporter nor store rejects timestamps far ahead",
    Promise.NEVER_EARLY,
    "silent",
    "early",
    directed="unit/leader/test_leading.py::test_rejected_reports_are_named",
)
def far_ahead_accepted() -> Patched:
    mark = MemoryStore.claim

    def unbounded(
        store: MemoryStore, token: str, marks: StoreIdentity, parameters: ClockParameters, started_ms: int
    ) -> None:
        mark(store, token, marks, replace(parameters, max_future_ms=2**50), started_ms)

    return patch.object(MemoryStore, "claim", unbounded)


@defect(
    "a number in seconds counts as a timestamp in milliseconds",
    Promise.NEVER_SILENT,
    "silent",
    directed="unit/leader/test_leading.py::test_seconds_are_named_as_the_cause_of_the_hold",
)
def seconds_accepted() -> Patched:
    return patch.object(partition, "SECONDS_BELOW_MS", 0)


@defect(
    "a revoked partition is forgotten before it is reported",
    Promise.ALIVE,
    "dead",
    "unreported",
    directed="unit/client/test_reporter_topics.py::test_a_partition_that_is_revoked_is_reported_then_forgotten",
)
def forget_without_flush() -> Patched:
    return patch.object(Reporter, "on_revoke", Reporter.on_lost)


@defect(
    "reports are not repeated, and a lost store is not noticed",
    Promise.REBUILT,
    "dead",
    directed="unit/client/test_reporter.py::test_all_is_repeated_every_ten_seconds",
)
def reported_once() -> Patched:
    return together(
        patch.object(sender, "REPEAT_ALL_S", float("inf")), patch.object(tracker, "REPEAT_UNKNOWN_S", float("inf"))
    )


@defect(
    "a report is rounded up to the next boundary",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/client/test_reporter.py::test_a_boundary_is_crossed_in_raw_terms",
)
def reports_rounded_up() -> Patched:
    report = ProgressTracker.report

    def round_up(
        self: ProgressTracker, items: Sequence[PendingTimestamp], rejected: Sequence[PendingRejection] = ()
    ) -> Report:
        given = report(self, items, rejected)
        if self.parameters is None:
            return given
        step_ms = self.parameters.interval_ms
        timestamps = [
            PartitionTimestamp(partition, -(-at_ms // step_ms) * step_ms) for partition, at_ms in given.timestamps
        ]
        return replace(given, timestamps=tuple(timestamps))

    return patch.object(ProgressTracker, "report", round_up)


@defect(
    "a reporter's highest timestamp is reported for all its partitions",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/client/test_reporter.py::test_all_is_repeated_every_ten_seconds",
)
def one_number_for_all_partitions() -> Patched:
    report = ProgressTracker.report

    def lump(
        self: ProgressTracker, items: Sequence[PendingTimestamp], rejected: Sequence[PendingRejection] = ()
    ) -> Report:
        given = report(self, items, rejected)
        if not given.timestamps:
            return given
        highest_ms = max(reading.timestamp_ms for reading in given.timestamps)
        return replace(
            given, timestamps=tuple(PartitionTimestamp(each.partition, highest_ms) for each in given.timestamps)
        )

    return patch.object(ProgressTracker, "report", lump)


@defect(
    "a report that could not be sent is dropped",
    Promise.ALIVE,
    "dead",
    "unreported",
    directed="unit/client/test_reporter.py::test_a_store_that_lost_a_partition_gets_it_again_each_second",
)
def unsent_reports_dropped() -> Patched:
    select = ProgressTracker.select

    def settle_at_once(self: ProgressTracker, now: float, again_at: float, *, unsent: bool) -> list[PendingTimestamp]:
        items = select(self, now, again_at, unsent=unsent)
        for item in items:
            item.progress.mark_accepted(item.timestamp_ms)
        return items

    return together(
        patch.object(ProgressTracker, "select", settle_at_once),
        patch.object(ProgressTracker, "mark_unanswered", lambda self, items: None),
        patch.object(sender, "REPEAT_ALL_S", float("inf")),
    )


@defect(
    "revoked partitions are still reported",
    Promise.NEVER_EARLY,
    "silent",
    "early",
    "back",
    directed="unit/client/test_reporter_topics.py::test_a_partition_that_is_lost_is_forgotten",
)
def nothing_forgotten() -> Patched:
    def keep(self: Reporter, partitions: Iterable[TopicPartition]) -> None:
        pass

    return patch.object(Reporter, "_forget", keep)
