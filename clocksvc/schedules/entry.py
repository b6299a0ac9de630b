"""A schedule as the scheduler keeps it in memory: its record's bytes, and what decides when it is due.

All of a value is checked when its record is read, but only this much is kept. The rest is decoded again when the
schedule is due, because a million decoded schedules need several times the memory of their bytes.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

import msgspec

from clocksvc.clock.time_format import parse_duration, parse_whole_seconds
from clocksvc.errors import InvalidValue, UnreadableRecord
from clocksvc.interfaces.schedule import CatchUp
from clocksvc.interfaces.schedule_topics import RESERVED_IDS, parse_id
from clocksvc.schedules.recurrence import Recurrence, at_cron, every
from clocksvc.schedules.schedule import LATEST_MS, MAX_PAYLOAD_DEPTH, check_payload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_RESERVED_KEYS = frozenset(one.encode() for one in RESERVED_IDS)
_ID_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Value(msgspec.Struct, gc=False):
    """The value of a record. Unknown fields are ignored, because a newer version may have written them."""

    format: Literal[1]
    created_at: _Time
    task: str
    interval: str | int | None = None
    cron: str | None = None
    timezone: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    starts_at: _Time | None = None
    ends_at: _Time | None = None
    catch_up: CatchUp | None = None
    max_age: str | int | None = None
    paused: bool | None = None


_decode = msgspec.json.Decoder(_Value).decode


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What can keep a schedule from being due, or from being sent; most schedules have no limits.

    Attributes:
        starts_ms, ends_ms: due times are at `starts_ms` or later, and before `ends_ms`.
        only_last: True if only the last of several missed due times is sent.
        max_age_ms: a due time longer ago than this is not sent.
    """

    starts_ms: int | None
    ends_ms: int | None
    only_last: bool
    max_age_ms: int | None
    paused: bool


class State(Enum):
    """Where the wheel has an entry."""

    IDLE = 0
    IN_SLOT = 1
    REMOVED = 2


class Entry(msgspec.Struct, gc=False, eq=False):
    """One schedule in memory. It is compared by identity, so that a table reports each record as a change.

    Attributes:
        key: the schedule's id.
        value: the record's value.
        limits: None if there are none.
        state: for the wheel.
    """

    key: bytes
    value: bytes
    recurrence: Recurrence
    limits: Limits | None
    state: State = State.IDLE


class Task(NamedTuple):
    """What is decoded when a schedule is due. `payload` is JSON."""

    task: str
    payload: bytes
    created_ms: int


def read_entry(key: bytes, value: bytes) -> Entry:
    """Return the schedule of a record.

    Raises:
        UnreadableRecord: key or value are not valid. The text contains the field and what is wanted.
    """
    try:
        if key.translate(None, _ID_BYTES) or not 0 < len(key) <= 64 or key in _RESERVED_KEYS:
            parse_id(key.decode(errors="replace"))
        found = _decode(value)
        recurrence = _recurrence(found.interval, found.cron, found.timezone)
        if len(value) > 2 * MAX_PAYLOAD_DEPTH:  # a smaller payload can't be too deep
            check_payload(bytes(found.payload))
        unlimited = found.starts_at is None and found.ends_at is None and not found.paused
        unlimited = unlimited and found.catch_up is None and found.max_age is None
        limits = None if unlimited else _limits(found)
    except (msgspec.MsgspecError, InvalidValue) as error:
        raise UnreadableRecord(str(error)) from None
    return Entry(key, value, recurrence, limits)


def read_task(entry: Entry) -> Task:
    """Return what a due record needs. The value was checked when the entry was read."""
    found = _decode(entry.value)
    return Task(found.task, bytes(found.payload), _to_ms(found.created_at))


def read_created_ms(value: bytes) -> int:
    """Return when the id of a valid record's value was first written."""
    return _to_ms(_decode(value).created_at)


@lru_cache(maxsize=65_536)
def _recurrence(interval: str | int | None, cron: str | None, timezone: str | None) -> Recurrence:
    if (interval is None) == (cron is None):
        raise InvalidValue("interval", interval, "wanted either interval or cron")
    if cron is not None:
        return at_cron(cron, "UTC" if timezone is None else timezone)
    if timezone is not None:
        raise InvalidValue("timezone", timezone, "wanted only with cron: an interval has no time zone")
    try:
        every_ms = parse_whole_seconds(interval)
    except ValueError as error:
        raise InvalidValue("interval", interval, str(error)) from None
    if every_ms < 1:
        raise InvalidValue("interval", interval, "wanted at least a second")
    return every(every_ms)


def _limits(found: _Value) -> Limits:
    starts_ms, ends_ms = (None if one is None else _to_ms(one) for one in (found.starts_at, found.ends_at))
    for name, time_ms in (("starts_at", starts_ms), ("ends_at", ends_ms)):
        if time_ms is not None and not 0 <= time_ms <= LATEST_MS:
            raise InvalidValue(name, getattr(found, name).isoformat(), "wanted a time from 1970 to the year 9000")
    try:
        max_age_ms = None if found.max_age is None else parse_duration(found.max_age)
    except ValueError as error:
        raise InvalidValue("max_age", found.max_age, str(error)) from None
    return Limits(starts_ms, ends_ms, found.catch_up is CatchUp.LAST, max_age_ms, bool(found.paused))


def _to_ms(time: datetime) -> int:
    return (time - _EPOCH) // _MS
