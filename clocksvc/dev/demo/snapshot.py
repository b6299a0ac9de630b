"""The state that the screen shows: the clock from the service, its partitions from the consumers. Pure.

A consumer reports when it passes a boundary, so it is usually further than the service knows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clocksvc.service.public_state import PublicState


@dataclass(frozen=True, slots=True)
class Bar:
    """One partition: how far it is processed (None: unknown), its consumer, and a remark."""

    name: str
    reached_ms: int | None
    consumer: str
    remark: str
    slowest: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The clock and its partitions at one moment. None means unknown."""

    clock: str
    now_ms: int
    time_ms: int | None
    status: str
    behind_s: float | None
    known: int | None
    total: int | None
    leader: str
    bars: tuple[Bar, ...]
    jobs: str


@dataclass(frozen=True, slots=True)
class PartitionReader:
    """The consumer of a partition and the highest timestamp that it has processed; None before the first."""

    name: str
    reached_ms: int | None


def snapshot(
    state: PublicState,
    now_ms: int,
    readers: Mapping[int, PartitionReader],
    remarks: Mapping[int, str],
    me: str,
    jobs: str = "",
) -> Snapshot:
    """Build the snapshot from one answer of the service.

    Args:
        state: of a clock with one topic.
        readers: by partition.
        remarks: by partition.
        me: this process's name as a leader.
        jobs: the state of the jobs, as text.
    """
    counts, last = state.partitions, state.last_tick
    clocks = {one.partition.number: one for one in state.slowest}
    unknown = PartitionReader("", None)
    reached = {number: readers.get(number, unknown).reached_ms or one.clock_ms for number, one in clocks.items()}
    slowest = _slowest(reached)
    return Snapshot(
        clock=state.clock,
        now_ms=now_ms,
        time_ms=None if last is None else last.at_ms,
        status=str(state.status),
        behind_s=None if state.behind_ms is None else state.behind_ms / 1000,
        known=None if counts is None else counts.known,
        total=None if counts is None else counts.known + counts.unknown,
        leader="this process" if state.leader == me else state.leader or "none",
        bars=tuple(
            Bar(
                name=str(clocks[number].partition),
                reached_ms=reached[number],
                consumer=readers.get(number, unknown).name,
                remark=remarks.get(number, ""),
                slowest=number == slowest,
            )
            for number in sorted(clocks)
        ),
        jobs=jobs,
    )


def _slowest(reached: Mapping[int, int | None]) -> int | None:
    """The partition with the lowest clock; None if it is not unique or a partition is unknown."""
    times = {number: at_ms for number, at_ms in reached.items() if at_ms is not None}
    if not times or len(times) < len(reached):
        return None
    lowest = min(times.values())
    lowest_ones = [number for number, at_ms in times.items() if at_ms == lowest]
    return lowest_ones[0] if len(lowest_ones) == 1 else None
