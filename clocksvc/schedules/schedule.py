"""A schedule as its writer defines it, and the value of its record (docs/schedule.schema.json)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from clocksvc.clock.time_format import (
    describe_duration,
    parse_duration,
    parse_timestamp,
    parse_whole_seconds,
    to_rfc3339,
)
from clocksvc.errors import InvalidValue, MissingValue
from clocksvc.interfaces.schedule import CatchUp
from clocksvc.schedules.cron import parse_cron

FORMAT = 1
"""The version of the value's schema. Readers ignore fields that they don't know, and can't read another version."""
MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH = 65_536, 256
"""The size of a payload, and how deep its arrays and objects are nested: programs that decode JSON fail from about a
thousand levels on, each at another one."""
LATEST_MS = 221_845_392_000_000
"""The year 9000: the calendar ends before the next due time of a later schedule."""
FIELDS = (
    *("format", "created_at", "interval", "cron", "timezone", "task", "payload"),
    *("starts_at", "ends_at", "catch_up", "max_age", "paused"),
)

_TASK = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)+", re.ASCII)
_MAX_TASK = 200
_TEXT, _BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"'), re.compile(rb"[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule. All times are in ms since the epoch.

    Attributes:
        task: a namespace and a name, such as `uptime.check`.
        created_ms: when the id was first written. No due time is at or before it.
        every_ms: the interval; None for a cron expression.
        cron: five fields, in the time zone `timezone`; None for an interval.
        payload: JSON, which becomes the value of due records.
        starts_ms: the first time at which the schedule can be due.
        ends_ms: the schedule is not due at this time or later.
        catch_up: which of several missed due times are sent.
        max_age_ms: a due time longer ago than this, by the wall clock, is not sent.
    """

    task: str
    created_ms: int
    every_ms: int | None = None
    cron: str | None = None
    timezone: str = "UTC"
    payload: bytes = b"null"
    starts_ms: int | None = None
    ends_ms: int | None = None
    catch_up: CatchUp = CatchUp.ALL
    max_age_ms: int | None = None
    paused: bool = False

    def encode(self) -> bytes:
        """Return the value of the schedule's record. Defaults are left out."""
        every_s = None if self.every_ms is None else f"{self.every_ms // 1000}s"
        fields: dict[str, Any] = {
            "format": FORMAT,
            "created_at": to_rfc3339(self.created_ms),
            "interval": every_s,
            "cron": self.cron,
            "timezone": None if self.cron is None else self.timezone,
            "task": self.task,
            "payload": None if self.payload == b"null" else msgspec.Raw(self.payload),
            "starts_at": None if self.starts_ms is None else to_rfc3339(self.starts_ms),
            "ends_at": None if self.ends_ms is None else to_rfc3339(self.ends_ms),
            "catch_up": None if self.catch_up is CatchUp.ALL else self.catch_up.value,
            "max_age": None if self.max_age_ms is None else _duration(self.max_age_ms),
            "paused": True if self.paused else None,
        }
        return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def parse_schedule(fields: Mapping[str, Any], interval_ms: int, created_ms: int | None = None) -> Schedule:
    """Return a schedule from a writer's JSON object. A field that is None counts as missing.

    Args:
        fields: as in docs/schedule.schema.json; `format` is optional.
        interval_ms: the clock's interval.
        created_ms: the time of creation. None to take `created_at` from the fields.

    Raises:
        InvalidValue: a field is unknown, missing or not valid.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    for name, value in given.items():
        if name not in FIELDS:
            raise InvalidValue(name, value, f"there is no such field; there are {', '.join(FIELDS)}")
    if given.get("format", FORMAT) != FORMAT:
        raise InvalidValue("format", given["format"], f"wanted {FORMAT}")
    if "interval" not in given and "cron" not in given:
        raise MissingValue("interval", "wanted either interval or cron")
    if "interval" in given and "cron" in given:
        raise InvalidValue("interval", given["interval"], "wanted either interval or cron")
    if "timezone" in given and "cron" not in given:
        raise InvalidValue("timezone", given["timezone"], "wanted only with cron: an interval has no time zone")
    for name in ("cron", "timezone"):
        if not isinstance(given.get(name, ""), str):
            raise InvalidValue(name, given[name], "wanted text")
    cron, timezone = given.get("cron"), given.get("timezone", "UTC")
    if cron is not None:
        parse_cron(cron, timezone)
    paused = given.get("paused", False)
    if not isinstance(paused, bool):
        raise InvalidValue("paused", paused, "wanted true or false")
    starts_ms, ends_ms = _time(given, "starts_at"), _time(given, "ends_at")
    if starts_ms is not None and ends_ms is not None and ends_ms <= starts_ms:
        raise InvalidValue("ends_at", given["ends_at"], f"wanted a time after starts_at, {to_rfc3339(starts_ms)}")
    created_ms = _time(given, "created_at") if created_ms is None else created_ms
    if created_ms is None:
        raise MissingValue("created_at", "wanted the time when this id was first written")
    return Schedule(
        task=_task(given.get("task")),
        created_ms=created_ms,
        every_ms=_interval(given["interval"], interval_ms) if "interval" in given else None,
        cron=cron,
        timezone=timezone,
        payload=_payload(given.get("payload")),
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        catch_up=_catch_up(given.get("catch_up", "all")),
        max_age_ms=_max_age(given["max_age"]) if "max_age" in given else None,
        paused=paused,
    )


def _interval(value: Any, interval_ms: int) -> int:
    try:
        every_ms = parse_whole_seconds(value)
    except ValueError as error:
        raise InvalidValue("interval", value, str(error)) from None
    if every_ms < 1 or every_ms % interval_ms:
        shown = f"{interval_ms // 1000} s" if interval_ms % 60_000 else describe_duration(interval_ms)
        raise InvalidValue("interval", value, f"wanted a multiple of the clock's interval, {shown}")
    return every_ms


def _task(value: Any) -> str:
    if not isinstance(value, str) or not _TASK.fullmatch(value) or len(value) > _MAX_TASK:
        wanted = f"wanted a namespace and a name such as uptime.check, at most {_MAX_TASK} characters"
        raise MissingValue("task", wanted) if value is None else InvalidValue("task", value, wanted)
    return value


def _payload(value: Any) -> bytes:
    try:
        if not isinstance(value, msgspec.Raw):
            json.dumps(value, allow_nan=False, default=str)  # msgspec would write infinity as null
        payload = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue("payload", type(value).__name__, f"wanted what JSON can have: {error}") from None
    check_payload(payload)
    return payload


def check_payload(payload: bytes) -> None:
    """Raise InvalidValue if a payload, which is valid JSON, is too large or too deep."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        wanted = f"wanted at most {MAX_PAYLOAD_BYTES:,} bytes as JSON"
        raise InvalidValue("payload", f"{len(payload):,} bytes", wanted)
    if payload.count(b"[") + payload.count(b"{") <= MAX_PAYLOAD_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub(b"", payload)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_PAYLOAD_DEPTH:
            raise InvalidValue("payload", "nested", f"wanted at most {MAX_PAYLOAD_DEPTH} levels of arrays and objects")


def _time(given: Mapping[str, Any], name: str) -> int | None:
    if name not in given:
        return None
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidValue(
            name, value, "wanted RFC 3339 with an offset, such as 2026-11-22T12:00:00Z, or epoch seconds"
        )
    timestamp_ms = parse_timestamp(name, value)
    if timestamp_ms > LATEST_MS:
        raise InvalidValue(name, value, "wanted a time before the year 9000")
    return timestamp_ms


def _catch_up(value: Any) -> CatchUp:
    if value not in tuple(CatchUp):
        raise InvalidValue("catch_up", value, "wanted 'all' or 'last'")
    return CatchUp(value)


def _max_age(value: Any) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise InvalidValue("max_age", value, str(error)) from None


def _duration(duration_ms: int) -> str:
    return f"{duration_ms}ms" if duration_ms % 1000 else f"{duration_ms // 1000}s"
