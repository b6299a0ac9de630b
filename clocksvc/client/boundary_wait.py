"""What a wait for a time does with its requests. No I/O, no reading of time.

`wait` and `aio` send the requests and pass the outcomes. Callers start jobs when a wait ends, so a wait ends only with
a valid tick of this clock, at or after the time.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from clocksvc.client.exchange import Params, Request, ServiceResponse
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import InvalidValue, RequestRejected, ServiceUnavailable
from clocksvc.runtime.backoff import CONNECTION, Backoff

Moment = datetime | str | int | float
"""A point in time: an aware datetime, RFC 3339 with an offset, or epoch seconds."""

REQUEST_WAIT_S = 25.0
"""The longest wait of a single request. It is short because proxies often end requests after a minute or less."""
RESPONSE_GRACE_S = 10.0
"""A request may take this much longer than the wait that it asks for."""

_WAITED_S = 1.0
"""If a request takes longer than this, the service has waited. After a faster request, the loop backs off."""
_NOT_REACHED = "clock-not-reached"
_SHOWN = 200
"""The largest number of characters of a wrong answer in an error text."""


class Retry(NamedTuple):
    """The next request is due after `delay_s` seconds, because of this outcome of the last one."""

    delay_s: float
    outcome: ServiceResponse | ServiceUnavailable


class BoundaryWait:
    """One wait. For each request, `request` is called first, then `answered` or `failed`. Not thread-safe.

    Args:
        clock: the name of the clock.
        until_ms: the time to wait for, in milliseconds since the epoch.
        timeout_s: the longest wait in seconds. 0 sends a single request; None waits without a limit.
        now: the time of the call in monotonic seconds, as in all methods.
    """

    def __init__(self, clock: str, until_ms: int, timeout_s: float | None, now: float) -> None:
        self._clock, self._until_ms = clock, until_ms
        self._deadline = float("inf") if timeout_s is None else now + timeout_s
        self._requested_at = now
        self._path = f"/v1/clocks/{clock}/wait"
        self._backoff = Backoff(CONNECTION)

    def request(self, now: float) -> Request:
        """Return the next request, which asks the service to wait for at most 25 s."""
        self._requested_at = now
        wait_s = min(REQUEST_WAIT_S, max(0.0, self._deadline - now))
        params: Params = {"until": to_rfc3339(self._until_ms), "timeout": round(wait_s, 3)}
        return Request("GET", self._path, params, timeout_s=wait_s + RESPONSE_GRACE_S, accept=(409,))

    def answered(self, response: ServiceResponse, now: float) -> ServiceResponse | Retry:
        """Return the result of the wait, or when the next request is due.

        The result is a response with status 200 and the tick; or, after the timeout, one with status 409 and the state
        of the clock.

        Raises:
            RequestRejected: the service rejects the request.
            ServiceUnavailable: the timeout is over, and the response is one of another server, such as a proxy's page
                with status 200.
        """
        if response.status == 409:
            if not str(response.body.get("type")).endswith(_NOT_REACHED):
                raise RequestRejected(f"{self._path}: {response.body.get('detail', 'status 409')}")
            if now >= self._deadline:
                return response
            if now - self._requested_at > _WAITED_S:
                self._backoff.reset()
                return Retry(0.0, response)
            return self._retry(response, now)
        if _is_reached(response.body, self._clock, self._until_ms):
            return response
        error = ServiceUnavailable(
            f"{self._path}: the server is not clocksvc; wanted a tick of clock {self._clock!r} at "
            f"{to_rfc3339(self._until_ms)} or later, but got status {response.status} with {_shown(response.body)}"
        )
        return self.failed(error, now)

    def failed(self, error: ServiceUnavailable, now: float) -> Retry:
        """Return when the next request is due.

        Raises:
            ServiceUnavailable: the timeout is over. This is the error that was passed.
        """
        if now >= self._deadline:
            raise error
        return self._retry(error, now)

    def _retry(self, outcome: ServiceResponse | ServiceUnavailable, now: float) -> Retry:
        return Retry(max(0.0, min(self._backoff.next(), self._deadline - now)), outcome)


def wait_of(clock: str, until: Moment, timeout_s: float | None, now: float) -> BoundaryWait:
    """Return the wait for the arguments of `clocksvc.wait_until`.

    Raises:
        InvalidValue: an argument is not valid.
    """
    check_clock_name("clock", clock)
    until_ms = moment_ms("until", until, round_up=True)
    if timeout_s is not None and not timeout_s >= 0:
        raise InvalidValue("timeout", timeout_s, "wanted seconds, zero or more, or None")
    return BoundaryWait(clock, until_ms, timeout_s, now)


def moment_ms(field: str, moment: Moment, *, round_up: bool = False) -> int:
    """Return a moment as milliseconds since the epoch.

    Raises:
        InvalidValue: the moment is not valid. The error contains `field`.
    """
    if isinstance(moment, bool) or not isinstance(moment, datetime | str | int | float):
        raise InvalidValue(field, moment, "wanted a datetime with a time zone, RFC 3339, or epoch seconds")
    return parse_timestamp(field, moment, round_up=round_up)


def _is_reached(body: Mapping[str, Any], clock: str, until_ms: int) -> bool:
    try:
        tick = Tick.from_wire(body)
    except (KeyError, TypeError, ValueError):
        return False
    return tick.clock == clock and tick.at_ms >= until_ms


def _shown(body: Mapping[str, Any]) -> str:
    text = json.dumps(body) if body else "no JSON object"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
