"""Access to the schedules of one clock from the event loop.

The owner of a partition alone reads and writes its schedules. `LocalSchedules` uses the partitions that this process
owns, and `ForwardedSchedules` sends requests to the processes that own them. The routes are the same over both.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from starlette.responses import Response

from clocksvc.api import problems
from clocksvc.api.missed_runs import MissedCursor, MissedPage
from clocksvc.api.problems import Problem
from clocksvc.errors import (
    ClocksvcError,
    Fenced,
    FencedAtCommit,
    InvalidValue,
    NotOwner,
    OutcomeUnknown,
    PreconditionFailed,
    RecordRejected,
    Unavailable,
    UnknownSchedule,
)
from clocksvc.interfaces.schedule_topics import SchedulesSpec, partition_of
from clocksvc.scheduler.commands import ALWAYS, Precondition
from clocksvc.schedules.schedule_json import SchedulePage

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page of schedules ends with the schedule that exceeds this size."""
NDJSON = "application/x-ndjson"
NO_OWNER, NOT_OWNER, KAFKA = "no_owner", "not_owner", "kafka"
"""The member `reason` of the problem `schedules-unavailable`."""


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A request for one schedule.

    Attributes:
        method: GET, PUT or DELETE.
        path: the path of the request.
        body: for PUT.
        precondition: what the headers If-Match and If-None-Match require.
        headers: If-Match, If-None-Match and the caller's credentials, for another process.
    """

    method: str
    path: str
    schedule_id: str
    body: bytes | None = None
    precondition: Precondition = ALWAYS
    headers: Mapping[str, str] = field(default_factory=dict)


class ScheduleLine(NamedTuple):
    """A line of an import. `text` is a JSON object in UTF-8 with a valid `id`."""

    schedule_id: str
    text: bytes


class LineResult(NamedTuple):
    """The result of a line.

    Attributes:
        members: of its JSON object, without the number of the line.
        unowned: True if nothing was written because the partition has no owner, or another one than expected.
        stalled: True if Kafka or the owner did not answer, which took seconds.
    """

    members: bytes
    unowned: bool = False
    stalled: bool = False


class PageQuery(NamedTuple):
    """Which schedules are listed.

    Attributes:
        after: the id to continue after.
        partitions: None for all.
    """

    prefix: str
    after: str | None
    limit: int
    partitions: Sequence[int] | None = None


class MissedQuery(NamedTuple):
    """Which missed runs are listed.

    Attributes:
        cursor: where to continue; None for the newest ones.
        partitions: None for all.
    """

    cursor: MissedCursor | None
    limit: int
    partitions: Sequence[int] | None = None


class ScheduleAccess(Protocol):
    """The schedules of one clock. Only for the event loop.

    All methods raise Problem. `credentials` is the header Authorization of the caller, for another process; None if
    the request had none.
    """

    @property
    def spec(self) -> SchedulesSpec:
        """The configured schedules."""

    async def one(self, request: ScheduleRequest) -> Response:
        """Read, write or delete one schedule."""

    async def page(self, query: PageQuery, credentials: str | None) -> SchedulePage:
        """Return the next schedules. The page ends early if it exceeds `MAX_PAGE_BYTES`."""

    async def write(self, lines: Sequence[ScheduleLine], credentials: str | None) -> list[LineResult]:
        """Write schedules, those of a partition in one transaction. Return a result for each line, in their order.

        A line that could not be written has a problem as its result.
        """

    async def missed(self, query: MissedQuery, credentials: str | None) -> MissedPage:
        """Return missed runs, newest first."""


def partition_of_id(spec: SchedulesSpec, schedule_id: str) -> int:
    """Return the partition of a schedule."""
    return partition_of(schedule_id.encode(), spec.partitions)


def checked_partitions(spec: SchedulesSpec, partitions: Collection[int] | None) -> list[int]:
    """Return the partitions of a query, sorted, without duplicates.

    Raises:
        InvalidValue: there is no such partition.
    """
    if partitions is None:
        return list(range(spec.partitions))
    for one in partitions:
        if one >= spec.partitions:
            raise InvalidValue("partitions", one, f"wanted 0 to {spec.partitions - 1}")
    return sorted(set(partitions))


def unavailable(spec: SchedulesSpec, partition: int, why: str, reason: str) -> Problem:
    """Return the problem (503) for a partition whose schedules were neither read nor written."""
    detail = f"partition {partition} of the schedules of clock {spec.clock!r} {why}"
    safe = "nothing has changed, and it is safe to send the request again"
    return Problem(problems.SCHEDULES_UNAVAILABLE, f"{detail}; {safe}", {"reason": reason})


def outcome_unknown(spec: SchedulesSpec, partition: int, why: str) -> Problem:
    """Return the problem (504) for a write with an unknown outcome."""
    detail = (
        f"partition {partition} of the schedules of clock {spec.clock!r}: {why}. It may have been written, or may be "
        "written within seconds. It is safe to send the request again; with If-Match or If-None-Match, read the "
        "schedule first."
    )
    return Problem(problems.WRITE_OUTCOME_UNKNOWN, detail)


def as_problem(spec: SchedulesSpec, partition: int, error: ClocksvcError) -> Problem:
    """Return the problem for an error of a command. Raises the error if it is not expected."""
    if isinstance(error, InvalidValue):
        return problems.invalid(error.field, error.value, error.wanted)
    if isinstance(error, UnknownSchedule):
        return Problem(problems.UNKNOWN_SCHEDULE, str(error))
    if isinstance(error, PreconditionFailed):
        return Problem(problems.PRECONDITION_FAILED, str(error), {"etag": error.etag})
    if isinstance(error, RecordRejected):
        return problems.invalid("body", None, f"wanted a schedule that Kafka accepts: {error}")
    if isinstance(error, OutcomeUnknown | FencedAtCommit):
        return outcome_unknown(spec, partition, str(error))
    if isinstance(error, NotOwner | Fenced):
        return unavailable(spec, partition, "has another owner now, or none", NOT_OWNER)
    if isinstance(error, Unavailable):
        return unavailable(spec, partition, f"can't be read or written: {error}", KAFKA)
    raise error


def failed_line(schedule_id: object, problem: Problem) -> LineResult:
    """Return the result of a line that was not written, or whose outcome is not known."""
    kind = problem.kind
    members: dict[str, Any] = {"id": problems.truncated(schedule_id), "status": kind.status, "type": kind.type}
    members |= {"detail": problem.detail, **problem.members}
    return line_result(json.dumps(members, separators=(",", ":"))[1:-1].encode(), members)


def line_result(text: bytes, members: Mapping[str, Any]) -> LineResult:
    """Return the result of a line that has a problem.

    Args:
        text: the members of the JSON object, without braces.
        members: the same, parsed.
    """
    reason = members.get("reason")
    stalled = reason == KAFKA or members.get("status") == problems.OUTCOME_UNKNOWN.status
    return LineResult(text, reason in (NO_OWNER, NOT_OWNER), stalled)
