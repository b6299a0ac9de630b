"""`clocksvc status`: asks a service for the state of its clocks, and prints it."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clocksvc.cli.clock_list import (
    PAGE_SIZE,
    WORST,
    add_list_arguments,
    clock_pages,
    matching,
    nothing_found,
    print_pages,
    summary,
)
from clocksvc.cli.clock_notes import all_notes
from clocksvc.cli.console import add_json, add_url, print_json, service_token, show, show_table, show_wrapped
from clocksvc.cli.pipeline_status import observed_partitions_table, pipeline_table, stage_to_blame
from clocksvc.cli.schedules_status import schedules_table
from clocksvc.cli.words import outcome_text, reason_text
from clocksvc.client.http import ServiceClient
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import Source, check_clock_name
from clocksvc.clock.time_format import describe_duration, to_rfc3339
from clocksvc.errors import ServiceUnavailable
from clocksvc.interfaces.hold_history import HoldHistory, PastHold
from clocksvc.service.hold_history import hold_history_from_wire
from clocksvc.service.pipeline import pipeline_from_wire
from clocksvc.service.public_state import PublicPartition, PublicState, public_partition_from_wire, state_from_wire

_HEAD = ("CLOCK", "TIME", "STATUS", "BEHIND", "PARTITIONS", "REJECTED", "LEADER")
_RECENT_HOLDS = 10
_NORMAL_OBSERVED = (
    "Normal for this clock are up to two intervals plus max_out_of_orderness, drain_delay, poll, and the time between "
    "two commits of the group."
)
_NORMAL_AFTER_OTHERS = (
    "Normal for this clock are up to two intervals, and for each stage poll, 2 s, and the time between two commits of "
    "its group."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: service, clock and output format."""
    add_url(parser)
    parser.add_argument(
        "clocks",
        nargs="*",
        metavar="CLOCK",
        help="show these clocks, each with its slowest and its excluded partitions, and its holds of the last 7 days",
    )
    add_list_arguments(parser)
    add_json(parser, "the answer of the service (all pages of the list, or several named clocks, in one object)")
    parser.set_defaults(usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Print the named clocks, or a list of clocks, and return the exit code 0. Each request blocks for some seconds."""
    if args.clocks and (args.all or args.status or args.search):
        args.usage_error("--all, --status and --search are for the list of clocks, without CLOCK")
    for name in args.clocks:
        check_clock_name("CLOCK", name)
    client = ServiceClient(args.url, service_token())
    (_show_named if args.clocks else _show_list)(client, args)
    return 0


@contextmanager
def _clocksvc_expected(url: str) -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServiceUnavailable(f"the server at {url} is not clocksvc") from error


def _show_named(client: ServiceClient, args: argparse.Namespace) -> None:
    bodies = [client.get(f"/v1/clocks/{name}").body for name in args.clocks]
    with _clocksvc_expected(args.url):
        states = [state_from_wire(body) for body in bodies]
    if args.json:
        print_json(bodies[0] if len(bodies) == 1 else {"clocks": bodies})
        return
    _show_table(states)
    for state in states:
        if len(states) > 1:
            show("")
            show(f"{state.clock}:")
        _print_details(client, state)


def _show_list(client: ServiceClient, args: argparse.Namespace) -> None:
    with _clocksvc_expected(args.url):
        if args.json:
            print_pages(clock_pages(client, args, "name", PAGE_SIZE))
            return
        pages = clock_pages(client, args, "worst", PAGE_SIZE if args.all else WORST)
        listed = list(pages) if args.all else [next(pages)]
        states = [state_from_wire(clock) for page in listed for clock in page["clocks"]]
        counts = listed[0]["counts"]
    if len(states) < sum(counts.values()) or len(states) > WORST:
        show_wrapped(f"{summary(counts)}.", "")
    if not states:
        show_wrapped(f"{nothing_found(args)}.")
        return
    _show_table(states)
    normal = (
        "On a healthy clock it is at most two intervals plus max_out_of_orderness; with source committed also plus "
        "drain_delay, poll, and the time between two commits."
    )
    show_wrapped("", f"BEHIND is the age of the last tick. {normal}")
    more = matching(counts, args.status) - len(states)
    if more > 0:
        show_wrapped(f"{more:,} more clocks, which are no worse: see --all, --status and --search.")


def _show_table(states: Sequence[PublicState]) -> None:
    show_table([_HEAD, *map(_row, states)])
    show_wrapped(*all_notes(states))


def _print_details(client: ServiceClient, state: PublicState) -> None:
    """Print the normal delay, the pipeline, the schedules, the slowest and the excluded partitions, and the recent
    holds of one clock."""
    if state.source == Source.COMMITTED:
        normal = _NORMAL_AFTER_OTHERS if state.after else _NORMAL_OBSERVED
        show_wrapped("", f"BEHIND is the age of the last tick. {normal}")
    elif state.max_out_of_orderness_ms is not None:
        normal_ms = 2 * state.interval_ms + state.max_out_of_orderness_ms
        show_wrapped(
            "",
            f"BEHIND is the age of the last tick. Up to {describe_duration(normal_ms)} is normal for this clock: two "
            "intervals plus max_out_of_orderness.",
        )
    _print_pipeline(client, state.clock)
    if state.schedules is not None:
        show("")
        show_table(schedules_table(state.schedules))
    observed = state.source == Source.COMMITTED
    _print_partitions("SLOWEST", state.slowest, observed)
    _print_partitions("EXCLUDED", _excluded(client, state), observed)
    history = _recent_holds(client, state.clock)
    if history is not None:
        show("")
        _print_history(history)


def _print_pipeline(client: ServiceClient, clock: str) -> None:
    """Print the stages before and after a clock. A clock without other stages has no pipeline."""
    try:
        pipeline = pipeline_from_wire(client.get(f"/v1/clocks/{clock}/pipeline").body)
    except ServiceUnavailable:
        return
    if len(pipeline.stages) > 1:
        show("")
        show_table(pipeline_table(pipeline))
        if pipeline.more:
            show(f"{pipeline.more} more stages are not shown.")


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
    named = name_first(past.hold.partitions) or stage_to_blame(past.hold)
    return _seconds_of(past.began_ms), lasted, reason_text(past.hold.reason) + (f": {named}" if named else "")


def _print_partitions(kind: str, partitions: Sequence[PublicPartition], observed: bool) -> None:
    if not partitions:
        return
    show("")
    if observed:
        show_table(observed_partitions_table(kind, partitions))
    else:
        head = (kind, "TIME", "BEHIND", "LAST REPORT", "REJECTED")
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
