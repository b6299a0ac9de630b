"""`clocksvc status`: asks a service for the state of its clocks, and prints it."""

import argparse
from collections.abc import Iterator, Sequence

from clocksvc.cli.console import add_json, add_url, print_json, service_token, show, show_table, show_wrapped
from clocksvc.cli.override_commands import override_lines
from clocksvc.cli.schedules_status import schedules_notes, schedules_table
from clocksvc.cli.words import outcome_text, reason_text
from clocksvc.client.http import ServiceClient
from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.time_format import describe_duration, to_rfc3339
from clocksvc.errors import ServiceUnavailable
from clocksvc.interfaces.hold_history import HoldHistory, PastHold
from clocksvc.interfaces.time import SystemTime
from clocksvc.service.hold_history import hold_history_from_wire
from clocksvc.service.public_state import PublicPartition, PublicState, public_partition_from_wire, state_from_wire

_HEAD = ("CLOCK", "TIME", "STATUS", "BEHIND", "PARTITIONS", "REJECTED", "LEADER")
_RECENT_HOLDS = 10
OVERDUE_ROUNDS = 3
"""After as many intervals without a complete round of heartbeats, they are named as a possible cause of a hold."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: service, clock and output format."""
    add_url(parser)
    parser.add_argument(
        "clocks",
        nargs="*",
        metavar="CLOCK",
        help="show these clocks, each with its slowest and its excluded partitions, and its holds of the last 7 days",
    )
    add_json(parser, "the answer of the service, for several clocks as for all clocks")


def run(args: argparse.Namespace) -> int:
    """Ask the service once for each named clock, or for all; print the answers, and return the exit code 0."""
    for name in args.clocks:
        check_clock_name("CLOCK", name)
    client = ServiceClient(args.url, service_token())
    bodies = [client.get(f"/v1/clocks/{name}").body for name in args.clocks]
    body = bodies[0] if len(bodies) == 1 else {"clocks": bodies} if bodies else client.get("/v1/clocks").body
    try:
        states = [state_from_wire(clock) for clock in bodies or body["clocks"]]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"the server at {args.url} is not clocksvc") from error
    if args.json:
        print_json(body)
        return 0
    show_table([_HEAD, *(_row(state) for state in states)])
    for state in states:
        show_wrapped(*_notes(state))
    if not args.clocks:
        normal = "On a healthy clock it is at most two intervals plus max_out_of_orderness."
        show_wrapped("", f"BEHIND is the age of the last tick. {normal}")
    else:
        for state in states:
            if len(states) > 1:
                show("")
                show(f"{state.clock}:")
            _print_details(client, state)
    return 0


def hold_lines(state: PublicState) -> list[str]:
    """Return the reason of a clock's hold, its detail, its partitions and overdue heartbeats. It must have a hold."""
    assert state.hold is not None
    since = "" if state.hold_since_ms is None else f" No tick since {to_rfc3339(state.hold_since_ms)}."
    lines = [f"{state.clock}: {reason_text(state.hold.reason)}.{since}"]
    if state.hold.detail:
        lines.append(f"  {_sentence(state.hold.detail, state.topics)}")
    named = state.hold.partitions_text()
    if named:
        lines.append(f"  Partitions: {named}.")
    return lines + _heartbeat_lines(state)


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
    return [f"  Last complete round of heartbeats {_seconds_of(last_ms)}, {ago} ago. {due}"]


def _notes(state: PublicState) -> Iterator[str]:
    """Yield what the table does not say about a clock: its hold, its catch-up, rejected reports and overrides."""
    shown_as_pause = state.hold is not None and state.hold.reason is Reason.PAUSED and state.pause is not None
    if state.hold is not None and not shown_as_pause:
        yield from hold_lines(state)
    elif state.partitions is not None and state.partitions.rejected:
        yield (
            f"{state.clock}: the newest reports of {state.partitions.rejected} partitions were rejected. The logs of "
            "the consumers name the cause."
        )
    if state.status is Status.CATCHING_UP and state.due_ticks:
        yield f"{state.clock}: catches up, {state.due_ticks:,} ticks are due."
    yield from schedules_notes(state)
    yield from override_lines(state.clock, state.exclusions, state.pause, state.last_tick)


