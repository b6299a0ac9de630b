"""What requests and responses of schedules look like, for the OpenAPI. `clocksvc.schedules` reads and writes them."""

from typing import Any

from pydantic import BaseModel, Field

from clocksvc.api.models import Time

_TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "number", "description": "Epoch seconds."},
        {"type": "null"},
    ]
}
_DURATION = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,9})? ?(ms|s|m|h|d)?$"},
        {"type": "number", "minimum": 0, "description": "Seconds."},
        {"type": "null"},
    ]
}
_ID = {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$", "examples": ["monitor-1"]}
SCHEDULE: dict[str, Any] = {
    "title": "Schedule",
    "type": "object",
    "description": "One of `interval` and `cron` is required. null is the same as a missing field.",
    "required": ["task"],
    "additionalProperties": False,
    "properties": {
        "id": {**_ID, "description": "The id of the path. Required in an import."},
        "task": {
            "type": "string",
            "maxLength": 200,
            "pattern": r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)+$",
            "description": "A namespace and a name.",
            "examples": ["uptime.check"],
        },
        "interval": {
            **_DURATION,
            "description": "Due once in this time: whole seconds, a multiple of the clock's interval.",
            "examples": ["60s"],
        },
        "cron": {
            "type": ["string", "null"],
            "description": "Minute, hour, day of the month, month, day of the week.",
            "examples": ["0 2 * * *"],
        },
        "timezone": {
            "type": ["string", "null"],
            "description": "The time zone of `cron`, from the IANA database. UTC unless set.",
            "examples": ["Europe/Berlin"],
        },
        "payload": {"description": "Any JSON, at most 64 KiB and 256 levels deep. It is the value of the due records."},
        "starts_at": {**_TIME, "description": "The first time at which the schedule can be due."},
        "ends_at": {**_TIME, "description": "The schedule is not due at this time or later."},
        "catch_up": {
            "enum": ["all", "last", None],
            "description": "Which of several missed due times are sent: `all` (unless set), or only the `last`.",
        },
        "max_age": {**_DURATION, "description": "A due time longer ago than this is not sent."},
        "paused": {"type": ["boolean", "null"], "description": "True: not due, and not sent later."},
        "created_at": {
            **_TIME,
            "description": "When the id was first written. It is set by the service. A given time counts only if the "
            "id is new, so that a schedule that was exported keeps its age.",
        },
        "format": {"const": 1, "description": "The version of the format; can be left out."},
    },
}
"""The JSON Schema of a schedule in a request, for the OpenAPI."""


class ScheduleResponse(BaseModel):
    """A schedule. Fields that are not set are missing. It can be written and imported as it is."""

    id: str = Field(examples=["monitor-1"])
    created_at: Time = Field(description="When the id was first written. It is not due at this time or before.")
    task: str = Field(examples=["uptime.check"])
    interval: str | int | float | None = Field(default=None, examples=["60s"])
    cron: str | None = Field(default=None, examples=["0 2 * * *"])
    timezone: str | None = Field(default=None, examples=["Europe/Berlin"])
    payload: Any = Field(default=None, description="The value of the due records.")
    starts_at: Time | None = None
    ends_at: Time | None = None
    catch_up: str | None = Field(default=None, examples=["last"])
    max_age: str | int | float | None = Field(default=None, examples=["1h"])
    paused: bool | None = None


class SchedulesResponse(BaseModel):
    """A page of schedules, in the order of their ids."""

    schedules: list[ScheduleResponse]
    etags: list[str] = Field(description="The ETag of each schedule, in the same order.")
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page.", examples=["monitor-9"]
    )


class DeletedScheduleResponse(BaseModel):
    """The record that deletes a schedule. All in-sync replicas have it."""

    clock: str = Field(examples=["checkins"])
    id: str = Field(examples=["monitor-1"])
    partition: int = Field(description="The partition of the topic of schedules.", examples=[3])
    offset: int = Field(description="The offset of the record in this partition.", examples=[4711])


class WrittenScheduleResponse(DeletedScheduleResponse):
    """The record of a schedule. All in-sync replicas have it."""

    etag: str = Field(description="Also the header ETag.", examples=['"5f0c38d6a1b2e497"'])
    created_at: Time = Field(description="When the id was first written.")


class MissedRunResponse(BaseModel):
    """Due times of a schedule that were not sent."""

    id: str = Field(description="The id of the schedule.", examples=["monitor-1"])
    due: Time = Field(description="The first due time that was not sent.")
    last_due: Time = Field(description="The last one.")
    runs: int = Field(description="How many due times were not sent.", examples=[1])
    reason: str = Field(
        description="`expired`: older than the schedule's `max_age`. `superseded`: the schedule catches up with the "
        "`last` due time only. `rejected`: the brokers, or the queue of tasks, do not accept it.",
        examples=["expired"],
    )
    tick: Time = Field(description="The tick at which this was decided.")
    partition: int = Field(description="The partition of the topic of due records.", examples=[3])
    offset: int = Field(description="The offset of the record there.", examples=[815])


class MissedRunsResponse(BaseModel):
    """A page of missed runs, the newest tick first."""

    missed_runs: list[MissedRunResponse]
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page.", examples=["1795348800000.3.815"]
    )
    places: list[int | None] = Field(
        default=[],
        description="Only with `partitions`, for a process that merges pages: the place of each run in its partition.",
    )
