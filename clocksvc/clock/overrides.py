"""Operator overrides: excluded partitions and the pause. They are part of a clock's state in the tick log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import partition_from_wire, partition_to_wire
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A partition that an operator excluded, with the operator's name, the time and the reason."""

    partition: Partition
    by: str
    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of the clock by an operator, with the operator's name, the time and the reason."""

    by: str
    at_ms: int
    reason: str


def exclusion_to_wire(exclusion: Exclusion) -> dict[str, Any]:
    """Return `{"topic", "partition", "by", "at", "reason"}`."""
    return partition_to_wire(exclusion.partition) | _origin_to_wire(exclusion)


def exclusion_from_wire(wire: Mapping[str, Any]) -> Exclusion:
    """The reverse of `exclusion_to_wire`."""
    return Exclusion(partition_from_wire(wire), wire["by"], parse_timestamp("at", wire["at"]), wire["reason"])


def pause_to_wire(pause: Pause) -> dict[str, Any]:
    """Return `{"by", "at", "reason"}`."""
    return _origin_to_wire(pause)


def overrides_to_wire(exclusions: Iterable[Exclusion], pause: Pause | None) -> dict[str, Any]:
    """Return `{"exclusions": […], "pause": … or null}`."""
    return {
        "exclusions": [exclusion_to_wire(exclusion) for exclusion in exclusions],
        "pause": None if pause is None else pause_to_wire(pause),
    }


def overrides_from_wire(wire: Mapping[str, Any]) -> tuple[tuple[Exclusion, ...], Pause | None]:
    """The reverse of `overrides_to_wire`."""
    exclusions, pause = tuple(exclusion_from_wire(item) for item in wire["exclusions"]), wire["pause"]
    if pause is None:
        return exclusions, None
    return exclusions, Pause(pause["by"], parse_timestamp("at", pause["at"]), pause["reason"])


def _origin_to_wire(override: Exclusion | Pause) -> dict[str, Any]:
    return {"by": override.by, "at": to_rfc3339(override.at_ms), "reason": override.reason}
