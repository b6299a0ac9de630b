"""`clocksvc exclude`, `include`, `pause` and `resume`: send one request to a service, and print the overrides."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from clocksvc.cli.console import add_json, add_url, print_json, service_token, show
from clocksvc.client.exchange import is_connection_refused
from clocksvc.client.http import ServiceClient
from clocksvc.clock.overrides import Exclusion, Pause, overrides_from_wire
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import check_reason
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ServiceUnavailable

TIMEOUT_S = 30.0
"""Longer than the service waits for the outcome of a request."""


@dataclass(frozen=True, slots=True)
class OverrideCommand:
    """One of the four commands.

    Attributes:
        description: the first sentences of the command's help.
        method, resource: the HTTP method, and the last part of the path.
        done: the text that is printed after success. `{partition}` in it is replaced.
        takes_partition: True if the command has the argument TOPIC:PARTITION.
    """

    description: str
    method: str
    resource: str
    done: str
    takes_partition: bool = False

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: service, clock, partition (for exclude and include), reason and output format."""
        parser.description = f"{self.description} Exit code 0: the change is committed to the tick log."
        add_url(parser)
        parser.add_argument("clock", metavar="CLOCK")
        if self.takes_partition:
            parser.add_argument("partition", metavar="TOPIC:PARTITION", help="such as ingest-checkins:3")
        parser.add_argument(
            "--reason", required=True, metavar="TEXT", help="why, in one line; it is kept in the tick log and shown"
        )
        add_json(parser, "the clock's exclusions and pause after the request")

    def run(self, args: argparse.Namespace) -> int:
        """Send the request, print the clock's resulting overrides, and return the exit code 0. Blocks for 30 s at most.

        Raises:
            InvalidValue: clock, partition or reason are not valid. No request was sent.
            RequestRejected, UnknownClock, ServiceUnavailable: depending on the answer of the service.
        """
        check_clock_name("CLOCK", args.clock)
        check_reason(args.reason)
        body: dict[str, Any] = {"reason": args.reason}
        done = self.done
        if self.takes_partition:
            topic, number = Partition.parse(args.partition)
            body |= {"topic": topic, "partition": number}
            done = done.format(partition=args.partition)
        answer = _send(
            ServiceClient(args.url, service_token()), self.method, f"/v1/clocks/{args.clock}/{self.resource}", body
        )
        try:
            exclusions, pause = overrides_from_wire(answer)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ServiceUnavailable(f"the server at {args.url} is not clocksvc") from error
        if args.json:
            print_json(answer)
            return 0
        show(f"{args.clock}: {done}")
        for line in override_lines(args.clock, exclusions, pause):
            show(line)
        return 0


EXCLUDE = OverrideCommand(
    "Exclude a partition: ticks no longer wait for it, and each tick lists it. Records that were not processed there "
    "may be missing from what these ticks promise.",
    "POST",
    "exclusions",
    "ticks no longer wait for {partition}",
    takes_partition=True,
)
INCLUDE = OverrideCommand(
    "Include an excluded partition again. The clock never goes back: it holds until the partition has caught up.",
    "DELETE",
    "exclusions",
    "ticks wait for {partition}",
    takes_partition=True,
)
PAUSE = OverrideCommand(
    "Pause a clock: it publishes no ticks until it is resumed. Then all ticks that became due in the meantime follow, "
    "each once and in order.",
    "POST",
    "pause",
    "no tick comes until it is resumed",
)
RESUME = OverrideCommand("Resume a paused clock.", "POST", "resume", "not paused")


def override_lines(
    clock: str, exclusions: Iterable[Exclusion], pause: Pause | None, last_tick: Tick | None = None
) -> Iterator[str]:
    """Yield one line for the clock's pause and one for each exclusion, with the user, the time and the reason."""
    if pause is not None:
        at = "" if last_tick is None else f" (last tick {to_rfc3339(last_tick.at_ms)})"
        yield f"{clock}: paused {_audit_text(pause)}{at}"
    for exclusion in exclusions:
        yield f"{clock}: {exclusion.partition} excluded {_audit_text(exclusion)}"


def _audit_text(override: Exclusion | Pause) -> str:
    return f"by {override.by} at {to_rfc3339(override.at_ms)}: {override.reason}"


def _send(client: ServiceClient, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        return client.send(method, path, body, timeout_s=TIMEOUT_S)
    except ServiceUnavailable as error:
        if error.__cause__ is None or is_connection_refused(error):
            raise  # the service's answer contains the outcome; if there is no service, nothing has changed
        raise ServiceUnavailable(
            f"{error}: the outcome is unknown. Check it with `clocksvc status`, or run the command again, which is safe"
        ) from error
