"""`clocksvc wait`: ends when a clock has reached a time, for `clocksvc wait … && job`."""

import argparse
import threading
from typing import Any

from clocksvc.backoff import Backoff
from clocksvc.cli.console import add_json, add_url, duration_ms, error_text, note, print_json, service_token
from clocksvc.client.http import (
    ServiceClient,
    ServiceResponse,
)
from clocksvc.client.wait import request_wait
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import ServiceUnavailable
from clocksvc.interfaces.time import SystemTime

REACHED, NOT_REACHED = 0, 3
ASK_S = 25.0
"""How long one request waits: proxies on the way often end those of a minute."""
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add service, clock, time and time-out."""
    parser.description = (
        "Wait until everything before T has been processed. Exit code 0: it has. 3: not within the time-out. 1: an "
        "error, such as an unknown clock, or no answer from the service at the end of the time-out. While the clock "
        "holds, the reason is printed to stderr."
    )
    add_url(parser)
    parser.add_argument("clock", metavar="CLOCK")
    parser.add_argument("--until", required=True, metavar="T", help="RFC 3339 or epoch seconds")
    parser.add_argument(
        "--timeout", metavar="TIME", help="such as 30s or 5m, or seconds; 0 asks once; default: no limit"
    )
    add_json(parser, "the tick that reached T, or the state of the clock that has not")


def run(args: argparse.Namespace) -> int:
    """Ask until the clock is there, or the time is over."""
    check_clock_name("CLOCK", args.clock)
    until_ms = parse_timestamp("--until", args.until)
    timeout_s = None if args.timeout is None else duration_ms("--timeout", args.timeout) / 1000
    answer = _Waiting(ServiceClient(args.url, service_token()), args.clock, until_ms, timeout_s).answer()
    reached = answer.status != 409
    if args.json:
        print_json(answer.body)
    elif reached:
        print(f"{args.clock}: everything before {to_rfc3339(until_ms)} is processed (tick {answer.body['time']})")
    else:
        note(f"clocksvc wait: {answer.body['detail']}")
    return REACHED if reached else NOT_REACHED


class _Waiting:
    """One wait: asks again and again, and says once what it waits for."""

    def __init__(self, client: ServiceClient, clock: str, until_ms: int, timeout_s: float | None) -> None:
        self._client, self._clock, self._until_ms = client, clock, until_ms
        self._monotonic = SystemTime().monotonic
        self._deadline = float("inf") if timeout_s is None else self._monotonic() + timeout_s
        self._backoff = Backoff(FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S)
        self._said: object = None

    def answer(self) -> ServiceResponse:
        """200 with the tick, or 409 with the state when the time is over.

        Raises:
            ServiceUnavailable: nobody answers when the time is over.
            Refused, UnknownClock: as the service says, at once.
        """
        while True:
            try:
                timeout_s = min(ASK_S, max(0.0, self._left_s()))
                answer = request_wait(self._client, self._clock, self._until_ms, timeout_s)
            except ServiceUnavailable as error:
                if self._left_s() <= 0:
                    raise
                self._say("unavailable", f"{error_text(error)}; trying again")
                threading.Event().wait(max(0.0, min(self._backoff.next(), self._left_s())))
                continue
            if answer.status != 409 or self._left_s() <= 0:
                return answer
            self._backoff.reset()
            self._say(_why(answer.body), f"waiting: {answer.body['detail']}")

    def _left_s(self) -> float:
        return self._deadline - self._monotonic()

    def _say(self, what: object, text: str) -> None:
        if what != self._said:
            self._said = what
            note(f"clocksvc wait: {text}")


def _why(problem: dict[str, Any]) -> object:
    state = problem["state"]
    return state["status"], None if state["hold"] is None else state["hold"]["reason"]
