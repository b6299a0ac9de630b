"""What clients of schedules give and receive, and what the two ways to write schedules have in common."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import ClocksvcError, InvalidValue, ServiceUnavailable

_TIMES = ("starts_at", "ends_at", "created_at")


class StoredSchedule(NamedTuple):
    """A schedule that was read.

    Attributes:
        fields: its fields, as in docs/schedule.schema.json, without `format`.
        etag: identifies this version of the schedule.
    """

    id: str
    fields: dict[str, Any]
    etag: str


class WrittenSchedule(NamedTuple):
    """A record that all in-sync replicas have.

    Attributes:
        partition, offset: of the record in the topic of schedules.
        etag: identifies this version of the schedule; None after a deletion.
    """

    id: str
    partition: int
    offset: int
    etag: str | None


class ScheduleResult(NamedTuple):
    """The outcome for one of many schedules. Either `written` or `error` is None.

    Attributes:
        position: of the schedule in the input, from 0.
        id: as given.
    """

    position: int
    id: str
    written: WrittenSchedule | None
    error: ClocksvcError | None


class MissedRun(NamedTuple):
    """Due times of a schedule that were not sent. All times are RFC 3339.

    Attributes:
        due, last_due: the first and the last of these due times.
        runs: how many there are.
        reason: `expired`: older than `max_age`; `superseded`: only the last due time is caught up; `rejected`: the
            brokers, or the queue of tasks, do not accept it.
        tick: the tick at which this was decided.
    """

    id: str
    due: str
    last_due: str
    runs: int
    reason: str
    tick: str


Fields = Mapping[str, Any]
Item = tuple[str, Fields | bytes | None]
"""The id of a schedule, and its fields; or a line that was exported, for the same numbers to the last digit. None
deletes the schedule."""
OnResult = Callable[[ScheduleResult], None]
OnWait = Callable[[ServiceUnavailable, float], None]


class ScheduleDriver(Protocol):
    """One way to read and write schedules: through the service, or in Kafka. See `Schedules`."""

    def get(self, schedule_id: str) -> StoredSchedule | None: ...

    def write(
        self, schedule_id: str, fields: Fields | None, if_match: str | None, if_absent: bool
    ) -> WrittenSchedule | None:
        """Write a schedule, or delete it if `fields` is None. Return None if there was nothing to delete."""

    def write_many(self, items: Iterable[Item], on_result: OnResult) -> None: ...

    def scan(self, prefix: str, after: str | None) -> Iterator[StoredSchedule]: ...

    def export(self, prefix: str, after: str | None) -> Iterator[bytes]: ...

    def missed(self) -> Iterator[MissedRun]: ...

    def close(self) -> None: ...


def plain_fields(fields: Fields) -> dict[str, Any]:
    """Return the fields with times as text.

    Raises:
        InvalidValue: they are no mapping, or a datetime has no time zone.
    """
    if not isinstance(fields, Mapping):
        raise InvalidValue("schedule", fields, "wanted a mapping, such as {'interval': '60s', 'task': 'uptime.check'}")
    return {name: _plain_time(name, value) if name in _TIMES else value for name, value in fields.items()}


def _plain_time(name: str, value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise InvalidValue(name, value, "wanted a datetime with a time zone")
    return to_rfc3339(round(value.timestamp() * 1000))


def single_line(text: bytes) -> bytes:
    """Return a JSON object as one line. Raises InvalidValue if it has several."""
    line = text.strip()
    if b"\n" in line:
        raise InvalidValue("schedule", text[:60], "wanted one line")
    return line
