"""Deliberate defects of the observer and its rules: each is a small patch that a seed must find."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from clocksvc.clock.partition import Partition
from clocksvc.committed import observed_clock, observer, rules
from clocksvc.committed.commits import Commits
from clocksvc.committed.leadership import End, PartitionLeader
from clocksvc.committed.observed_clock import ObservedClock
from clocksvc.committed.rules import PartitionProgress, ReadAhead
from clocksvc.committed.upstream_ticks import UpstreamTicks
from clocksvc.interfaces.committed_offsets import FoundRecord, PartitionEnds
from clocksvc.interfaces.observations import Observation
from tests.observer_simulation.world.answers import Answers
from tests.seed_runs.defect import Defects, Patched

EARLY = ("early", "missing")

DEFECTS = Defects()
defect = DEFECTS.define


# -- by a record ------------------------------------------------------------------------------------------------------


@defect("a timestamp that is too far ahead proves, and the store rejects it", *EARLY, "dead")
def poisoned_timestamp() -> Patched:
    return patch.object(rules, "rejection_reason", lambda *_: None)


@defect("the nominated offset proves, though it can be a marker or an aborted record", *EARLY)
def nomination_proves() -> Patched:
    def prove(_: object, nominated: Collection[tuple[Partition, PartitionProgress, int]]) -> None:
        for _partition, progress, now_ms in nominated:
            below = progress.wants_record()
            if below is not None:
                progress.note_record(below, FoundRecord(below - 1, now_ms), now_ms)

    return patch.object(observer, "read_last_records", prove)


@defect("the last record of the partition proves, processed or not", *EARLY)
def record_above_the_offset() -> Patched:
    def note(self: PartitionProgress, below: int, record: FoundRecord | None, now_ms: int) -> None:
        real(self, min(below, self.commits.counting or 0), record and replace(record, offset=0), now_ms)

    def wants(self: PartitionProgress) -> int | None:
        return None if self.end is None or self.commits.counting is None else self.end.high

    real = PartitionProgress.note_record
    return _together(
        patch.object(PartitionProgress, "note_record", note), patch.object(PartitionProgress, "wants_record", wants)
    )


# -- drained ----------------------------------------------------------------------------------------------------------


@defect("the end is read as soon as the clock has passed a boundary, without drain_delay", *EARLY)
def end_read_too_soon() -> Patched:
    real = rules.drained_boundary
    return patch.object(
        observed_clock,
        "drained_boundary",
        lambda now_ms, disorder_ms, _, interval_ms: real(now_ms, disorder_ms, 0, interval_ms),
    )


@defect("the end is read without waiting for records that are out of order", *EARLY)
def disorder_ignored() -> Patched:
    real = rules.drained_boundary
    return patch.object(
        observed_clock,
        "drained_boundary",
        lambda now_ms, _, delay_ms, interval_ms: real(now_ms, 0, delay_ms, interval_ms),
    )


@defect("the end of a leader counts that may have been replaced", *EARLY)
def former_leader_believed() -> Patched:
    def end(self: PartitionLeader, settled_s: float) -> End | None:
        found = real(self, settled_s)
        return found and replace(found, alive=True)

    real = PartitionLeader.end
    return patch.object(PartitionLeader, "end", end)


@defect("the end of a leader with a lower epoch counts, also against committed offsets", *EARLY, "dead")
def epoch_ignored() -> Patched:
    def note(self: PartitionLeader, ends: PartitionEnds | None, asked_at: float, answered_at: float) -> None:
        real(self, ends and replace(ends, epoch=0), asked_at, answered_at)

    real = PartitionLeader.note
    return patch.object(PartitionLeader, "note", note)


@defect("the last stable offset is the end", *EARLY)
def last_stable_offset_as_end() -> Patched:
    def ends(self: Answers, partition: Partition) -> PartitionEnds | None:
        found, log = real(self, partition), self._cluster.log(partition)
        return found if found is None or log is None else replace(found, high=min(found.high, log.last_stable))

    real = Answers._ends
    return patch.object(Answers, "_ends", ends)


@defect("only the newest end is kept, which a group at work never reaches", "dead")
def newest_end_only() -> Patched:
    def aim(self: PartitionProgress, end: End, boundary_ms: int) -> None:
        self._targets = []
        real(self, end, boundary_ms)

    real = PartitionProgress._aim
    return patch.object(PartitionProgress, "_aim", aim)


@defect("a read from the committed offset passes over an open transaction", *EARLY)
def read_past_open_transaction() -> Patched:
    def note(self: PartitionProgress, read: ReadAhead, at_s: float) -> None:
        assert self.end is not None
        real(self, read if read.found else replace(read, reached=self.end.high), at_s)

    real = PartitionProgress.note_read_ahead
    return patch.object(PartitionProgress, "note_read_ahead", note)


@defect("a read from the committed offset passes over records", *EARLY)
def read_past_records() -> Patched:
    def note(self: PartitionProgress, read: ReadAhead, at_s: float) -> None:
        real(self, replace(read, reached=read.reached + 1), at_s)

    real = PartitionProgress.note_read_ahead
    return patch.object(PartitionProgress, "note_read_ahead", note)


@defect("a partition with records and no committed offset is drained", *EARLY)
def no_commit_is_drained() -> Patched:
    def note(self: Commits, offset: int | None, low: int, high: int, at_s: float) -> None:
        real(self, high if offset is None else offset, low, high, at_s)

    real = Commits.note
    return patch.object(Commits, "note", note)


# -- recreated topics -------------------------------------------------------------------------------------------------


@defect("offsets that belong to a former topic count", *EARLY)
def former_offsets_count() -> Patched:
    return patch.object(Commits, "doubt", lambda *_, **__: None)


@defect("an offset counts again as soon as it moves", *EARLY)
def trusted_after_a_move() -> Patched:
    def note(self: Commits, offset: int | None, low: int, high: int, at_s: float) -> None:
        real(self, offset, low, high, at_s)
        if self.moved and offset is not None and offset <= high:
            self._doubted_at = None

    real = Commits.note
    return patch.object(Commits, "note", note)


@defect("an observer that starts does not know which offsets are in doubt", *EARLY)
def doubts_not_kept() -> Patched:
    def publish(self: ObservedClock, now_ms: int) -> Observation:
        return replace(real(self, now_ms), doubted=())

    real = ObservedClock._observation
    return patch.object(ObservedClock, "_observation", publish)


# -- clocks after clocks ----------------------------------------------------------------------------------------------


@defect("ends count that were read before the upstream clocks", *EARLY)
def end_read_before_the_tick() -> Patched:
    def note(self: PartitionLeader, ends: PartitionEnds | None, asked_at: float, answered_at: float) -> None:
        before_that[id(self)] = self._latest
        real_note(self, ends, asked_at, answered_at)

    def end(self: PartitionLeader, settled_s: float) -> End | None:
        found, before = real_end(self, settled_s), before_that.get(id(self))
        return None if found is None or before is None else replace(found, low=before.low, high=before.high)

    before_that: dict[int, PartitionEnds | None] = {}
    real_note, real_end = PartitionLeader.note, PartitionLeader.end
    return _together(patch.object(PartitionLeader, "note", note), patch.object(PartitionLeader, "end", end))


@defect(
    "ends count for the time of the wall clock, not for the ticks of upstream clocks", "early", "missing", "upstream"
)
def wall_clock_instead_of_upstream() -> Patched:
    def boundary(self: ObservedClock, now_ms: int) -> int:
        return now_ms - now_ms % self.spec.interval_ms

    return patch.object(ObservedClock, "_boundary_ms", boundary)


@defect("exclusions of upstream ticks before the newest one are forgotten", "excluded")
def newest_exclusions_only() -> Patched:
    def excluded(self: UpstreamTicks) -> tuple[Partition, ...]:
        newest = max(self._excluded, key=lambda each: self._excluded[each], default=frozenset[Partition]())
        return tuple(sorted(newest))

    return patch.object(UpstreamTicks, "excluded", property(excluded))


@defect("an observer that starts reads only the newest upstream tick", "excluded")
def starts_with_newest_tick() -> Patched:
    real = UpstreamTicks.cursor
    return _together(
        patch.object(UpstreamTicks, "cursor", lambda self, key, _: real(self, key, None)),
        patch.object(UpstreamTicks, "restore", lambda *_: None),
    )


@contextmanager
def _together(*patches: Patched) -> Iterator[None]:
    with patches[0]:
        if patches[1:]:
            with _together(*patches[1:]):
                yield
        else:
            yield
