"""Every error that the HTTP service answers with, as RFC 9457 problem details. One catalogue, also for the OpenAPI."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:clocksvc:problem:"
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. `example` is the detail that the OpenAPI shows."""

    name: str
    status: int
    title: str
    example: str
    members: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The `type` by which programs tell problems apart."""
        return _TYPE_PREFIX + self.name


_A_TICK = {"time": "2026-11-22T12:00:00Z", "timestamp_seconds": 1795348800, "previous": "2026-11-22T11:59:00Z"}

INVALID = Kind(
    "invalid-request",
    422,
    "The request is not valid",
    "limit: '5000' is not valid: Input should be less than or equal to 1000",
    {"errors": [{"field": "limit", "value": "5000", "wanted": "Input should be less than or equal to 1000"}]},
)
UNAUTHENTICATED = Kind("unauthenticated", 401, "A token is needed", "wanted the header 'Authorization: Bearer TOKEN'")
FORBIDDEN = Kind("forbidden", 403, "The token does not allow this", "token 'grafana' lacks the scope 'report'")
UNKNOWN_CLOCK = Kind("unknown-clock", 404, "No such clock", "no clock 'chekins' is configured here")
NOT_FOUND = Kind("not-found", 404, "No such address", "there is nothing at /v1/clock; the API is described at /docs")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here", "wanted GET, HEAD")
NOT_REACHED = Kind(
    "clock-not-reached",
    409,
    "The clock has not reached this time",
    "clock 'checkins' is at 2026-11-22T12:00:00Z and has not reached 2026-11-22T12:05:00Z: partition_behind",
    {"until": "2026-11-22T12:05:00Z"},
)
CURSOR_TOO_OLD = Kind(
    "cursor-too-old",
    410,
    "Ticks after this cursor are no longer kept",
    "ticks after 2026-11-01T00:00:00Z are no longer kept: the oldest kept one is 2026-11-22T12:00:00Z",
    {"cursor": "2026-11-01T00:00:00Z", "cursor_seconds": 1793491200, "oldest": _A_TICK},
)
BODY_TOO_LARGE = Kind("body-too-large", 413, "The body is too large", "wanted at most 1048576 bytes")
NOT_JSON = Kind("unsupported-media-type", 415, "The body is not JSON", "wanted 'Content-Type: application/json'")
REBUILDING = Kind(
    "rebuilding",
    503,
    "This replica reads the ticks anew",
    "The store's stream is being made anew: nothing lower than what was shown is shown meanwhile.",
)
STORE_UNAVAILABLE = Kind("store-unavailable", 503, "The store does not answer", "The store (Redis) does not answer.")
STORE_MISMATCH = Kind(
    "store-mismatch",
    503,
    "The store is not this service's",
    "The store belongs to another Kafka cluster or speaks another format.",
)
NOT_DONE = Kind(
    "not-done",
    503,
    "Nothing has changed",
    "no process leads clock 'checkins': nothing has changed; ask again, it is safe",
)
OUTCOME_UNKNOWN = Kind(
    "outcome-unknown",
    504,
    "What became of it is not known",
    "the leader of clock 'checkins' has not answered: it may have happened, or happen within seconds; look at "
    "exclusions and pause of GET /v1/clocks/checkins, or ask again: that is safe",
)
SHUTTING_DOWN = Kind("shutting-down", 503, "This replica ends", "ask again: another replica answers")
NOT_READY = Kind(
    "not-ready",
    503,
    "This replica is not ready",
    "not read yet: checkins",
    {"clocks": {"checkins": "not read yet"}},
)
INTERNAL = Kind("internal-error", 500, "Something went wrong here", "the service's log says what")
OTHER = Kind("http-error", 400, "The request can't be answered", "")


class Problem(Exception):
    """An error to answer with."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail
        self.members, self.headers = dict(members or {}), dict(headers or {})

    def response(self, status: int | None = None) -> Response:
        """The answer; `status` only where it is not the kind's."""
        body = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": status or self.kind.status,
            "detail": self.detail,
            **self.members,
        }
        # ASCII only: a value that is shown may hold what UTF-8 can't.
        content = json.dumps(body, separators=(",", ":")).encode()
        return Response(content, body["status"], self.headers, MEDIA_TYPE)


def invalid(field_name: str, value: object, wanted: str) -> Problem:
    """One field is wrong."""
    return invalids([{"field": field_name, "value": shown(value), "wanted": wanted}])


def invalids(errors: list[dict[str, Any]]) -> Problem:
    """Fields are wrong: `errors` has `field`, `value` (see `shown`) and `wanted` of each."""
    said = [f"{error['field']}: {error['value']!r} is not valid: {error['wanted']}" for error in errors[:3]]
    return Problem(INVALID, "; ".join(said), {"errors": errors[:20]})


def shown(value: object) -> str | int | bool | None:
    """A refused value as it may be shown: short, and always JSON."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def documented(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """What FastAPI wants as `responses`, for the problems that a route can answer with."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        said = found.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        body = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": kind.example, **kind.members}
        said["content"][MEDIA_TYPE]["examples"][kind.name] = {"summary": kind.title, "value": body}
        if kind.title not in said["description"]:
            said["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
    return found
