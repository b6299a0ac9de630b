"""All errors of the HTTP service, as RFC 9457 problem details. The OpenAPI documents the same errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:clocksvc:problem:"
MAX_ERRORS = 20
"""The maximum number of invalid fields that a response lists."""
_MAX_VALUE_LENGTH = 200
_RETRY: Mapping[str, str] = {"Retry-After": "1"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    Attributes:
        example: the detail in the OpenAPI. It is also the detail of a problem that is raised without a detail.
        members: additional members of the example in the OpenAPI.
        headers: the headers of every response of this kind.
    """

    name: str
    status: int
    title: str
    example: str
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The `type` member, by which programs identify a problem."""
        return TYPE_PREFIX + self.name


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
UNKNOWN_CLOCK = Kind(
    "unknown-clock", 404, "No such clock", "no clock 'chekins' is configured here: wanted one of checkins, bills"
)
NOT_FOUND = Kind("not-found", 404, "No such address", "there is nothing at /v1/clock; see /docs for the API")
NO_SCHEDULES = Kind(
    "no-schedules",
    404,
    "The clock has no schedules",
    "clock 'checkins' has no schedules: add clocks.checkins.schedules to the configuration",
)
UNKNOWN_SCHEDULE = Kind("unknown-schedule", 404, "No such schedule", "there is no schedule 'monitor-1'")
PRECONDITION_FAILED = Kind(
    "precondition-failed",
    412,
    "The schedule is not the expected one",
    "If-Match: the schedule 'monitor-1' has the ETag \"5f0c38d6a1b2e497\" now; nothing has changed",
    {"etag": '"5f0c38d6a1b2e497"'},
)
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here", "wanted GET, HEAD")
WRONG_HOST = Kind(
    "misdirected-request",
    421,
    "The service does not answer for this host",
    "the request is for the host 'clock.example.com:8080', which is neither localhost nor in api.hosts; add the name "
    "there if the service has it",
)
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
    "ticks after 2026-11-01T00:00:00Z are no longer kept; the oldest kept tick is 2026-11-22T12:00:00Z",
    {"cursor": "2026-11-01T00:00:00Z", "cursor_seconds": 1793491200, "oldest": _A_TICK},
)
BODY_TOO_LARGE = Kind(
    "body-too-large",
    413,
    "The body is too large",
    "wanted at most 1048576 bytes",
    headers={"Connection": "close"},
)
NOT_JSON = Kind("unsupported-media-type", 415, "The body is not JSON", "wanted 'Content-Type: application/json'")
REBUILDING = Kind(
    "rebuilding",
    503,
    "The ticks are not complete yet",
    "The ticks are not complete yet: the leader restores them in the store, or this replica has not read them.",
    headers=_RETRY,
)
STORE_UNAVAILABLE = Kind(
    "store-unavailable", 503, "The store does not answer", "The store (Redis) does not answer.", headers=_RETRY
)
STORE_MISMATCH = Kind(
    "store-mismatch",
    503,
    "The store belongs to another installation",
    "The store belongs to another Kafka cluster, or has another format.",
    headers=_RETRY,
)
SCHEDULES_UNAVAILABLE = Kind(
    "schedules-unavailable",
    503,
    "These schedules can't be read or written now",
    "partition 3 of the schedules of clock 'checkins' has no ready owner: no live process of `clocksvc scheduler` owns "
    "it; nothing has changed, and it is safe to send the request again",
    {"reason": "no_owner"},
    headers=_RETRY,
)
NOT_DONE = Kind(
    "not-done",
    503,
    "Nothing has changed",
    "no process leads clock 'checkins'; nothing has changed, and it is safe to send the request again",
    headers=_RETRY,
)
OUTCOME_UNKNOWN = Kind(
    "outcome-unknown",
    504,
    "The outcome is not known",
    "the leader of clock 'checkins' has not answered. The change may have been made, or may be made within seconds. "
    "See exclusions and pause of GET /v1/clocks/checkins. It is safe to send the request again.",
)
WRITE_OUTCOME_UNKNOWN = Kind(
    OUTCOME_UNKNOWN.name,
    OUTCOME_UNKNOWN.status,
    OUTCOME_UNKNOWN.title,
    "partition 3 of the schedules of clock 'checkins': the commit was not acknowledged. It may have been written, or "
    "may be written within seconds. It is safe to send the request again; with If-Match or If-None-Match, read the "
    "schedule first.",
    headers=_RETRY,
)
TOO_MANY_STREAMS = Kind(
    "too-many-streams",
    429,
    "The token has too many open streams",
    "token 'grafana' has 10000 open streams here, the maximum",
    headers={"Retry-After": "10"},
)
SHUTTING_DOWN = Kind(
    "shutting-down",
    503,
    "This replica shuts down",
    "send the request again; another replica will answer",
    headers=_RETRY,
)
NOT_READY = Kind(
    "not-ready",
    503,
    "This replica is not ready",
    "1 of 3 clocks: not read yet",
    {"clocks": {"not read yet": 1}},
    headers=_RETRY,
)
INTERNAL = Kind("internal-error", 500, "Internal error", "see the log of the service")
OTHER = Kind("http-error", 400, "The request failed", "")


class Problem(Exception):
    """An error response. Without `detail`, its detail is the example of its kind."""

    def __init__(
        self,
        kind: Kind,
        detail: str | None = None,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind, self.detail = kind, kind.example if detail is None else detail
        super().__init__(self.detail)
        self.members, self.headers = dict(members or {}), {**kind.headers, **(headers or {})}

    def response(self, status: int | None = None) -> Response:
        """Return the response. `status` replaces the status of the kind."""
        body = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": status or self.kind.status,
            "detail": self.detail,
            **self.members,
        }
        # The JSON is ASCII, because a value of the request may contain lone surrogates, which UTF-8 can't encode.
        content = json.dumps(body, separators=(",", ":")).encode()
        return Response(content, body["status"], self.headers, MEDIA_TYPE)


def wrong_host(host: str) -> Problem:
    """Return a problem (421) for a request whose header Host is not accepted."""
    return Problem(WRONG_HOST, WRONG_HOST.example.replace("'clock.example.com:8080'", repr(truncated(host))))


def invalid(field_name: str, value: object, wanted: str) -> Problem:
    """Return a problem (422) for one invalid field."""
    return invalids([{"field": field_name, "value": truncated(value), "wanted": wanted}])


def invalids(errors: list[dict[str, Any]]) -> Problem:
    """Return a problem (422) for several invalid fields.

    Each error has the keys `field`, `value` (see `truncated`) and `wanted`. The detail contains the first 3 errors, and
    the member `errors` the first 20.
    """
    texts = [f"{error['field']}: {_in_json(error['value'])} is not valid: {error['wanted']}" for error in errors[:3]]
    if len(errors) > MAX_ERRORS:
        texts.append(f"and more; only the first {MAX_ERRORS} errors are listed")
    return Problem(INVALID, "; ".join(texts), {"errors": errors[:MAX_ERRORS]})


def _in_json(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def truncated(value: object) -> str | int | bool | None:
    """Return a value of the request, shortened for an error message. It is valid JSON with at most 200 characters."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    text = value if isinstance(value, str) else _beginning(value)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[:_MAX_VALUE_LENGTH] + "…"


def _beginning(value: object) -> str:
    """Return the JSON of a value, or only its beginning if it is long. The rest is not encoded."""
    text = ""
    for part in json.JSONEncoder(default=repr).iterencode(value):
        text += part
        if len(text) > _MAX_VALUE_LENGTH:
            break
    return text


def documented(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's `responses` for the problems that a route can raise."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        response = responses.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        body = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": kind.example, **kind.members}
        response["content"][MEDIA_TYPE]["examples"][kind.name] = {"summary": kind.title, "value": body}
        if kind.title not in response["description"]:
            response["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
    return responses
