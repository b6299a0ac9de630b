"""A leader's answer to a request, and what requests have left in force. Values, and their wire form; no I/O."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clocksvc.clock.log_record import (
    Exclusion,
    Pause,
    exclusion_from_wire,
    exclusion_to_wire,
    pause_from_wire,
    pause_to_wire,
)


class ResultKind(StrEnum):
    """What became of a request."""

    DONE = "done"
    REJECTED = "rejected"
    NOT_DONE = "not_done"


@dataclass(frozen=True, slots=True)
class RequestResult:
    """A leader's answer. Unless it is `done`, the request has changed nothing and never will.

    Attributes:
        exclusions, pause: the clock's, as they are now.
        field, value, wanted: of a refusal: what is wrong, and what would be right.
        detail: of `not_done`: why, in words.
    """

    kind: ResultKind
    exclusions: tuple[Exclusion, ...] = ()
    pause: Pause | None = None
    field: str = ""
    value: str | int | None = None
    wanted: str = ""
    detail: str = ""


def encode(answer: RequestResult) -> str:
    """The answer as it is left in the store: ASCII."""
    return json.dumps(
        {
            "kind": answer.kind.value,
            **overrides_to_wire(answer.exclusions, answer.pause),
            "field": answer.field,
            "value": answer.value,
            "wanted": answer.wanted,
            "detail": answer.detail,
        },
        separators=(",", ":"),
    )


def decode(text: str) -> RequestResult | None:
    """The reverse of `encode`; None for what is no answer that this version can read."""
    try:
        wire = json.loads(text)
        exclusions, pause = overrides_from_wire(wire)
        return RequestResult(
            ResultKind(wire["kind"]), exclusions, pause, wire["field"], wire["value"], wire["wanted"], wire["detail"]
        )
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        return None


def overrides_to_wire(exclusions: Iterable[Exclusion], pause: Pause | None) -> dict[str, Any]:
    """What requests have left in force, as JSON: `{"exclusions": […], "pause": … or null}`."""
    return {
        "exclusions": [exclusion_to_wire(exclusion) for exclusion in exclusions],
        "pause": None if pause is None else pause_to_wire(pause),
    }


def overrides_from_wire(wire: Mapping[str, Any]) -> tuple[tuple[Exclusion, ...], Pause | None]:
    """The reverse of `overrides_to_wire`."""
    pause = wire["pause"]
    exclusions = tuple(exclusion_from_wire(item) for item in wire["exclusions"])
    return exclusions, None if pause is None else pause_from_wire(pause)
