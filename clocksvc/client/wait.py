"""Waits until a clock has reached a time: `wait_until`, and the same for `clocksvc wait`. It blocks; `aio` is for
asyncio."""

import time
from collections.abc import Callable

from clocksvc.client.boundary_wait import BoundaryWait, Moment, Retry, wait_of
from clocksvc.client.exchange import ServiceResponse
from clocksvc.client.http import ServiceClient
from clocksvc.errors import ServiceUnavailable
from clocksvc.interfaces.time import SystemTime

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
    wait = wait_of(clock, until, timeout, _TIME.monotonic())
    client = ServiceClient(url, token)
    try:
        return _run(wait, client).status != 409
    finally:
        client.close()


def wait_for_boundary(
    client: ServiceClient,
    clock: str,
    until_ms: int,
    timeout_s: float | None,
    on_retry: Callable[[ServiceResponse | ServiceUnavailable], None],
) -> ServiceResponse:
    """Wait as `wait_until`, and return the last response. Blocks and raises as `wait_until`.

    Args:
        timeout_s: the longest wait in seconds. 0 sends a single request; None waits without a limit.
        on_retry: a function that is called with the outcome of each request before the next request is sent.

    Returns:
        A response with status 200 and the tick; or, after the timeout, one with status 409 and the state of the clock.
    """
    return _run(BoundaryWait(clock, until_ms, timeout_s, _TIME.monotonic()), client, on_retry)


def _run(
    wait: BoundaryWait,
    client: ServiceClient,
    on_retry: Callable[[ServiceResponse | ServiceUnavailable], None] = lambda outcome: None,
) -> ServiceResponse:
    while True:
        try:
            response = client.fetch(wait.request(_TIME.monotonic()))
        except ServiceUnavailable as error:
            next_step: ServiceResponse | Retry = wait.failed(error, _TIME.monotonic())
        else:
            next_step = wait.answered(response, _TIME.monotonic())
        if isinstance(next_step, ServiceResponse):
            return next_step
        on_retry(next_step.outcome)
        time.sleep(next_step.delay_s)
