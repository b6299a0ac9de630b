"""The JSON of a page of the history of holds. The HTTP service encodes it, `clocksvc status` decodes it."""

from collections.abc import Mapping
from typing import Any

from clocksvc.clock.holds import Hold
from clocksvc.clock.time_format import parse_timestamp, time_from_wire, time_to_wire
from clocksvc.interfaces.hold_history import HoldHistory, PastHold


def hold_history_to_wire(history: HoldHistory) -> dict[str, Any]:
    """Return the JSON of `GET /v1/clocks/{clock}/holds`."""
    return {
        "holds": [_hold_to_wire(past) for past in history.holds],
        "next": time_to_wire(history.next_before_ms),
        "kept_since": time_to_wire(history.kept_since_ms),
    }


def hold_history_from_wire(wire: Mapping[str, Any]) -> HoldHistory:
    """The reverse of `hold_history_to_wire`; unknown fields are ignored.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: not a page of the history.
    """
    return HoldHistory(
        holds=tuple(_hold_from_wire(item) for item in wire["holds"]),
        next_before_ms=time_from_wire("next", wire["next"]),
        kept_since_ms=time_from_wire("kept_since", wire["kept_since"]),
    )


def _hold_to_wire(past: PastHold) -> dict[str, Any]:
    wire = past.hold.to_wire()
    return {
        "reason": wire["reason"],
        "began_at": time_to_wire(past.began_ms),
        "ended_at": time_to_wire(past.ended_ms),
        "partitions": wire["partitions"],
        "detail": wire["detail"],
        "upstream": wire["upstream"],
    }


def _hold_from_wire(wire: Mapping[str, Any]) -> PastHold:
    return PastHold(
        hold=Hold.from_wire(wire),
        began_ms=parse_timestamp("began_at", wire["began_at"]),
        ended_ms=time_from_wire("ended_at", wire["ended_at"]),
    )
