"""The notes of `clocksvc status` below its table: holds, catch-ups, rejected reports, schedules and operator overrides.

If few clocks have notes, each has its own lines. Otherwise there is one line for each cause.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from clocksvc.cli.override_commands import override_lines
from clocksvc.cli.pipeline_status import blame_lines, stage_to_blame
from clocksvc.cli.schedules_status import schedules_notes
from clocksvc.cli.words import reason_text
from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.partition import name_first
from clocksvc.clock.time_format import describe_duration, to_rfc3339
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.public_state import PublicState

OVERDUE_ROUNDS = 3
"""After this many intervals without a complete round of heartbeats, they are named as a possible cause of a hold."""
MAX_NOTED = 5
"""If more clocks have notes, the notes are grouped by cause."""


def all_notes(states: Sequence[PublicState]) -> list[str]:
    """Return the notes of these clocks."""
    noted = {state.clock: lines for state in states if (lines := list(clock_notes(state)))}
    if len(noted) > MAX_NOTED:
        return [*_grouped(states), "For the details of a clock: clocksvc status CLOCK"]
    return [line for lines in noted.values() for line in lines]


def hold_lines(state: PublicState) -> list[str]:
    """Return the reason of a clock's hold, its detail, its partitions, the stage to blame and overdue heartbeats.

    The clock must have a hold.
    """
    assert state.hold is not None
    since = "" if state.hold_since_ms is None else f" No tick since {to_rfc3339(state.hold_since_ms)}."
    lines = [f"{state.clock}: {reason_text(state.hold.reason)}.{since}"]
    if state.hold.detail:
        lines.append(f"  {_sentence(state.hold.detail, state.topics)}")
    named = state.hold.partitions_text()
    if named:
        lines.append(f"  Partitions: {named}.")
    return [*lines, *blame_lines(state.hold), *_heartbeat_lines(state)]


def _heartbeat_lines(state: PublicState) -> list[str]:
    """Return a line if the hold can have the cause that heartbeats are missing; otherwise []."""
    assert state.hold is not None
    every_ms, last_ms = state.heartbeats.every_ms, state.heartbeats.last_success_ms
    waits = state.hold.reason in (Reason.PARTITION_BEHIND, Reason.PARTITION_UNREPORTED)
    if not waits or every_ms is None or state.heartbeats.counts is None:
        return []
    due = f"One is due every {every_ms / 1000:g} s: do celery -A clocksvc worker and beat run?"
    if last_ms is None:
        return [f"  No round of heartbeats has reached every partition yet. {due}"]
    now_ms = SystemTime().now_ms()
    if state.last_tick is not None and state.behind_ms is not None:
        now_ms = state.last_tick.at_ms + state.behind_ms  # the service's own time
    if now_ms - last_ms <= OVERDUE_ROUNDS * every_ms:
        return []
    ago = describe_duration(now_ms - last_ms)
    return [f"  Last complete round of heartbeats {to_rfc3339(last_ms // 1000 * 1000)}, {ago} ago. {due}"]


def clock_notes(state: PublicState) -> Iterator[str]:
    """Yield what the table does not have: hold, catch-up, skipped or no offsets, rejected reports, overrides."""
    if _shows_hold(state):
        yield from hold_lines(state)
    elif state.partitions is not None and state.partitions.rejected:
        yield (
            f"{state.clock}: the newest reports of {state.partitions.rejected} partitions were rejected. The logs of "
            "the consumers name the cause."
        )
    if state.observer is not None and state.observer.skipped_records:
        yield (
            f"{state.clock}: the group has skipped {state.observer.skipped_records:,} offsets: their records were "
            "removed before it committed them, or its offset had expired. Ticks count them as processed."
        )
    if state.observer is not None and state.observer.committed_partitions == 0:
        yield (
            f"{state.clock}: the group {state.group} has no committed offset in any partition. Is its name right? "
            "Ticks come while the partitions are empty; the first record holds the clock until the group commits."
        )
    if state.status is Status.CATCHING_UP and state.due_ticks:
        yield f"{state.clock}: catches up, {state.due_ticks:,} ticks are due."
    yield from schedules_notes(state)
    yield from override_lines(state.clock, state.exclusions, state.pause, state.last_tick)


def _grouped(states: Sequence[PublicState]) -> Iterator[str]:
    held = defaultdict[str, list[PublicState]](list)
    for state in filter(_shows_hold, states):
        assert state.hold is not None
        held[state.hold.reason].append(state)
    for reason, clocks in held.items():
        yield from hold_lines(clocks[0]) if len(clocks) == 1 else _hold_lines_of_many(reason, clocks)
    late = [state for state in states if state.status is Status.CATCHING_UP and state.due_ticks]
    due = sum(state.due_ticks or 0 for state in late)
    yield from _line(late, f"catching up, {due:,} ticks are due")
    rejected = [
        one for one in states if not _shows_hold(one) and one.partitions is not None and one.partitions.rejected
    ]
    yield from _line(rejected, "the newest reports of partitions were rejected")
    skipped = [one for one in states if one.observer is not None and one.observer.skipped_records]
    yield from _line(skipped, "the groups have skipped offsets")
    without = [one for one in states if one.observer is not None and one.observer.committed_partitions == 0]
    yield from _line(without, "their groups have no committed offset in any partition")
    unsent = [state for state in states if any(schedules_notes(state))]
    yield from _line(unsent, "the schedules have problems")
    yield from _line([state for state in states if state.pause is not None], "paused")
    yield from _line([state for state in states if state.exclusions], "partitions are excluded")


def _hold_lines_of_many(reason: str, states: Sequence[PublicState]) -> Iterator[str]:
    since_ms = [state.hold_since_ms for state in states if state.hold_since_ms is not None]
    since = f" No tick since {to_rfc3339(min(since_ms))} or later." if since_ms else ""
    yield f"{len(states):,} of these clocks: {reason_text(reason)}.{since}"
    details = {_sentence(state.hold.detail, state.topics) for state in states if state.hold and state.hold.detail}
    if len(details) == 1:
        yield f"  {details.pop()}"
    stages = {stage: None for state in states if state.hold and (stage := stage_to_blame(state.hold))}
    if stages:
        yield f"  To blame: {name_first(list(stages))}."
    yield f"  Clocks: {_names(states)}."


def _line(states: Sequence[PublicState], text: str) -> Iterator[str]:
    if states:
        yield f"{len(states):,} of these clocks: {text}: {_names(states)}."


def _names(states: Sequence[PublicState]) -> str:
    return name_first([state.clock for state in states])


def _shows_hold(state: PublicState) -> bool:
    """True if the clock holds. The hold of a pause is not shown if the pause is."""
    return state.hold is not None and not (state.hold.reason is Reason.PAUSED and state.pause is not None)


def _sentence(detail: str, topics: Sequence[str]) -> str:
    """Return a detail as a sentence. A topic's name at its beginning is not changed."""
    named = any(detail.startswith(topic) for topic in topics)
    begin = detail[:1] if named else detail[:1].upper()
    return begin + detail[1:] + ("" if detail.endswith((".", "!", "?", ":")) else ".")
