"""`/v1/clocks/{clock}/schedules`: read, write, delete, list, import and export the schedules of a clock."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Security
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse

from clocksvc.api import problems
from clocksvc.api.dependencies import ClockName, allow_parameters, bearer, is_head, require_media_type, unknown_clock
from clocksvc.api.missed_runs import MissedCursor, missed_page_to_wire
from clocksvc.api.open_streams import OpenStreams
from clocksvc.api.problems import Problem, documented
from clocksvc.api.request_guard import CALLER
from clocksvc.api.schedule_access import NDJSON, MissedQuery, PageQuery, ScheduleAccess, ScheduleRequest
from clocksvc.api.schedule_import import Results, import_schedules, parts_of
from clocksvc.api.schedule_models import (
    SCHEDULE,
    DeletedScheduleResponse,
    MissedRunsResponse,
    ScheduleResponse,
    SchedulesResponse,
    WrittenScheduleResponse,
)
from clocksvc.api.server import LONG_BODY
from clocksvc.api.tokens import Caller, Scope
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.scheduler.commands import ALWAYS, Precondition
from clocksvc.schedules.schedule_json import SchedulePage, page_to_json, to_lines

router = APIRouter(tags=["schedules"])
logger = logging.getLogger("clocksvc.api")

LARGE_IMPORTS_PER_TOKEN = 4
"""The maximum number of imports of more than one part that a token has in progress at a replica."""
EXPORT_PAGE = 1_000
EXPORT_PATIENCE_S = 30.0
"""How long an export that has begun waits for a partition without an owner."""
_ETAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_ETAGS = re.compile(rf"\s*{_ETAG.pattern}\s*(,\s*{_ETAG.pattern}\s*)*")


def schedules_with_scope(*scopes: Scope) -> Callable[..., Awaitable[ScheduleAccess]]:
    """Return a dependency that finds the schedules of the clock of the path.

    The dependency raises Problem: 403 if the caller has none of these scopes for the clock, 404 if the clock is not
    configured or has no schedules.
    """

    async def find(request: Request, clock: ClockName, _: Annotated[Any, Security(bearer)] = None) -> ScheduleAccess:
        caller: Caller = request.scope[CALLER]
        caller.check(*scopes, clock=clock)
        schedules: Mapping[str, ScheduleAccess | None] = request.app.state.schedules
        if clock not in schedules:
            raise unknown_clock(clock, caller, schedules)
        found = schedules[clock]
        if found is None:
            raise Problem(problems.NO_SCHEDULES, problems.NO_SCHEDULES.example.replace("checkins", clock))
        return found

    return find


async def credentials_of(request: Request) -> str | None:
    """A dependency that returns the header Authorization, with which a request can be sent to an owner."""
    return request.headers.get("authorization")


Schedules = Annotated[ScheduleAccess, Depends(schedules_with_scope(Scope.SCHEDULE))]
Credentials = Annotated[str | None, Depends(credentials_of)]
ScheduleId = Annotated[
    str,
    Path(alias="id", description="1 to 64 of `A-Z a-z 0-9 . _ : -`.", examples=["monitor-1"], max_length=300),
]
IfMatch = Annotated[
    str | None,
    Header(
        description="Write only if the schedule has one of these ETags, or with `*`, if it exists. Otherwise 412.",
        examples=['"5f0c38d6a1b2e497"'],
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(description="With `*`: write only if the id is new. Otherwise 412.", examples=["*"]),
]
Partitions = Annotated[
    str | None,
    Query(
        pattern=r"^\d{1,3}(,\d{1,3})*$",
        description="Return only what is in these partitions.",
        examples=["0,3"],
    ),
]
_PROBLEMS = (
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.UNKNOWN_CLOCK,
    problems.NO_SCHEDULES,
    problems.INVALID,
)
_OWNER_PROBLEMS = (*_PROBLEMS, problems.SCHEDULES_UNAVAILABLE, problems.STORE_UNAVAILABLE)
_WRITE_PROBLEMS = (*_OWNER_PROBLEMS, problems.PRECONDITION_FAILED, problems.WRITE_OUTCOME_UNKNOWN)


@router.get(
    "/v1/clocks/{clock}/schedules",
    operation_id="listSchedules",
    summary="List or export schedules",
    response_model=SchedulesResponse,
    responses={
        200: {
            "content": {
                NDJSON: {"schema": {"type": "string"}, "example": '{"id":"monitor-1","task":"uptime.check",…}\n'}
            }
        },
        **documented(*_OWNER_PROBLEMS),
    },
    dependencies=[allow_parameters("prefix", "after", "limit", "partitions")],
)
async def list_schedules(
    request: Request,
    schedules: Schedules,
    credentials: Credentials,
    prefix: Annotated[
        str, Query(max_length=64, description="Return only schedules whose ids begin with this.", examples=["eu:"])
    ] = "",
    after: Annotated[
        str | None,
        Query(max_length=64, description="The value of `next` in the previous page.", examples=["monitor-9"]),
    ] = None,
    limit: Annotated[
        int | None,
        Query(ge=1, le=1_000, description="The maximum size of the page, 100 unless set. A page has at most 4 MiB."),
    ] = None,
    partitions: Partitions = None,
) -> Response:
    """Returns the schedules in the order of their ids (of their bytes), in pages.

    With `Accept: application/x-ndjson`, it returns all of them, one in a line, in the form that an import accepts. If
    it can't be completed, the connection is closed before the end of the response. `limit` is the maximum number of
    lines; there is no limit unless it is set.

    Needs the scope `schedule`."""
    query = PageQuery(prefix, after, limit or 100, parse_partitions(partitions))
    if NDJSON not in request.headers.get("accept", "").lower():
        page = await schedules.page(query, credentials)
        return Response(page_to_json(page), media_type="application/json")
    first = await schedules.page(query._replace(limit=min(limit or EXPORT_PAGE, EXPORT_PAGE)), credentials)
    if is_head(request):
        return Response(media_type=NDJSON)
    lines = _exported(request, schedules, query._replace(limit=limit or 0), first, credentials)
    return StreamingResponse(lines, media_type=NDJSON)


@router.post(
    "/v1/clocks/{clock}/schedules",
    operation_id="importSchedules",
    summary="Import schedules, one in a line",
    response_class=Response,
    responses={
        200: {
            "description": "A result for each line that is not blank.",
            "content": {
                NDJSON: {
                    "schema": {"type": "string"},
                    "example": '{"line":1,"id":"monitor-1","status":200,"partition":3,"offset":4711,"etag":"…"}\n',
                }
            },
        },
        **documented(*_PROBLEMS, problems.NOT_JSON, problems.TOO_MANY_STREAMS),
    },
    dependencies=[allow_parameters()],
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "NDJSON: any number of lines of at most 128 KiB, each a schedule with its `id`, or an `id` "
            'with `"deleted": true`.',
            "content": {
                NDJSON: {
                    "schema": {"type": "string"},
                    "example": '{"id":"monitor-1","interval":"60s","task":"uptime.check"}\n',
                }
            },
        }
    },
)
async def import_lines(
    request: Request,
    schedules: Schedules,
    credentials: Credentials,
    _: Annotated[None, Depends(require_media_type(NDJSON))],
) -> Response:
    """Creates or replaces a schedule for each line. A line `{"id": "…", "deleted": true}` deletes one, if there is one.
    Returns one result a line, in the order of the input: `line` (its
    number), `id`, and `status`, as `PUT` would respond. With 200 it has `partition`, `offset` and `etag`; otherwise the
    members of problem details. A line that fails does not stop the others. It is safe to import lines again.

    The body is read in parts, so it has no maximum size. Results are sent after the end of the body. If the import
    ends early, the last result has the first line that was not read, and the `id` null.

    Needs the scope `schedule`."""
    request.scope.setdefault("state", {})[LONG_BODY] = True
    imports: OpenStreams = request.app.state.imports
    parts = parts_of(request.stream())
    try:
        first, last = await anext(parts)
        if last:
            return _results(await import_schedules(schedules, _once(first), credentials, lambda: False))
        caller: Caller = request.scope[CALLER]
        imports.check(caller)
        with imports.counted(caller):
            both = _chained((first, last), parts)
            closing = request.app.state.closing.is_set
            return _results(await import_schedules(schedules, both, credentials, closing))
    except ClientDisconnect:
        logger.info(
            "import of schedules ended: the client closed the connection", extra={"clock": schedules.spec.clock}
        )
        return Response(status_code=400)  # nothing is sent on a closed connection


@router.get(
    "/v1/clocks/{clock}/schedules/missed-runs",
    operation_id="listMissedRuns",
    summary="List due times that were not sent",
    response_model=MissedRunsResponse,
    responses=documented(*_OWNER_PROBLEMS),
    dependencies=[allow_parameters("after", "limit", "partitions")],
)
async def list_missed_runs(
    schedules: Annotated[ScheduleAccess, Depends(schedules_with_scope(Scope.READ, Scope.SCHEDULE))],
    credentials: Credentials,
    after: Annotated[
        str | None,
        Query(
            max_length=8_000, description="The value of `next` in the previous page.", examples=["1795348800000.3.815"]
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="The maximum size of the page.")] = 100,
    partitions: Partitions = None,
) -> Response:
    """Returns the due times of schedules that were not sent: because they were older than the schedule's `max_age`, it
    catches up with the last due time only, or they were rejected. Those of the newest tick come first. They are kept
    as long as the topic of due records keeps its records. An entry has all due times of a schedule that were missed at
    one tick.

    Needs the scope `read` or `schedule`."""
    cursor = None if after is None else MissedCursor.parse(after)
    page = await schedules.missed(MissedQuery(cursor, limit, parse_partitions(partitions)), credentials)
    return JSONResponse(missed_page_to_wire(page, cursor, with_places=partitions is not None))


@router.get(
    "/v1/clocks/{clock}/schedules/{id}",
    operation_id="getSchedule",
    summary="Get one schedule",
    response_model=ScheduleResponse,
    responses=documented(*_OWNER_PROBLEMS, problems.UNKNOWN_SCHEDULE),
    dependencies=[allow_parameters()],
)
async def get_schedule(
    request: Request, schedules: Schedules, credentials: Credentials, schedule_id: ScheduleId
) -> Response:
    """Returns the schedule as it was last written, and its ETag for If-Match. It can be written again as it is.

    Needs the scope `schedule`."""
    return await schedules.one(_request(request, schedules, credentials, schedule_id))


@router.put(
    "/v1/clocks/{clock}/schedules/{id}",
    operation_id="putSchedule",
    summary="Create or replace a schedule",
    response_model=WrittenScheduleResponse,
    responses=documented(*_WRITE_PROBLEMS, problems.BODY_TOO_LARGE, problems.NOT_JSON),
    dependencies=[allow_parameters()],
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": SCHEDULE}}}},
)
async def put_schedule(
    request: Request,
    schedules: Schedules,
    credentials: Credentials,
    schedule_id: ScheduleId,
    _: Annotated[None, Depends(require_media_type("application/json"))],
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Returns 200 once all in-sync replicas have the schedule, with its partition and offset in the topic of schedules.
    What was acknowledged before a tick counts at this tick. It replaces the schedule as a whole; only `created_at`
    stays. It is safe to repeat the request.

    503 means that nothing has changed. 504 means that the outcome is not known.

    Needs the scope `schedule`."""
    precondition = parse_precondition(if_match, if_none_match)
    body = await request.body()
    return await schedules.one(_request(request, schedules, credentials, schedule_id, precondition, body))


