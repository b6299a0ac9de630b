"""A request of the night shift (exclude, include, pause, resume), and what it does to a clock's state.

Pure values and functions: who carries a request to the leader, and who commits it, they must not know.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from clocksvc.clock.log_record import (
    ClockState,
    Exclusion,
    Pause,
)
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster
from clocksvc.clock.tick import partition_from_wire, partition_to_wire
from clocksvc.clock.time_format import (
    parse_timestamp,
    to_rfc3339,
)
from clocksvc.errors import InvalidValue

MAX_REASON_LENGTH = 500
MAX_EXCLUSIONS = 100
"""Every record of the tick log carries all exclusions: more of them, with long reasons, would not fit into one."""

_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, line ends, marks that turn the writing round, and what is no character."""


class RequestKind(StrEnum):
    """What is asked for."""

    EXCLUDE = "exclude"
    INCLUDE = "include"
    PAUSE = "pause"
    RESUME = "resume"


_OF_A_PARTITION = (RequestKind.EXCLUDE, RequestKind.INCLUDE)


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks of a clock's leader. Times in milliseconds by the store's clock.

    `kind` is a RequestKind, except where a replica of a newer version left one that this version does not know.
    `partition` is set for exclude and include. After `expires_ms` no leader may do it.

    Raises:
        InvalidValue: the reason can't be one, or a partition is missing.
    """

    id: str
    kind: RequestKind | str
    by: str
    at_ms: int
    reason: str
    expires_ms: int
    partition: Partition | None = None

    def __post_init__(self) -> None:
        check_reason(self.reason)
        if self.kind in _OF_A_PARTITION and self.partition is None:
            raise InvalidValue("partition", None, f"wanted the partition to {self.kind}")

    def to_wire(self) -> dict[str, Any]:
        """As JSON: in the store, and in the control record that it led to."""
        return {
            "id": self.id,
            "kind": str(self.kind),
            "by": self.by,
            "at": to_rfc3339(self.at_ms),
            "reason": self.reason,
            "expires_at": to_rfc3339(self.expires_ms),
        } | ({} if self.partition is None else partition_to_wire(self.partition))


def check_reason(reason: str) -> None:
    """Raises InvalidValue unless a reason can stand in one line of a log, and says something."""
    if not reason.strip():
        raise InvalidValue("reason", reason, "wanted why, for whoever reads it later")
    if len(reason) > MAX_REASON_LENGTH:
        raise InvalidValue("reason", reason, f"wanted at most {MAX_REASON_LENGTH} characters, not {len(reason)}")
    if _NOT_IN_A_LINE.search(reason):
        raise InvalidValue("reason", reason, "wanted one line without control characters")


def sort_requests(requests: Iterable[Request]) -> list[Request]:
    """As they were made."""
    return sorted(requests, key=lambda request: (request.at_ms, request.id))


def apply_request(state: ClockState, request: Request, roster: Roster) -> ClockState:
    """The state with what is asked for; the same one where it is so already: then the first who asked stays named.

    Raises:
        InvalidValue: refused: names what is wrong, and what would be right.
    """
    if request.kind == RequestKind.PAUSE:
        return replace(state, pause=state.pause or Pause(request.by, request.at_ms, request.reason))
    if request.kind == RequestKind.RESUME:
        return replace(state, pause=None)
    if request.kind not in _OF_A_PARTITION or request.partition is None:
        known = ", ".join(RequestKind)
        raise InvalidValue("kind", str(request.kind), f"the leader runs a version that knows only {known}")
    if request.kind == RequestKind.EXCLUDE:
        return _exclude(state, request, request.partition, roster)
    return _include(state, request.partition, roster)


def _exclude(state: ClockState, request: Request, partition: Partition, roster: Roster) -> ClockState:
    if partition in state.excluded():
        return state
    _check_on_roster(partition, roster)
    if len(state.exclusions) >= MAX_EXCLUSIONS:
        wanted = f"wanted at most {MAX_EXCLUSIONS} exclusions: pause the clock, or take the topic out of it"
        raise InvalidValue("partition", str(partition), wanted)
    made = Exclusion(partition, request.by, request.at_ms, request.reason)
    return replace(state, exclusions=(*state.exclusions, made))


def _include(state: ClockState, partition: Partition, roster: Roster) -> ClockState:
    left = tuple(exclusion for exclusion in state.exclusions if exclusion.partition != partition)
    if len(left) == len(state.exclusions):
        _check_on_roster(partition, roster)
    return replace(state, exclusions=left)


def _check_on_roster(partition: Partition, roster: Roster) -> None:
    shape = roster.topics.get(partition.topic)
    if shape is None:
        known = ", ".join(sorted(roster.topics)) or "none yet"
        raise InvalidValue("topic", partition.topic, f"wanted a topic of this clock that Kafka has listed: {known}")
    if not 0 <= partition.number < shape.partitions:
        wanted = f"wanted 0 to {shape.partitions - 1}: topic {partition.topic!r} has {shape.partitions} partitions"
        raise InvalidValue("partition", partition.number, wanted)


def encode(request: Request) -> str:
    """The request as it is left in the store: ASCII."""
    return json.dumps(request.to_wire(), separators=(",", ":"))


def decode(text: str) -> Request | None:
    """The reverse of `encode`; None for what is no request that this version can read."""
    try:
        wire = json.loads(text)
        word = wire["kind"]
        return Request(
            id=str(wire["id"]),
            kind=next((kind for kind in RequestKind if kind.value == word), str(word)),
            by=str(wire["by"]),
            at_ms=parse_timestamp("at", wire["at"]),
            reason=str(wire["reason"]),
            expires_ms=parse_timestamp("expires_at", wire["expires_at"]),
            partition=partition_from_wire(wire) if "topic" in wire else None,
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return None
