"""`clocksvc status`: prints the state of the clocks, as a service reports it."""

import argparse
from typing import Any

from clocksvc.cli.console import add_json, add_url, columns, print_json, service_token
from clocksvc.cli.override_commands import override_lines
from clocksvc.client.http import ServiceClient
from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import ServiceUnavailable

NAMED = 5
_HEAD = ("CLOCK", "TIME", "STATUS", "BEHIND", "PARTITIONS", "LEADER")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add service and clock."""
    add_url(parser)
    parser.add_argument(
        "clock", nargs="?", metavar="CLOCK", help="show one clock, with its slowest and its excluded partitions"
    )
    add_json(parser, "the answer of the service")


def run(args: argparse.Namespace) -> int:
    """Ask the service once and print the answer."""
    if args.clock is not None:
        check_clock_name("CLOCK", args.clock)
    client = ServiceClient(args.url, service_token())
    body = client.get("/v1/clocks" if args.clock is None else f"/v1/clocks/{args.clock}").body
    clocks = body.get("clocks") if args.clock is None else [body]
    if clocks is None or any("status" not in clock for clock in clocks):
        raise ServiceUnavailable(f"what answers at {args.url} is no clocksvc")
    if args.json:
        print_json(body)
        return 0
    print(columns([_HEAD, *(_row(clock) for clock in clocks)]))
    for clock in clocks:
        if clock["hold"] is not None and not _is_shown_as_pause(clock):
            print(hold_text(clock))
        for line in override_lines(clock):
            print(line)
    if args.clock is not None:
        _print_partitions("SLOWEST", body["slowest"])
        _print_partitions("EXCLUDED", _excluded(client, body))
    return 0


def _is_shown_as_pause(clock: dict[str, Any]) -> bool:
    return clock["hold"]["reason"] == "paused" and clock.get("pause") is not None


def _excluded(client: ServiceClient, clock: dict[str, Any]) -> list[dict[str, Any]]:
    """The partition clocks of the excluded partitions; empty while the store can't be reached."""
    path, found = f"/v1/clocks/{clock['clock']}/partitions", []
    for topic, number in ((each["topic"], each["partition"]) for each in clock.get("exclusions") or ()):
        before = f"{topic}:{number - 1}" if number else None
        try:
            page = client.get(path, {"topic": topic, "after": before, "limit": 1}).body["partitions"]
        except ServiceUnavailable:
            break
        found += [one for one in page if one["partition"] == number]
    return found


def _print_partitions(kind: str, partitions: list[dict[str, Any]]) -> None:
    if partitions:
        print(f"\n{columns([(kind, 'TIME', 'BEHIND', 'REPORTED'), *map(_partition_row, partitions)])}")


def hold_text(clock: dict[str, Any]) -> str:
    """Why a clock holds, since when, and for which partitions."""
    hold = clock["hold"]
    since = f" since {hold['since']}" if hold["since"] else ""
    detail = f": {hold['detail']}" if hold.get("detail") else ""
    named = [f"{partition['topic']}:{partition['partition']}" for partition in hold["partitions"]]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    partitions = f" ({', '.join(named[:NAMED])}{more})" if named else ""
    return f"{clock['clock']}: {hold['reason']}{since}{detail}{partitions}"


def _row(clock: dict[str, Any]) -> tuple[str, ...]:
    numbers = clock["partitions"]
    known = numbers["known"]
    partitions = "-" if known is None else f"{known}/{known + numbers['unknown']}"
    if numbers["excluded"]:
        partitions += f" ({numbers['excluded']} excluded)"
    return (
        clock["clock"],
        clock["time"] or "-",
        clock["status"],
        _seconds(clock["behind_seconds"]),
        partitions,
        clock["leader"] or "-",
    )


def _partition_row(partition: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{partition['topic']}:{partition['partition']}",
        partition["time"] or "unknown",
        _seconds(partition["behind_seconds"]),
        partition["reported_at"] or "never",
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
