"""Operator requests (exclude, include, pause, resume, init), their effect on a clock's state, and their results."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from clocksvc.clock.log_record import ClockState
from clocksvc.clock.overrides import Exclusion, Pause, overrides_from_wire, overrides_to_wire
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster
from clocksvc.clock.tick import partition_from_wire, partition_to_wire
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import InvalidValue

MAX_REASON_LENGTH = 500
MAX_EXCLUSIONS = 100
"""Every record of the tick log contains all exclusions. More exclusions with long reasons would make it too large."""

_NOT_PRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends, marks that change the writing direction, and surrogates."""


class RequestKind(StrEnum):
    """What an operator requests."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    PAUSE = "pause"
    RESUME = "resume"
    INIT = "init"


_PARTITION_KINDS = (RequestKind.EXCLUDE, RequestKind.INCLUDE)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a clock's leader. Times are milliseconds by the store's clock.

    Attributes:
        kind: a RequestKind, or a plain string if a replica of a newer version wrote a kind that is unknown here.
        expires_ms: the leader must not execute the request after this.
        partition: the partition to exclude or include; None for other kinds.
        last_tick_ms: for `init`, the time that will be `previous` in the next tick; None for other kinds.
        skip_ticks: for `init`, True if the boundaries between the clock's last tick and `last_tick_ms` may be skipped.

    Raises:
        InvalidValue: the reason is not valid, or the partition or the time is missing.
    """

    id: str
    kind: RequestKind | str
    by: str
    at_ms: int
    reason: str
    expires_ms: int
    partition: Partition | None = None
    last_tick_ms: int | None = None
    skip_ticks: bool = False

    def __post_init__(self) -> None:
        check_reason(self.reason)
        if self.kind in _PARTITION_KINDS and self.partition is None:
            raise InvalidValue("partition", None, f"wanted the partition to {self.kind}")
        if self.kind == RequestKind.INIT and self.last_tick_ms is None:
            raise InvalidValue("last_tick", None, "wanted the time that will be `previous` in the next tick")

    def to_wire(self) -> dict[str, Any]:
        """Return the request as JSON, as it is in the store and in the control record that executes it."""
        wire: dict[str, Any] = {
            "id": self.id,
            "kind": str(self.kind),
            "by": self.by,
            "at": to_rfc3339(self.at_ms),
            "reason": self.reason,
            "expires_at": to_rfc3339(self.expires_ms),
        }
        if self.partition is not None:
            wire |= partition_to_wire(self.partition)
        if self.last_tick_ms is not None:
            wire["last_tick"] = to_rfc3339(self.last_tick_ms)
        return wire | ({"skip_ticks": True} if self.skip_ticks else {})


class ResultKind(StrEnum):
    """The outcome of a request."""

    DONE = "done"
    REJECTED = "rejected"
    NOT_DONE = "not_done"


@dataclass(frozen=True, slots=True)
class RequestResult:
    """The leader's result for a request. If the kind is not `done`, the request has no effect, now or later.

    Attributes:
        exclusions, pause: the clock's overrides after the request.
        field, value, wanted: if `rejected`, the wrong field, its value, and what is wanted.
        detail: if `not_done`, a sentence with the reason. If `done`, what the request has skipped, or "".
    """

    kind: ResultKind
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    field: str = ""
    value: str | int | None = None
    wanted: str = ""
    detail: str = ""


def check_reason(reason: str) -> None:
    """Raise InvalidValue unless a reason is one non-empty line of at most 500 printable characters."""
    if not reason.strip():
        raise InvalidValue("reason", reason, "wanted a reason, which explains the request to other people")
    if len(reason) > MAX_REASON_LENGTH:
        raise InvalidValue("reason", reason, f"wanted at most {MAX_REASON_LENGTH} characters, not {len(reason)}")
    if _NOT_PRINTABLE.search(reason):
        raise InvalidValue("reason", reason, "wanted one line without control characters")


def sort_requests(requests: Iterable[Request]) -> list[Request]:
    """Return the requests in the order in which they were made."""
    return sorted(requests, key=lambda request: (request.at_ms, request.id))


