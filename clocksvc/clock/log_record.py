"""A record of the tick log: a tick or a control record, each with the clock's whole state.

One record is enough for a new leader: the state stands under the same fields whatever the record's type.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick, partition_from_wire, partition_to_wire
from clocksvc.clock.time_format import (
    parse_timestamp,
    to_rfc3339,
)
from clocksvc.errors import UnreadableRecord

FORMAT = 1
TYPE_HEADER = "clocksvc-type"
RecordType = Literal["tick", "control"]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A partition that an operator took off the roster: who, when, why."""

    partition: Partition
    by: str
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """The clock was told to stand still: who, when, why."""

    by: str
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClockState:
    """What a clock's leader must know to go on.

    Attributes:
        last_tick_ms: the last tick, or what `init` said; the next tick names it as `previous`. None before either.
        last_emitted_ms: when the last tick was emitted; None before the first.
        topics: the partition counts and topic ids of the roster that the last tick was made with.
        config_digest: of the configuration that wrote the record.
    """

    last_tick_ms: int | None = None
    last_emitted_ms: int | None = None
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    topics: Mapping[str, TopicMetadata] = field(default_factory=dict)
    config_digest: str = ""

    def excluded(self) -> frozenset[Partition]:
        """The partitions that no tick waits for."""
        return frozenset(exclusion.partition for exclusion in self.exclusions)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a tick log; `tick` is None in a control record.

    `requests` are those that a control record granted, as JSON: for people who read the log, and for the next leader,
    who may find them unanswered.
    """

    clock: str
    state: ClockState
    tick: Tick | None = None
    requests: tuple[Mapping[str, Any], ...] = ()

    @property
    def type(self) -> RecordType:
        """The value of the `clocksvc-type` header."""
        return "control" if self.tick is None else "tick"

    @property
    def request_ids(self) -> frozenset[str]:
        """The ids of `requests`."""
        return frozenset(str(request.get("id")) for request in self.requests)


def encode(record: Record) -> bytes:
    """The record's value: the tick's fields, then the state, as one JSON object."""
    body: dict[str, Any] = {"clock": record.clock} if record.tick is None else record.tick.to_wire()
    body["format"] = FORMAT
    body["state"] = _state_to_wire(record.state)
    if record.requests:
        body["requests"] = list(record.requests)
    return json.dumps(body, separators=(",", ":")).encode()


def decode(record_type: str, value: bytes) -> Record:
    """The reverse of `encode`.

    Raises:
        UnreadableRecord: not a record of a type and format that this version reads.
    """
    try:
        body = json.loads(value)
        if body["format"] > FORMAT or record_type not in ("tick", "control"):
            raise UnreadableRecord(
                f"the tick log's last record has type {record_type!r} and format {body['format']!r}; "
                f"this version reads 'tick' and 'control' up to format {FORMAT}: run a newer version"
            )
        tick = Tick.from_wire(body) if record_type == "tick" else None
        requests = body.get("requests")
        granted = tuple(dict(request) for request in requests) if isinstance(requests, list) else ()
        return Record(body["clock"], _state_from_wire(body["state"]), tick, granted)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UnreadableRecord(f"the tick log's last record can't be read: {error!r}") from error


def exclusion_to_wire(exclusion: Exclusion) -> dict[str, Any]:
    """`{"topic", "partition", "by", "at", "reason"}`."""
    return partition_to_wire(exclusion.partition) | _said_to_wire(exclusion)


def exclusion_from_wire(wire: Mapping[str, Any]) -> Exclusion:
    """The reverse of `exclusion_to_wire`."""
    return Exclusion(partition_from_wire(wire), wire["by"], parse_timestamp("at", wire["at"]), wire["reason"])


def pause_to_wire(pause: Pause) -> dict[str, Any]:
    """`{"by", "at", "reason"}`."""
    return _said_to_wire(pause)


def pause_from_wire(wire: Mapping[str, Any]) -> Pause:
    """The reverse of `pause_to_wire`."""
    return Pause(wire["by"], parse_timestamp("at", wire["at"]), wire["reason"])


def _said_to_wire(said: Exclusion | Pause) -> dict[str, Any]:
    return {"by": said.by, "at": to_rfc3339(said.at_ms), "reason": said.reason}


def _state_to_wire(state: ClockState) -> dict[str, Any]:
    return {
        "last_tick": _time_to_wire(state.last_tick_ms),
        "last_emitted_at": _time_to_wire(state.last_emitted_ms),
        "exclusions": [exclusion_to_wire(exclusion) for exclusion in state.exclusions],
        "pause": None if state.pause is None else pause_to_wire(state.pause),
        "topics": {topic: {"id": shape.id, "partitions": shape.partitions} for topic, shape in state.topics.items()},
        "config_digest": state.config_digest,
    }


def _state_from_wire(wire: Mapping[str, Any]) -> ClockState:
    pause = wire["pause"]
    return ClockState(
        last_tick_ms=_time_from_wire("last_tick", wire["last_tick"]),
        last_emitted_ms=_time_from_wire("last_emitted_at", wire["last_emitted_at"]),
        exclusions=tuple(exclusion_from_wire(item) for item in wire["exclusions"]),
        pause=None if pause is None else pause_from_wire(pause),
        topics={topic: TopicMetadata(item["id"], int(item["partitions"])) for topic, item in wire["topics"].items()},
        config_digest=wire["config_digest"],
    )


def _time_to_wire(timestamp_ms: int | None) -> str | None:
    return None if timestamp_ms is None else to_rfc3339(timestamp_ms)


def _time_from_wire(name: str, value: str | None) -> int | None:
    return None if value is None else parse_timestamp(name, value)