@router.delete(
    "/v1/clocks/{clock}/schedules/{id}",
    operation_id="deleteSchedule",
    summary="Delete a schedule",
    response_model=DeletedScheduleResponse,
    responses=documented(*_WRITE_PROBLEMS, problems.UNKNOWN_SCHEDULE),
    dependencies=[allow_parameters()],
)
async def delete_schedule(
    request: Request,
    schedules: Schedules,
    credentials: Credentials,
    schedule_id: ScheduleId,
    if_match: IfMatch = None,
) -> Response:
    """Returns 200 once all in-sync replicas have the deletion, with its partition and offset. The schedule is not due
    at a tick that comes later. 404 if there is no such schedule, for example because it was deleted before.

    503 means that nothing has changed. 504 means that the outcome is not known.

    Needs the scope `schedule`."""
    precondition = parse_precondition(if_match, None)
    return await schedules.one(_request(request, schedules, credentials, schedule_id, precondition))


def parse_partitions(text: str | None) -> list[int] | None:
    """Return the numbers of a query parameter that fits `Partitions`."""
    return None if text is None else [int(one) for one in text.split(",")]


def parse_precondition(if_match: str | None, if_none_match: str | None) -> Precondition:
    """Return what two headers require. A weak ETag matches nothing.

    Raises:
        InvalidValue: a header is not valid.
    """
    if if_none_match is not None and if_none_match.strip() != "*":
        raise InvalidValue("If-None-Match", if_none_match, "wanted *")
    absent = if_none_match is not None
    if if_match is None:
        return Precondition(absent=absent)
    if if_match.strip() == "*":
        return Precondition(exists=True, absent=absent)
    if not _ETAGS.fullmatch(if_match):
        raise InvalidValue("If-Match", if_match, 'wanted * or ETags with quotation marks, such as "5f0c38d6a1b2e497"')
    strong = frozenset(found[2] for found in _ETAG.finditer(if_match) if found[1] is None)
    return Precondition(etags=strong, absent=absent)


