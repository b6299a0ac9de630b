"""Says whether the group really has processed everything before a time. It looks at the records, and shares no code
with the rules.

A record with a timestamp before T must be processed, unless

- retention, compaction, the group's own decision or an aborted transaction has removed it;
- it follows a processed record that carried its partition past T;
- its partition was excluded, and the tick names it;
- it has no timestamp.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from clocksvc.clock.partition import Partition
from tests.observer_simulation.plan import Plan
from tests.observer_simulation.world.log import PartitionLog, Record
from tests.observer_simulation.world.timeline import Timeline


class Violation(AssertionError):
    """A promise is broken."""


class Judge:
    """The judge of all clocks.

    Attributes:
        counts: how much was judged.
    """

    def __init__(self, timeline: Timeline, plan: Plan) -> None:
        self._timeline, self._plan = timeline, plan
        self.counts: Counter[str] = Counter()
        self._claims: dict[PartitionLog, int] = {}
        self._ends: dict[str, list[tuple[int, dict[PartitionLog, int]]]] = {}
        self._exclusions: dict[str, list[tuple[int, frozenset[Partition]]]] = {}

    # -- clocks without upstream clocks -------------------------------------------------------------------------------

    def claims(self, log: PartitionLog, time_ms: int) -> None:
        """It is claimed that a partition has passed a time."""
        if log.deleted:
            return
        self.counts["claims"] += 1
        for record in log.unprocessed.values():
            self._check(log, record, time_ms)
        self._claims[log] = max(time_ms, self._claims.get(log, 0))

    def appended(self, log: PartitionLog, record: Record) -> None:
        """A record was appended: no claim may be contradicted."""
        claimed_ms = self._claims.get(log)
        if claimed_ms is not None:
            self._check(log, record, claimed_ms)

    def _check(self, log: PartitionLog, record: Record, time_ms: int) -> None:
        if 0 <= record.timestamp_ms < time_ms and not self._follows_carrier(log, record, time_ms):
            raise Violation(
                f"early: {log} passed {time_ms}, but record {record.offset} has {record.timestamp_ms} and is not "
                f"processed; high watermark {log.high}, low {log.low}, end {log.end}"
            )

    def _follows_carrier(self, log: PartitionLog, record: Record, time_ms: int) -> bool:
        """True if a processed record before this one carried the partition past the time."""
        carries_from_ms = time_ms + self._plan.out_of_orderness_ms
        carries_to_ms = self._timeline.now_ms + self._plan.skew_ms + self._plan.max_future_ms
        return any(
            carries_from_ms <= other.timestamp_ms <= carries_to_ms
            for other in log.records[: record.offset]
            if other.processed and not other.marker and not other.aborted
        )

    # -- clocks with upstream clocks ----------------------------------------------------------------------------------

    def claims_after(self, log: PartitionLog, time_ms: int, upstreams: Iterable[str]) -> None:
        """It is claimed that a partition has passed a time, by the ends after the ticks of upstream clocks."""
        self.counts["claims after upstream clocks"] += 1
        for upstream in upstreams:
            ends = next((ends for at_ms, ends in self._ends.get(upstream, []) if at_ms >= time_ms), None)
            if ends is None:
                raise Violation(f"upstream: {log} passed {time_ms}, before {upstream} emitted this tick")
            end = ends.get(log, 0)
            left = min((offset for offset in log.unprocessed if offset < end), default=None)
            if left is not None and not log.deleted:
                raise Violation(f"early: {log} passed {time_ms}, but record {left} was written before the tick; {end=}")

    def emitted(
        self,
        clock: str,
        time_ms: int,
        *,
        upstreams: Collection[str],
        excluded: Collection[Partition],
        next_topics: Iterable[PartitionLog],
        previous_ms: int | None,
    ) -> None:
        """A clock has emitted a tick.

        Args:
            next_topics: the partitions into which the clock's group writes.
        """
        self.counts["ticks"] += 1
        self._ends.setdefault(clock, []).append((time_ms, {log: log.high for log in next_topics}))
        wanted = {
            partition
            for upstream in upstreams
            for at_ms, partitions in self._exclusions.get(upstream, [])
            if previous_ms is not None and previous_ms < at_ms <= time_ms
            for partition in partitions
        }
        if not wanted <= set(excluded):
            raise Violation(f"excluded: {clock} at {time_ms} names {sorted(excluded)}, wanted {sorted(wanted)}")
        self._exclusions.setdefault(clock, []).append((time_ms, frozenset(excluded)))
        if excluded:
            self.counts["ticks with exclusions"] += 1

    def check_results(self, clock: str, time_ms: int, depth: int, roots: Iterable[PartitionLog]) -> None:
        """From end to end: each record before a time, of the first topic, has its results in the last one."""
        self.counts["ticks from end to end"] += 1
        for log in roots:
            for record in log.records:
                if record.marker or record.gone or record.aborted or not 0 <= record.timestamp_ms < time_ms:
                    continue
                if not _settled(record, depth) and not self._follows_carrier(log, record, time_ms):
                    raise Violation(
                        f"missing: {clock} emitted {time_ms}, but results of {log} record {record.offset} at "
                        f"{record.timestamp_ms} are not processed"
                    )


def _settled(record: Record, depth: int) -> bool:
    """True if a record and its results are processed, over so many topics."""
    if record.gone or record.passed_over:
        return True
    if not record.processed:
        return False
    return depth == 1 or all(
        any(_settled(copy, depth - 1) for copy in slot if not copy.aborted) for slot in record.outputs or ()
    )
