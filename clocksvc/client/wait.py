"""Waits until a clock has reached a time. `wait_until` and `clocksvc wait` share the loop in this module.

Callers start jobs when a wait ends, so a wait ends only with a valid tick of this clock, at or after the time.
"""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from clocksvc.client.http import Params, ServiceClient, ServiceResponse
from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import InvalidValue, RequestRejected, ServiceUnavailable
from clocksvc.interfaces.time import SystemTime
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
_TIME = SystemTime()


def wait_until(url: str, clock: str, until: Moment, timeout: float | None = None, token: str | None = None) -> bool:
    """Wait until everything before a time has been processed.

    Blocks until the clock has a tick at or after `until`, or until the timeout is over. While the service is
    unavailable, requests are retried with back-offs of up to 5 s.

    Args:
        url: the address of the service: `http(s)://host:port`.
        clock: the name of the clock.
        until: the time: an aware datetime, RFC 3339 with an offset, or epoch seconds. It is rounded up to the
            millisecond.
        timeout: the longest wait in seconds. 0 sends a single request; None waits without a limit. The last request may
            end up to 10 s after the timeout.
        token: an API token with the scope `read`, if the service requires one.

    Returns:
        True if the clock has reached `until`; False if it has not reached `until` before the timeout.

    Raises:
        ServiceUnavailable: the timeout is over and the last request failed, so the state of the clock is not known.
        UnknownClock: the service has no such clock. Raised at once.
        RequestRejected: the service rejects the request, for example because of the token. Raised at once.
        InvalidValue: an argument is not valid.
    """
    check_clock_name("clock", clock)
    until_ms = moment_ms("until", until, round_up=True)
    if timeout is not None and not timeout >= 0:
        raise InvalidValue("timeout", timeout, "wanted seconds, zero or more, or None")
    client = ServiceClient(url, token)
    try:
        return wait_for_boundary(client, clock, until_ms, timeout).status != 409
    finally:
        client.close()


def wait_for_boundary(
    client: ServiceClient,
    clock: str,
    until_ms: int,
    timeout_s: float | None,
    on_retry: Callable[[ServiceResponse | ServiceUnavailable], None] = lambda outcome: None,
) -> ServiceResponse:
    """Send requests until the clock has reached a time or the timeout is over. Blocks during this time.

    Args:
        timeout_s: the longest wait in seconds. 0 sends a single request; None waits without a limit.
        on_retry: a function that is called with the outcome of each request before the next request is sent.

    Returns:
        A response with status 200 and the tick; or, after the timeout, one with status 409 and the state of the clock.

    Raises:
        ServiceUnavailable: the last request before the end of the timeout failed.
        UnknownClock, RequestRejected: as for `request_wait`. They are raised at once.
    """
    deadline = float("inf") if timeout_s is None else _TIME.monotonic() + timeout_s
    backoff = Backoff(CONNECTION)
    while True:
        started_at = _TIME.monotonic()
        outcome: ServiceResponse | ServiceUnavailable
        try:
            outcome = request_wait(client, clock, until_ms, min(REQUEST_WAIT_S, max(0.0, deadline - started_at)))
            if outcome.status != 409:
                return outcome
        except ServiceUnavailable as error:
            outcome = error
        now = _TIME.monotonic()
        if now >= deadline:
            if isinstance(outcome, ServiceUnavailable):
                raise outcome
            return outcome
        on_retry(outcome)
        if isinstance(outcome, ServiceResponse) and now - started_at > _WAITED_S:
            backoff.reset()
        else:
            time.sleep(max(0.0, min(backoff.next(), deadline - now)))


def request_wait(client: ServiceClient, clock: str, until_ms: int, timeout_s: float) -> ServiceResponse:
    """Send one request to the service's `/wait`. Blocks for at most `timeout_s` plus 10 s.

    Returns:
        A response with status 200 and the tick; or, after `timeout_s`, one with status 409, the state of the clock, and
        the partitions because of which the clock holds.

    Raises:
        ServiceUnavailable: no response, or a response of another server, such as a proxy's page with status 200.
        UnknownClock: the service has no such clock.
        RequestRejected: the service rejects the request.
    """
    path, until = f"/v1/clocks/{clock}/wait", to_rfc3339(until_ms)
    params: Params = {"until": until, "timeout": round(timeout_s, 3)}
    response = client.get(path, params, timeout_s=timeout_s + RESPONSE_GRACE_S, accept=(409,))
    if response.status == 409:
        if not str(response.body.get("type")).endswith(_NOT_REACHED):
            raise RequestRejected(f"{path}: {response.body.get('detail', 'status 409')}")
    elif not _is_reached(response.body, clock, until_ms):
        raise ServiceUnavailable(
            f"{path}: the server is not clocksvc; wanted a tick of clock {clock!r} at {until} or later, but got "
            f"status {response.status} with {_shown(response.body)}"
        )
    return response


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
