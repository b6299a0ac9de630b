"""The demo's event lines: ticks, holds, jobs and steps of the scenario. Styles are rich's names."""

from collections.abc import Sequence
from dataclasses import dataclass

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.dev.demo.delivery_checks import Job, next_night_ms
from clocksvc.service.public_state import PublicState

_MAX_LISTED = 4


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event. `extra` is omitted if the line is too narrow."""

    at_ms: int
    text: str
    extra: str = ""
    style: str = ""


def time_of_day(timestamp_ms: int) -> str:
    """`12:00:35`, UTC."""
    return to_rfc3339(timestamp_ms)[11:19]


def precise_time_of_day(timestamp_ms: int) -> str:
    """`12:00:35.2`, UTC."""
    return f"{time_of_day(timestamp_ms)}.{timestamp_ms % 1000 // 100}"


def scenario_step(at_ms: int, text: str) -> EventLine:
    """A step of the scenario."""
    return EventLine(at_ms, f"story: {text}", style="cyan")


def tick(at_ms: int, one: Tick, latency_s: float | None) -> EventLine:
    """A single tick."""
    time = time_of_day(one.at_ms)
    committed = "" if latency_s is None else f"   (committed in {latency_s * 1000:.0f} ms)"
    return EventLine(at_ms, f"tick {time}   everything before {time} is processed", committed, "green")


def skipped_ticks(at_ms: int, ticks: Sequence[Tick], in_order: bool) -> EventLine:
    """Several ticks that came at once after a hold."""
    times = [time_of_day(one.at_ms) for one in ticks]
    listed = ", ".join(times) if len(times) <= _MAX_LISTED else f"{times[0]} … {times[-1]}"
    order = "each once, in order" if in_order else "NOT each once and in order"
    return EventLine(at_ms, f"ticks {listed}   {len(ticks)} skipped, {order}", style="green")


def waiting_job(at_ms: int, due_ms: int) -> EventLine:
    """A nightly job that is due by the wall clock during a hold."""
    return EventLine(at_ms, f'job "nightly" for {time_of_day(due_ms)} waits for its data', style="yellow")


def job(at_ms: int, one: Job) -> EventLine:
    """A nightly job that was sent."""
    sent = "" if one.sent_ms is None else f" sent at {time_of_day(one.sent_ms)}"
    tick = f"   (with tick {time_of_day(one.tick_ms)})"
    return EventLine(at_ms, f'job "nightly" for {time_of_day(one.due_ms)}{sent}: its data is complete', tick, "magenta")


def jobs(last_ms: int | None, tick_ms: int | None, now_ms: int, tick_tasks: int) -> str:
    """The state of the jobs: the last nightly job and the next one after the last tick."""
    parts = [] if last_ms is None else [f"{time_of_day(last_ms)} done"]
    if tick_ms is not None:
        next_ms = next_night_ms(tick_ms)
        time = time_of_day(next_ms)
        parts.append(f"{time} waits for its data" if next_ms <= now_ms else f"next {time}")
    return f"nightly: {', '.join(parts) or 'not yet'}   tick tasks: {tick_tasks}"


def broken_sequence(at_ms: int, problem: str) -> EventLine:
    """A tick or job that was lost, repeated or out of order."""
    return EventLine(at_ms, f"BROKEN: {problem}", style="bold red")


def hold(at_ms: int, held: Hold, state: PublicState) -> EventLine:
    """The hold that the service reports: `held` is the state's."""
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