def _print_details(client: ServiceClient, state: PublicState) -> None:
    """Print the normal delay, the schedules, the slowest and the excluded partitions, and the recent holds of one
    clock."""
    if state.max_out_of_orderness_ms is not None:
        normal_ms = 2 * state.interval_ms + state.max_out_of_orderness_ms
        show_wrapped(
            "",
            f"BEHIND is the age of the last tick. Up to {describe_duration(normal_ms)} is normal for this clock: two "
            "intervals plus max_out_of_orderness.",
        )
    if state.schedules is not None:
        show("")
        show_table(schedules_table(state.schedules))
    _print_partitions("SLOWEST", state.slowest)
    _print_partitions("EXCLUDED", _excluded(client, state))
    history = _recent_holds(client, state.clock)
    if history is not None:
        show("")
        _print_history(history)


def _excluded(client: ServiceClient, state: PublicState) -> list[PublicPartition]:
    """Return the states of the excluded partitions; only those read so far if the service has an error."""
    path, found = f"/v1/clocks/{state.clock}/partitions", []
    for topic, number in (exclusion.partition for exclusion in state.exclusions):
        before = str(Partition(topic, number - 1)) if number else None
        try:
            page = client.get(path, {"topic": topic, "after": before, "limit": 1}).body["partitions"]
        except ServiceUnavailable:
            break
        found += [one for one in map(public_partition_from_wire, page) if one.partition.number == number]
    return found


def _recent_holds(client: ServiceClient, clock: str) -> HoldHistory | None:
    """Return the newest holds of a clock; None if the store does not answer."""
    try:
        return hold_history_from_wire(client.get(f"/v1/clocks/{clock}/holds", {"limit": _RECENT_HOLDS}).body)
    except ServiceUnavailable:
        return None


def _print_history(history: HoldHistory) -> None:
    since = "" if history.kept_since_ms is None else f" since {_seconds_of(history.kept_since_ms)}"
    if not history.holds:
        show(f"No holds{since}.")
        return
    older = "" if history.next_before_ms is None else f", the newest {len(history.holds)}"
    show(f"Holds{since}{older}:")
    show_table([("BEGAN", "LASTED", "REASON"), *map(_hold_row, history.holds)])


def _hold_row(past: PastHold) -> tuple[str, ...]:
    lasted = "until now" if past.ended_ms is None else describe_duration(past.ended_ms - past.began_ms)
    named = name_first(past.hold.partitions)
    return _seconds_of(past.began_ms), lasted, reason_text(past.hold.reason) + (f": {named}" if named else "")


def _print_partitions(kind: str, partitions: Sequence[PublicPartition]) -> None:
    if partitions:
        head = (kind, "TIME", "BEHIND", "LAST REPORT", "REJECTED")
        show("")
        show_table([head, *map(_partition_row, partitions)])


def _row(state: PublicState) -> tuple[str, ...]:
    counts = state.partitions
    partitions = "-" if counts is None else f"{counts.known}/{counts.known + counts.unknown}"
    if counts is not None and counts.excluded:
        partitions += f" ({counts.excluded} excluded)"
    return (
        state.clock,
        "no tick yet" if state.last_tick is None else to_rfc3339(state.last_tick.at_ms),
        str(state.status),
        _duration(state.behind_ms),
        partitions,
        "-" if counts is None else str(counts.rejected),
        state.leader or "-",
    )


def _partition_row(partition: PublicPartition) -> tuple[str, ...]:
    return (
        str(partition.partition),
        "no report yet" if partition.clock_ms is None else _seconds_of(partition.clock_ms),
        _duration(partition.behind_ms),
        "-" if partition.reported_at_ms is None else _seconds_of(partition.reported_at_ms),
        "-" if partition.rejected is None else outcome_text(partition.rejected),
    )


def _duration(duration_ms: int | None) -> str:
    return "-" if duration_ms is None else describe_duration(duration_ms)


def _seconds_of(at_ms: int) -> str:
    return to_rfc3339(at_ms // 1000 * 1000)


def _sentence(detail: str, topics: Sequence[str]) -> str:
    """Return a detail as a sentence. A topic's name at its beginning is not changed."""
    named = any(detail.startswith(topic) for topic in topics)
    begin = detail[:1] if named else detail[:1].upper()
    return begin + detail[1:] + ("" if detail.endswith((".", "!", "?", ":")) else ".")
