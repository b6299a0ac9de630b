"""Creates what the demo shows: event lines (ticks, holds, jobs, steps of the scenario) and a snapshot of the clocks.

Styles are names of the package rich. No I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.dev.demo.delivery_checks import Due, DueSequence, Job, next_night_ms
from clocksvc.dev.demo.demo_config import CLOCK, SCHEDULES, SECOND_CLOCK
from clocksvc.service.public_state import PublicState

_MAX_LISTED = 4
_NAMES_WIDTH = 22


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event. `extra` is not shown if the screen is too narrow."""

    at_ms: int
    text: str
    extra: str = ""
    style: str = ""


def time_of_day(timestamp_ms: int) -> str:
    """Return a time in UTC as `12:00:35`."""
    return to_rfc3339(timestamp_ms)[11:19]


def precise_time_of_day(timestamp_ms: int) -> str:
    """Return a time in UTC as `12:00:35.2`."""
    return f"{time_of_day(timestamp_ms)}.{timestamp_ms % 1000 // 100}"


def scenario_step(at_ms: int, text: str) -> EventLine:
    """Describe a step of the scenario."""
    return EventLine(at_ms, f"story: {text}", style="cyan")


def tick(at_ms: int, one: Tick, latency_s: float | None, due: Sequence[Due] = ()) -> EventLine:
    """Describe a single tick, and the schedules that were due at it."""
    time = time_of_day(one.at_ms)
    committed = "" if latency_s is None else f"   (committed in {latency_s * 1000:.0f} ms)"
    extra = f"   due: {_due_names(due)}" if due else committed
    return EventLine(at_ms, f"tick {time}   everything before {time} is processed", extra, "green")


def _due_names(due: Sequence[Due]) -> str:
    """Return the ids that fit into a line of 100 columns, the user's own first, and the number of others."""
    names = sorted((one.schedule for one in due), key=lambda name: name in SCHEDULES)
    listed, *rest = names
    while rest and len(f"{listed}, {rest[0]}") <= _NAMES_WIDTH:
        listed = f"{listed}, {rest.pop(0)}"
    return f"{listed} and {len(rest):,} more" if rest else listed


def skipped_ticks(at_ms: int, ticks: Sequence[Tick], in_order: bool, due: Sequence[Due] = ()) -> EventLine:
    """Describe several ticks that came at the same time after a hold, and what was due at them."""
    times = [time_of_day(one.at_ms) for one in ticks]
    listed = ", ".join(times) if len(times) <= _MAX_LISTED else f"{times[0]} … {times[-1]}"
    order = "each once, in order" if in_order else "NOT each once and in order"
    names = f"   due: {len(due)} records" if due else ""
    return EventLine(at_ms, f"ticks {listed}   {len(ticks)} skipped, {order}{names}", style="green")


def waiting_job(at_ms: int, due_ms: int) -> EventLine:
    """Describe a nightly job that is due by the wall clock, but waits because of a hold."""
    return EventLine(at_ms, f'job "nightly" for {time_of_day(due_ms)} waits for its data', style="yellow")


def job(at_ms: int, one: Job) -> EventLine:
    """Describe a nightly job that was sent."""
    sent = "" if one.sent_ms is None else f" sent at {time_of_day(one.sent_ms)}"
    tick = f"   (with tick {time_of_day(one.tick_ms)})"
    return EventLine(at_ms, f'job "nightly" for {time_of_day(one.due_ms)}{sent}: its data is complete', tick, "magenta")


def jobs(last_ms: int | None, tick_ms: int | None, now_ms: int, tick_tasks: int) -> str:
    """Describe the jobs: the last nightly job, the next one after the last tick, and the number of tick tasks."""
    parts = [] if last_ms is None else [f"{time_of_day(last_ms)} done"]
    if tick_ms is not None:
        next_ms = next_night_ms(tick_ms)
        time = time_of_day(next_ms)
        parts.append(f"{time} waits for its data" if next_ms <= now_ms else f"next {time}")
    return f"nightly: {', '.join(parts) or 'not yet'}   tick tasks: {tick_tasks}"


def schedules(count: int, due: DueSequence) -> str:
    """Describe the schedules: how many the demo has, how many records were due, and the newest one."""
    if not count:
        return "no schedule yet: the scheduler starts"
    newest = "" if due.last is None else f", the last one {due.last.schedule} for {time_of_day(due.last.due_ms)}"
    return f"{due_counts('record', count, due)}{newest}"