def _request(
    request: Request,
    schedules: ScheduleAccess,
    credentials: str | None,
    schedule_id: str,
    precondition: Precondition = ALWAYS,
    body: bytes | None = None,
) -> ScheduleRequest:
    """Return a request for one schedule. Raises InvalidValue if the id is not valid."""
    path = f"/v1/clocks/{schedules.spec.clock}/schedules/{parse_id(schedule_id)}"
    headers = {name: request.headers[name] for name in ("if-match", "if-none-match") if name in request.headers}
    if credentials is not None:
        headers["Authorization"] = credentials
    return ScheduleRequest(request.method, path, schedule_id, body, precondition, headers)


def _results(results: Results) -> Response:
    async def sent() -> AsyncIterator[bytes]:
        for part in results.read():
            yield part

    return StreamingResponse(sent(), media_type=NDJSON)


async def _once(part: Any) -> AsyncIterator[tuple[Any, bool]]:
    yield part, True


async def _chained(first: Any, following: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for one in following:
        yield one


async def _exported(
    request: Request, schedules: ScheduleAccess, query: PageQuery, page: SchedulePage, credentials: str | None
) -> AsyncIterator[bytes]:
    """Yield the lines of an export. `query.limit` is 0 for no limit.

    Raises:
        Problem: the rest can't be read. The server closes the connection, so that the client sees that it is missing.
    """
    left = query.limit - len(page.schedules)
    while True:
        yield to_lines(page.schedules)
        if page.next is None or left == 0:
            return
        limit = min(left, EXPORT_PAGE) if query.limit else EXPORT_PAGE
        page = await _next_page(request, schedules, query._replace(after=page.next, limit=limit), credentials)
        left -= len(page.schedules)


async def _next_page(
    request: Request, schedules: ScheduleAccess, query: PageQuery, credentials: str | None
) -> SchedulePage:
    now, backoff = asyncio.get_running_loop().time, Backoff(CONNECTION)
    deadline = now() + EXPORT_PATIENCE_S
    while True:
        try:
            return await schedules.page(query, credentials)
        except Problem as problem:
            wait_s = backoff.next()
            if problem.kind.status != problems.SCHEDULES_UNAVAILABLE.status or now() + wait_s > deadline:
                raise
            if request.app.state.closing.is_set():
                raise Problem(problems.SHUTTING_DOWN) from problem
        await asyncio.sleep(wait_s)
