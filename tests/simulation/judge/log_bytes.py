"""Reads the bytes of a log, without the product's code."""

import json
from datetime import datetime
from typing import Any

from clocksvc.clock.log_record import Message
from tests.simulation.judge.violation import Violation

Wire = dict[str, Any]


def body(message: Message) -> Wire:
    """Return a record's JSON object. The state of a tick gets its `last_tick`, which is the tick's time."""
    try:
        found = json.loads(message.value or b"")
    except ValueError as error:
        raise Violation(f"unreadable: a record {message.key!r} of type {message.type!r}") from error
    if not isinstance(found, dict):
        raise Violation(f"unreadable: a record {message.key!r} of type {message.type!r} is no object")
    if isinstance(found.get("state"), dict):
        found["state"].setdefault("last_tick", found.get("time"))
    return found


def clock_of(message: Message) -> str | None:
    """Return the clock to which a record belongs; None for the log's own records."""
    key = message.key
    return None if key is None or key.startswith(b"_") else key.decode(errors="replace")


def time_of(text: str | None) -> int | None:
    """Return milliseconds since the epoch."""
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)


def last_tick_ms(wire: Wire) -> int | None:
    """Return the last tick in a record's state."""
    return time_of(wire["state"]["last_tick"])


def request_ids(wire: Wire) -> frozenset[str]:
    """Return the ids of the requests that a record executes."""
    return frozenset(request["id"] for request in wire.get("requests", ()))


def tick_parts(wire: Wire) -> tuple[int, int | None, int]:
    """Return a tick's time, its previous, and when it was emitted."""
    emitted_ms = time_of(wire["emitted_at"])
    assert emitted_ms is not None
    return wire["timestamp_seconds"] * 1000, time_of(wire["previous"]), emitted_ms
