"""What writers write: random schedules of all kinds."""

import json
import random
from datetime import UTC, datetime
from typing import Any

CRONS = ("* * * * *", "*/5 * * * *", "0,30 * * * *", "30 2 * * *", "30 2,3 * * *", "*/15 0,1,2,3 * * *", "0 * * * 0")
ZONES = ("UTC", "Europe/Berlin", "Europe/Berlin")
UNREADABLE = (b"", b"{", b"[]", b'{"format": 2}', b'{"format": 1, "created_at": "2026-11-22T08:00:00Z"}')


def text(at_ms: int) -> str:
    """Return a time as RFC 3339."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def random_fields(rng: random.Random, interval_ms: int, clock_ms: int, number: int) -> dict[str, Any]:
    """Return a schedule as its writer defines it, without `created_at`.

    Args:
        clock_ms: the newest tick; limits are near it.
        number: makes the payload unique, so that each version can be told from others.
    """
    fields: dict[str, Any] = {"task": rng.choice(("a.b", "uptime.check")), "payload": {"n": number}}
    if rng.random() < 0.25 and interval_ms <= 60_000:
        fields["cron"] = rng.choice(CRONS)
        zone = rng.choice(ZONES)
        if zone != "UTC":
            fields["timezone"] = zone
    else:
        # A multiple of 300 s stays one after every change of the clock's interval.
        unit_s = 300 if interval_ms >= 60_000 and rng.random() < 0.5 else interval_ms // 1000
        fields["interval"] = f"{unit_s * rng.choice((1, 1, 2, 3, 5, 10, 30))}s"
    if rng.random() < 0.25:
        fields["catch_up"] = rng.choice(("last", "last", "all"))
    if rng.random() < 0.12:
        fields["max_age"] = f"{interval_ms // 1000 * rng.choice((0, 1, 5, 20, 100))}s"
    if rng.random() < 0.08:
        fields["starts_at"] = text(clock_ms + interval_ms * rng.randrange(-2, 15) + rng.choice((0, 0, 1)))
    if rng.random() < 0.08:
        fields["ends_at"] = text(clock_ms + interval_ms * rng.randrange(16, 40) + rng.choice((0, 0, 1)))
    if rng.random() < 0.06:
        fields["paused"] = True
    return fields


def encode(fields: dict[str, Any], created_ms: int) -> bytes:
    """Return the value of a record that a client writes to Kafka."""
    return json.dumps({"format": 1, "created_at": text(created_ms)} | fields).encode()