def second_tick(at_ms: int, one: Tick) -> EventLine:
    """Describe a tick of the second stage."""
    time = time_of_day(one.at_ms)
    return EventLine(at_ms, f"{SECOND_CLOCK} {time}   everything before {time} has passed both groups", style="green")


def second_hold(at_ms: int, reason: str) -> EventLine:
    """Describe a hold of the second stage."""
    waits = f"{SECOND_CLOCK} waits for {CLOCK}" if reason == Reason.UPSTREAM_BEHIND else f"{SECOND_CLOCK} HOLDING"
    return EventLine(at_ms, f"{waits} ({reason})", style="yellow")


def second_stage(status: str, tick_ms: int | None, stored: int) -> str:
    """Describe the second stage: its clock, and how many records it has stored."""
    time = "--:--:--" if tick_ms is None else time_of_day(tick_ms)
    state = status.replace("_", " ") or "no answer yet"
    return f"{SECOND_CLOCK} {time}   {state}   {stored:,} records stored by a plain group"


def due_counts(noun: str, count: int, due: DueSequence) -> str:
    """Return how many records were due: those of the demo's `count` schedules, and those of the user's own."""
    records = due.count - due.own
    own = f" and {due.own:,} of your own" if due.own else ""
    return f"{records} {noun}{'s' * (records != 1)} of {count} schedules{own}"


def broken_sequence(at_ms: int, problem: str) -> EventLine:
    """Describe a tick, job or due record that was lost, repeated or out of order."""
    return EventLine(at_ms, f"BROKEN: {problem}", style="bold red")


def hold(at_ms: int, held: Hold, state: PublicState) -> EventLine:
    """Return a text that describes the hold in `state`, the service's answer."""
    since = "" if state.hold_since_ms is None else f" since {time_of_day(state.hold_since_ms)}"
    return EventLine(at_ms, f"HOLDING{since}: {_hold_text(held, state)} ({held.reason})", style="bold yellow")


def _hold_text(held: Hold, state: PublicState) -> str:
    if not held.partitions:
        return held.detail
    names = ", ".join(map(str, held.partitions))
    has = "has" if len(held.partitions) == 1 else "have"
    times = [one.clock_ms for one in state.slowest if one.partition in held.partitions and one.clock_ms is not None]
    if held.reason is Reason.PARTITION_BEHIND and times:
        return f"{names} {has} reported nothing past {time_of_day(max(times))}"
    if held.reason is Reason.PARTITION_UNREPORTED:
        return f"{names} {has} not been reported yet"
    return f"{names}: {held.detail}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One partition: the time up to which it is processed (None if unknown), its consumer, and a remark."""

    name: str
    reached_ms: int | None
    consumer: str
    remark: str
    slowest: bool


@dataclass(frozen=True, slots=True)
class DemoSnapshot:
    """The state of the clock and its partitions at one moment. None means unknown.

    The clock's state comes from the service, and the partitions' state from the consumers. A consumer reports only at
    boundaries. Therefore it has usually processed more than the service knows.
    """

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
    schedules: str
    second_stage: str


@dataclass(frozen=True, slots=True)
class PartitionReader:
    """The consumer of a partition, and the highest timestamp that it has processed (None before the first record)."""

    name: str
    reached_ms: int | None


def snapshot(
    state: PublicState,
    now_ms: int,
    readers: Mapping[int, PartitionReader],
    remarks: Mapping[int, str],
    me: str,
    jobs: str = "",
    schedules: str = "",
    second_stage: str = "",
) -> DemoSnapshot:
    """Build the snapshot from one answer of the service.

    Args:
        state: the state of a clock with one topic, from the service.
        readers: the consumers, by partition.
        remarks: the remarks to show, by partition.
        me: this process's name as a leader.
        jobs, schedules, second_stage: their states, as text. "" if there are none.
    """
    counts, last = state.partitions, state.last_tick
    clocks = {one.partition.number: one for one in state.slowest}
    unknown = PartitionReader("", None)
    reached = {number: readers.get(number, unknown).reached_ms or one.clock_ms for number, one in clocks.items()}
    slowest = _slowest(reached)
    return DemoSnapshot(
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
        schedules=schedules,
        second_stage=second_stage,
    )


def _slowest(reached: Mapping[int, int | None]) -> int | None:
    """Return the partition with the lowest timestamp; None if several have it or a partition is unknown."""
    times = {number: at_ms for number, at_ms in reached.items() if at_ms is not None}
    if not times or len(times) < len(reached):
        return None
    lowest = min(times.values())
    lowest_ones = [number for number, at_ms in times.items() if at_ms == lowest]
    return lowest_ones[0] if len(lowest_ones) == 1 else None