def apply_request(state: ClockState, request: Request, roster: Roster) -> ClockState:
    """Return the state after a request. An override that exists already keeps its first author and reason.

    Raises:
        InvalidValue: the request is rejected. The error contains the wrong field and what is wanted.
    """
    if request.kind == RequestKind.PAUSE:
        return replace(state, pause=state.pause or Pause(request.by, request.at_ms, request.reason))
    if request.kind == RequestKind.RESUME:
        return replace(state, pause=None)
    if request.kind not in _PARTITION_KINDS or request.partition is None:
        known = ", ".join(RequestKind)
        raise InvalidValue(
            "kind", str(request.kind), f"wanted one of {known}: the leader's version knows no other kind"
        )
    if request.kind == RequestKind.EXCLUDE:
        return _exclude(state, request, request.partition, roster)
    return _include(state, request.partition, roster)


def _exclude(state: ClockState, request: Request, partition: Partition, roster: Roster) -> ClockState:
    if partition in state.excluded():
        return state
    _check_on_roster(partition, roster)
    if len(state.exclusions) >= MAX_EXCLUSIONS:
        wanted = f"wanted at most {MAX_EXCLUSIONS} exclusions; pause the clock, or remove the topic from the clock"
        raise InvalidValue("partition", str(partition), wanted)
    made = Exclusion(partition, request.by, request.at_ms, request.reason)
    return replace(state, exclusions=(*state.exclusions, made))


def _include(state: ClockState, partition: Partition, roster: Roster) -> ClockState:
    left = tuple(exclusion for exclusion in state.exclusions if exclusion.partition != partition)
    if len(left) == len(state.exclusions):
        _check_on_roster(partition, roster)
    return replace(state, exclusions=left)


def _check_on_roster(partition: Partition, roster: Roster) -> None:
    metadata = roster.topics.get(partition.topic)
    if metadata is None:
        known = ", ".join(sorted(roster.topics)) or "none yet"
        raise InvalidValue("topic", partition.topic, f"wanted a topic of this clock that Kafka has listed: {known}")
    if not 0 <= partition.number < metadata.partitions:
        wanted = (
            f"wanted 0 to {metadata.partitions - 1}: topic {partition.topic!r} has {metadata.partitions} partitions"
        )
        raise InvalidValue("partition", partition.number, wanted)


def encode_request(request: Request) -> str:
    """Return the request as JSON in ASCII, as it is in the store."""
    return json.dumps(request.to_wire(), separators=(",", ":"))


def decode_request(text: str) -> Request | None:
    """The reverse of `encode_request`; returns None if this version can't read the text."""
    try:
        wire = json.loads(text)
        kind = wire["kind"]
        return Request(
            id=str(wire["id"]),
            kind=next((known for known in RequestKind if known.value == kind), str(kind)),
            by=str(wire["by"]),
            at_ms=parse_timestamp("at", wire["at"]),
            reason=str(wire["reason"]),
            expires_ms=parse_timestamp("expires_at", wire["expires_at"]),
            partition=partition_from_wire(wire) if "topic" in wire else None,
            last_tick_ms=parse_timestamp("last_tick", wire["last_tick"]) if "last_tick" in wire else None,
            skip_ticks=wire.get("skip_ticks") is True,
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return None


def encode_result(result: RequestResult) -> str:
    """Return the result as JSON in ASCII, as it is in the store."""
    return json.dumps(
        {
            "kind": result.kind.value,
            **overrides_to_wire(result.exclusions, result.pause),
            "field": result.field,
            "value": result.value,
            "wanted": result.wanted,
            "detail": result.detail,
        },
        separators=(",", ":"),
    )


def decode_result(text: str) -> RequestResult | None:
    """The reverse of `encode_result`; returns None if this version can't read the text."""
    try:
        wire = json.loads(text)
        exclusions, pause = overrides_from_wire(wire)
        return RequestResult(
            ResultKind(wire["kind"]), exclusions, pause, wire["field"], wire["value"], wire["wanted"], wire["detail"]
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return None
