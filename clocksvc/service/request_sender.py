"""Sends a request to a clock's leader: writes the request to the store, and waits for the leader's result.

Any process can send a request, even if it does not lead the clock. If no result arrives and the leader may have made
the change, the outcome is not known.
"""

import threading
import uuid
from collections.abc import Callable
from typing import Protocol

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind, RequestResult
from clocksvc.errors import OutcomeUnknown, RequestNotDone, StoreUnavailable
from clocksvc.interfaces.requests import Requests
from clocksvc.interfaces.time import SystemTime

EXTRA_WAIT_S = 5.0
"""How much longer to wait for the result after a request has expired. This is needed if the leader has read the request
before it expired."""
_POLL_EVERY_S = 0.05


class _RequestStore(Requests, Protocol):
    def now_ms(self) -> int:
        """Return the time of the store's own clock."""


def make_request(
    store: _RequestStore,
    kind: RequestKind,
    by: str,
    reason: str,
    *,
    expires_ms: int,
    partition: Partition | None = None,
    last_tick_ms: int | None = None,
    skip_ticks: bool = False,
) -> Request:
    """Return a request that expires after `expires_ms`, by the store's clock. It is not submitted yet.

    Raises:
        InvalidValue: the reason is not valid.
        StoreUnavailable: the store does not answer.
    """
    now_ms = store.now_ms()
    what = (partition, last_tick_ms, skip_ticks)
    return Request(uuid.uuid4().hex, kind, by, now_ms, reason.strip(), now_ms + expires_ms, *what)


def send_request(store: Requests, request: Request, is_cancelled: Callable[[], str] = lambda: "") -> RequestResult:
    """Submit a request, and wait for the leader's result. Blocks until the request expires, and 5 s longer at most.

    Args:
        is_cancelled: is called about 20 times a second. It returns the reason why the caller does not want to wait
            until the request expires; "" otherwise.

    Raises:
        RequestNotDone: the request was not submitted, or was cancelled before a leader read it.
        OutcomeUnknown: no result arrived. A leader may have executed the request, or may still execute it.
    """
    _submit(store, request)
    result, error = _poll(store, request, (request.expires_ms - request.at_ms) / 1000, is_cancelled)
    if result is not None:
        return result
    if _cancel(store, request):
        raise RequestNotDone(is_cancelled() or f"the leader did not answer{error}")
    result, _ = _poll(store, request, EXTRA_WAIT_S, lambda: "")
    if result is None:
        raise OutcomeUnknown
    return result


def _submit(store: Requests, request: Request) -> None:
    try:
        submitted = store.submit_request(request)
    except StoreUnavailable as error:
        if _cancel(store, request):
            raise RequestNotDone(str(error)) from error
        raise OutcomeUnknown from error
    if not submitted:
        raise RequestNotDone("too many requests wait for the leader")


def _poll(
    store: Requests, request: Request, seconds: float, is_cancelled: Callable[[], str]
) -> tuple[RequestResult | None, str]:
    """Return the result, or None and the last error of the store as text."""
    now, pause, store_error = SystemTime().monotonic, threading.Event(), ""
    deadline = now() + seconds
    while now() < deadline and not is_cancelled():
        try:
            result = store.read_request_result(request.id)
        except StoreUnavailable as error:
            store_error = f": {error}"
        else:
            store_error = ""
            if result is not None:
                return result, ""
        pause.wait(_POLL_EVERY_S)
    return None, store_error


def _cancel(store: Requests, request: Request) -> bool:
    try:
        return store.cancel_request(request.id)
    except StoreUnavailable:
        return False
