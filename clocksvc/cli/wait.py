"""`clocksvc wait`: waits until a clock has reached a time. Use: `clocksvc wait … && job`."""

import argparse

from clocksvc.cli.console import add_json, add_url, duration_ms, error_text, note, print_json, service_token, show
from clocksvc.client.exchange import ServiceResponse
from clocksvc.client.http import ServiceClient
from clocksvc.client.wait import wait_for_boundary
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import ServiceUnavailable

REACHED, NOT_REACHED = 0, 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: service, clock, time, time-out and output format."""
    parser.description = (
        "Wait until everything before T has been processed. Exit code 0: T is reached. 3: T is not reached within the "
        "time-out. 1: an error, such as an unknown clock, or no answer from the service at the end of the time-out. "
        "While the clock holds, the reason is printed to stderr."
    )
    add_url(parser)
    parser.add_argument("clock", metavar="CLOCK")
    parser.add_argument("--until", required=True, metavar="T", help="RFC 3339 or epoch seconds")
    parser.add_argument(
        "--timeout", metavar="TIME", help="such as 30s or 5m, or seconds; 0 asks once; default: no limit"
    )
    add_json(parser, "the tick that reached T, or the state of the clock that has not")


def run(args: argparse.Namespace) -> int:
    """Wait until the clock has reached the time or the time-out is over, and return the exit code."""
    check_clock_name("CLOCK", args.clock)
    until_ms = parse_timestamp("--until", args.until, round_up=True)
    timeout_s = None if args.timeout is None else duration_ms("--timeout", args.timeout) / 1000
    client = ServiceClient(args.url, service_token())
    notes = _WaitNotes()
    answer = wait_for_boundary(client, args.clock, until_ms, timeout_s, notes.print)
    reached = answer.status != 409
    if args.json:
        print_json(answer.body)
    elif reached:
        show(f"{args.clock}: everything before {to_rfc3339(until_ms)} is processed (tick {answer.body['time']})")
    else:
        notes.print_end(answer)
    return REACHED if reached else NOT_REACHED


class _WaitNotes:
    """Prints to stderr why the command still waits. Prints only if the reason has changed."""

    def __init__(self) -> None:
        self._printed: object = None
        self._printed_detail = ""

    def print(self, outcome: ServiceResponse | ServiceUnavailable) -> None:
        """Print the outcome of a request that did not end the wait."""
        if isinstance(outcome, ServiceUnavailable):
            reason: object = "unavailable"
            text = f"{error_text(outcome)}; trying again"
        else:
            state = outcome.body["state"]
            reason = state["status"], None if state["hold"] is None else state["hold"]["reason"]
            text = f"waiting: {outcome.body['detail']}"
        if reason != self._printed:
            self._printed = reason
            self._printed_detail = "" if isinstance(outcome, ServiceUnavailable) else outcome.body["detail"]
            note(f"clocksvc wait: {text}")

    def print_end(self, answer: ServiceResponse) -> None:
        """Print why the time was not reached; a detail that was printed is not repeated."""
        detail = answer.body["detail"]
        note(f"clocksvc wait: {'the timeout is over' if detail == self._printed_detail else detail}")
