"""Requests of operators to a clock's leader. Any replica submits them; the leader commits their effect to the tick log.

The store can lose them at any time. A caller that gets no result does not know the outcome: see `clock/request.py`.

An implementation serves one clock. Each method is atomic, can be called from any thread, and blocks for at most the
implementation's timeout. If the store does not answer, the method raises StoreUnavailable. In that case a write may
have taken effect; it is safe to repeat it.
"""

from collections.abc import Mapping
from typing import Protocol

from clocksvc.clock.request import Request, RequestResult

MAX_PENDING_REQUESTS = 64
"""The largest number of requests of a clock that can wait for a leader."""
REQUEST_RETENTION_MS = 60_000
"""How long a request is kept after it expired, so that a leader can still write its result."""


class Requests(Protocol):
    """The requests to the leader of one clock."""

    def submit_request(self, request: Request) -> bool:
        """Store a request and notify the leader; False if the request has expired, or if too many requests wait.

        A request that is stored already, or has a result, is not changed.
        """

    def cancel_request(self, request_id: str) -> bool:
        """Remove a request unless a leader has read it. True if the request was removed."""

    def read_request_result(self, request_id: str) -> RequestResult | None:
        """Return the result of a request; None if there is no result, or if it was dropped after its TTL."""

    def write_request_results(self, token: str, results: Mapping[str, RequestResult], ttl_ms: int) -> None:
        """Replace requests by their results. `results` has the results by request id; each is kept for `ttl_ms`.

        Raises:
            LeaseLost: the token does not have the lease of the clock's log.
        """
