"""What a record of a schedule means: when it is due, computed from docs/schedule.schema.json alone."""

import json
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tests.scheduler_simulation.judge.cron_times import cron_times

DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)?")
UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, None: 1_000}
KEYS = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Definition:
    """One version of a schedule. Times are in ms; None where the record has none."""

    key: bytes
    task: str
    payload: Any
    created_ms: int
    every_ms: int | None
    cron: str | None
    timezone: str
    starts_ms: int | None
    ends_ms: int | None
    last_only: bool
    max_age_ms: int | None
    paused: bool

    def runs(self, after_ms: int, upto_ms: int, interval_ms: int) -> list[tuple[int, int]]:
        """Return the instants after a time and up to another one, each with its due time, ascending.

        An instant is `n * interval + offset`, or a time of the cron expression. It does not depend on the clock.
        """
        if self.paused or upto_ms <= after_ms:
            return []
        if self.cron is not None:
            found = [(at_ms, at_ms) for at_ms in cron_times(self.cron, self.timezone, after_ms, upto_ms)]
        else:
            found = self._intervals(after_ms, upto_ms, interval_ms)
        return [one for one in found if self._counts(one[1])]

    def due_times(self, after_ms: int, upto_ms: int, interval_ms: int) -> list[int]:
        """Return the due times of all instants after a time and up to another one, ascending."""
        return [due_ms for _, due_ms in self.runs(after_ms, upto_ms, interval_ms)]

    def _counts(self, due_ms: int) -> bool:
        if due_ms <= self.created_ms or (self.starts_ms is not None and due_ms < self.starts_ms):
            return False
        return self.ends_ms is None or due_ms < self.ends_ms

    def _intervals(self, after_ms: int, upto_ms: int, interval_ms: int) -> list[tuple[int, int]]:
        assert self.every_ms is not None
        every_s = self.every_ms // 1000
        offset_ms = int(zlib.crc32(self.key) * every_s / 2**32) * 1000
        number = (after_ms - offset_ms) // self.every_ms + 1
        found = []
        while (instant_ms := number * self.every_ms + offset_ms) <= upto_ms:
            fits = self.every_ms % interval_ms == 0
            found.append((instant_ms, -(-instant_ms // interval_ms) * interval_ms if fits else instant_ms))
            number += 1
        return found


@lru_cache(maxsize=4_096)
def read_definition(key: bytes, value: bytes | None) -> Definition | None:
    """Return what a record says; None for a tombstone, and for a record that can't be read."""
    if value is None or not KEYS.fullmatch(key) or key == b"_position":
        return None
    try:
        fields = json.loads(value)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("format") != 1 or not fields.keys() >= {"created_at", "task"}:
        return None
    if (fields.get("interval") is None) == (fields.get("cron") is None):
        return None
    return Definition(
        key=key,
        task=fields["task"],
        payload=fields.get("payload"),
        created_ms=time_ms(fields["created_at"]),
        every_ms=_optional(fields, "interval", duration_ms),
        cron=fields.get("cron"),
        timezone=fields.get("timezone") or "UTC",
        starts_ms=_optional(fields, "starts_at", time_ms),
        ends_ms=_optional(fields, "ends_at", time_ms),
        last_only=fields.get("catch_up") == "last",
        max_age_ms=_optional(fields, "max_age", duration_ms),
        paused=bool(fields.get("paused")),
    )


def time_ms(text: str) -> int:
    """Return a time of RFC 3339 in ms since the epoch."""
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def duration_ms(value: str | int) -> int:
    """Return a duration in ms. A number without a unit is in seconds."""
    if isinstance(value, int):
        return value * 1000
    match = DURATION.fullmatch(value)
    assert match is not None, value
    return round(float(match[1]) * UNITS_MS[match[2]])


def _optional(fields: dict[str, Any], name: str, read: Any) -> Any:
    return None if fields.get(name) is None else read(fields[name])
