"""What `exclude`, `include`, `pause` and `resume` share: one request to a service, and what is in force after it."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from clocksvc.cli.arguments import add_json, add_url, token
from clocksvc.cli.output import print_json
from clocksvc.client.http import (
    Client,
    nobody_answered,
)
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import check_reason
from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import ServiceUnavailable

TIMEOUT_S = 30.0
"""Longer than a service takes to know the outcome, or to know that it can't."""


def add_arguments(parser: argparse.ArgumentParser, *, partition: bool) -> None:
    """Which service, which clock, which partition where one is meant, and why."""
    add_url(parser)
    parser.add_argument("clock", metavar="CLOCK")
    if partition:
        parser.add_argument("partition", metavar="TOPIC:PARTITION", help="such as ingest-checkins:3")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, in one line: kept in the tick log, shown")
    add_json(parser, "what is excluded and paused then")


def ask(args: argparse.Namespace, method: str, resource: str, done: str) -> int:
    """Ask the service, and print what is in force: `done` is what to say of the clock.

    Raises:
        InvalidValue: nothing was asked: the clock, the partition or the reason can't be one.
        Refused, UnknownClock, ServiceUnavailable: as the service says.
    """
    check_clock_name("CLOCK", args.clock)
    check_reason(args.reason)
    body: dict[str, Any] = {"reason": args.reason}
    if "partition" in args:
        topic, number = Partition.parse(args.partition)
        body |= {"topic": topic, "partition": number}
    answer = _send(Client(args.url, token()), method, f"/v1/clocks/{args.clock}/{resource}", body)
    if "exclusions" not in answer:
        raise ServiceUnavailable(f"what answers at {args.url} is no clocksvc")
    if args.json:
        print_json(answer)
        return 0
    print(f"{args.clock}: {done}")
    for line in in_force(answer):
        print(line)
    return 0


def in_force(clock: Mapping[str, Any]) -> Iterator[str]:
    """A line for the clock's pause and for each of its exclusions: who, when, why."""
    name, pause = clock["clock"], clock.get("pause")
    if pause is not None:
        yield f"{name}: paused {_said(pause)}{_last_tick(clock)}"
    for exclusion in clock.get("exclusions") or ():
        yield f"{name}: {exclusion['topic']}:{exclusion['partition']} excluded {_said(exclusion)}"


def _last_tick(clock: Mapping[str, Any]) -> str:
    """Where the clock stands, if that was asked for: the answer to a request does not say it."""
    last = clock.get("last_tick")
    return "" if last is None else f" (last tick {last['time']})"


def _said(said: Mapping[str, Any]) -> str:
    return f"by {said['by']} at {said['at']}: {said['reason']}"


def _send(client: Client, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return client.send(method, path, body, timeout_s=TIMEOUT_S)
    except ServiceUnavailable as error:
        if error.__cause__ is None or nobody_answered(error):
            raise  # the service itself says whether anything can have changed; where there is none, nothing has
        raise ServiceUnavailable(
            f"{error}: whether it was done is not known: look with `clocksvc status`, or ask again, it is safe"
        ) from error
