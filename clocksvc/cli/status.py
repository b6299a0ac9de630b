"""`clocksvc status`: asks a service for the state of its clocks, and prints it."""

import argparse
from collections.abc import Sequence

from clocksvc.cli.console import add_json, add_url, columns, print_json, service_token, show
from clocksvc.cli.override_commands import override_lines
from clocksvc.client.http import ServiceClient
from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ServiceUnavailable
from clocksvc.service.public_state import PublicPartition, PublicState, public_partition_from_wire, state_from_wire

_HEAD = ("CLOCK", "TIME", "STATUS", "BEHIND", "PARTITIONS", "LEADER")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: service, clock and output format."""
    add_url(parser)
    parser.add_argument(
        "clock", nargs="?", metavar="CLOCK", help="show one clock, with its slowest and its excluded partitions"
    )
    add_json(parser, "the answer of the service")


def run(args: argparse.Namespace) -> int:
    """Ask the service once, print the answer, and return the exit code 0."""
    if args.clock is not None:
        check_clock_name("CLOCK", args.clock)
    client = ServiceClient(args.url, service_token())
    body = client.get("/v1/clocks" if args.clock is None else f"/v1/clocks/{args.clock}").body
    try:
        states = [state_from_wire(clock) for clock in (body["clocks"] if args.clock is None else [body])]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"the server at {args.url} is not clocksvc") from error
    if args.json:
        print_json(body)
        return 0
    show(*columns([_HEAD, *(_row(state) for state in states)]))
    for state in states:
        shown_as_pause = state.hold is not None and state.hold.reason is Reason.PAUSED and state.pause is not None
        if state.hold is not None and not shown_as_pause:
            show(hold_text(state))
        for line in override_lines(state.clock, state.exclusions, state.pause, state.last_tick):
            show(line)
    if args.clock is not None:
        (state,) = states
        _print_partitions("SLOWEST", state.slowest)
        _print_partitions("EXCLUDED", _excluded(client, state))
    return 0


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


def _print_partitions(kind: str, partitions: Sequence[PublicPartition]) -> None:
    if partitions:
        show("", *columns([(kind, "TIME", "BEHIND", "REPORTED"), *map(_partition_row, partitions)]))


def hold_text(state: PublicState) -> str:
    """Return the reason and begin of a clock's hold, and its partitions, as text. The state must have a hold."""
    assert state.hold is not None
    since = "" if state.hold_since_ms is None else f" since {to_rfc3339(state.hold_since_ms)}"
    detail = f": {state.hold.detail}" if state.hold.detail else ""
    named = name_first(state.hold.partitions)
    return f"{state.clock}: {state.hold.reason}{since}{detail}" + (f" ({named})" if named else "")


def _row(state: PublicState) -> tuple[str, ...]:
    counts = state.partitions
    partitions = "-" if counts is None else f"{counts.known}/{counts.known + counts.unknown}"
    if counts is not None and counts.excluded:
        partitions += f" ({counts.excluded} excluded)"
    return (
        state.clock,
        "-" if state.last_tick is None else to_rfc3339(state.last_tick.at_ms),
        str(state.status),
        _seconds(state.behind_ms),
        partitions,
        state.leader or "-",
    )


def _partition_row(partition: PublicPartition) -> tuple[str, ...]:
    return (
        str(partition.partition),
        "unknown" if partition.clock_ms is None else to_rfc3339(partition.clock_ms),
        _seconds(partition.behind_ms),
        "never" if partition.reported_at_ms is None else to_rfc3339(partition.reported_at_ms),
    )


def _seconds(duration_ms: int | None) -> str:
    return "-" if duration_ms is None else f"{duration_ms / 1000:.1f} s"
