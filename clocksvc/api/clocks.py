"""`/v1/clocks`: all clocks in pages, the state of one clock, and its partitions, also in compact forms."""

import json
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.async_clock import LoopThreads
from clocksvc.api.dependencies import AnyCaller, ReadClock, allow_parameters
from clocksvc.api.problems import documented
from clocksvc.api.tokens import Scope
from clocksvc.clock.partition import Partition
from clocksvc.errors import InvalidValue
from clocksvc.service.clock_list import (
    ClockQuery,
    Order,
    count_statuses,
    cursor_after,
    is_found,
    parse_cursor,
    parse_statuses,
)
from clocksvc.service.clock_view import ClockView, PartitionPage
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.public_state import (
    PublicPartition,
    PublicState,
    brief_state_to_wire,
    public_partition_to_wire,
    state_to_wire,
)

router = APIRouter(tags=["clocks"])

MAX_COMPACT_PARTITIONS = 5_000
"""The maximum number of partitions in a compact page. Short entries reach this limit before `MAX_COMPACT_BYTES`."""
MAX_COMPACT_BYTES = 60_000
_PAGE_OVERHEAD_BYTES = 600
"""Reserved for the page's time and cursor. The cursor may contain a topic's name of the maximum length."""
_RUN_OVERHEAD_BYTES = 64
_MARK_BYTES = 1

After = Annotated[
    str | None,
    Query(max_length=300, description="The value of `next` in the previous page.", examples=["ingest-checkins:9"]),
]
TopicFilter = Annotated[
    str | None, Query(min_length=1, max_length=249, description="Return only partitions of this topic.")
]
_PARTITIONS_PROBLEMS = documented(
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.UNKNOWN_CLOCK,
    problems.INVALID,
    problems.STORE_UNAVAILABLE,
)


@router.get(
    "/v1/clocks",
    operation_id="listClocks",
    summary="List the clocks",
    response_model=models.Clocks,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.INVALID),
    dependencies=[allow_parameters("after", "limit", "status", "search", "order", "view")],
)
async def list_clocks(
    request: Request,
    caller: AnyCaller,
    after: Annotated[
        str | None,
        Query(
            max_length=100,
            description="The value of `next` in the previous page. The other parameters must be the same.",
            examples=["checkins", "0:1795348800000:checkins"],
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="The maximum size of the page.")] = 100,
    status: Annotated[
        str | None,
        Query(
            max_length=100,
            description="List only clocks with one of these statuses, separated by commas.",
            examples=["holding", "holding,catching_up"],
        ),
    ] = None,
    search: Annotated[
        str,
        Query(
            max_length=249,
            description="List only clocks whose name, group or one of whose topics contains this text.",
            examples=["billing"],
        ),
    ] = "",
    order: Annotated[
        Order,
        Query(
            description="`name`, or `worst`: the clocks that hold, longest first; those that wait for an upstream "
            "clock; those that catch up, furthest behind first; those whose schedules are not sent; paused ones; those "
            "that are rebuilt or start; those with excluded partitions or rejected reports; all others by name."
        ),
    ] = Order.NAME,
    view: Annotated[
        Literal["full", "brief"],
        Query(description="`full`: the form of `GET /v1/clocks/{clock}`. `brief`: less, and a page has at most 60 kB."),
    ] = "full",
) -> Response:
    """Returns the clocks that the caller may see, in pages. `counts` has the number of clocks with each status, of all
    that match `search`, on all pages and with any status.

    The states are at most 0.25 s old, or 1 ms for each clock of this replica if that is more. With the order `worst`, a
    clock whose state changes between two pages can be on both or on neither. A clock whose state does not change is on
    one of them."""
    caller.check_scope(Scope.READ)
    views: ClockViews = request.app.state.views
    query = ClockQuery(
        order,
        None if after is None else parse_cursor(after, order),
        None if status is None else parse_statuses(status),
    )
    names = [name for name in sorted(views) if caller.sees(name) and is_found(views[name].spec, search)]
    threads: LoopThreads = request.app.state.list_threads
    return await threads.run(lambda: _list_page(views.states(names), query, limit, brief=view == "brief"))


@router.get(
    "/v1/clocks/{clock}",
    operation_id="getClock",
    summary="Get the state of one clock",
    response_model=models.ClockStateResponse,
    responses=documented(problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.UNKNOWN_CLOCK, problems.INVALID),
    dependencies=[allow_parameters()],
)
async def get_clock(clock: ReadClock) -> Response:
    """Returns the state of the clock. Everything before `time` has been processed. If the clock holds, `hold` has the
    reason.

    If the store does not answer, the response has the last tick that this replica knows, and the hold
    `store_unavailable`."""
    return JSONResponse(state_to_wire(await clock.run_blocking(clock.view.state)))


@router.get(
    "/v1/clocks/{clock}/partitions",
    operation_id="listPartitions",
    summary="List all partition clocks",
    response_model=models.Partitions,
    responses=_PARTITIONS_PROBLEMS,
    dependencies=[allow_parameters("topic", "after", "limit")],
)
async def list_partitions(
    clock: ReadClock,
    topic: TopicFilter = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=5_000, description="The maximum size of the page.")] = 1_000,
) -> Response:
    """Returns the partition clocks, sorted by topic and partition number. Excluded partitions are listed too. The time
    of an unreported partition is null."""
    cursor = None if after is None else _parse_cursor(after)
    return await clock.run_blocking(lambda: _page(clock.view, cursor, limit, topic))


@router.get(
    "/v1/clocks/{clock}/partitions/brief",
    operation_id="briefPartitions",
    summary="List all partition clocks in a compact form",
    response_model=models.CompactPartitions,
    responses=_PARTITIONS_PROBLEMS,
    dependencies=[allow_parameters("after")],
)
async def list_compact_partitions(clock: ReadClock, after: After = None) -> Response:
    """Returns the partition clocks in a form that is small enough to draw all partitions every few seconds. They are
    sorted by topic and partition number. Excluded partitions are listed too. A page has at most 60 kB, which is enough
    for more than 4,096 partitions."""
    cursor = None if after is None else _parse_cursor(after)
    return await clock.run_blocking(lambda: _compact_page(clock.view, cursor))


def _list_page(states: Sequence[PublicState], query: ClockQuery, limit: int, *, brief: bool) -> Response:
    """Return a page of the list. Call it in a thread, because encoding many clocks would delay the event loop."""
    listed, left, items = query.select(states), MAX_COMPACT_BYTES - _PAGE_OVERHEAD_BYTES, list[str]()
    for state in listed[:limit]:
        item = json.dumps(brief_state_to_wire(state) if brief else state_to_wire(state), separators=(",", ":"))
        left -= len(item) + 1
        if brief and left < 0:
            break
        items.append(item)
    after = cursor_after(listed[len(items) - 1], query.order) if 0 < len(items) < len(listed) else None
    rest = json.dumps({"next": after, "counts": count_statuses(states)}, separators=(",", ":"))
    return Response(f'{{"clocks":[{",".join(items)}],{rest[1:]}', media_type="application/json")


def _page(view: ClockView, after: Partition | None, limit: int, topic: str | None) -> Response:
    """Return one page. Call it in a thread, because encoding thousands of partitions would delay the event loop."""
    found = view.partitions(after, limit + 1, topic).partitions
    page = found[:limit]
    following = str(page[-1].partition) if len(found) > limit else None
    return JSONResponse({"partitions": [public_partition_to_wire(one) for one in page], "next": following})


def _compact_page(view: ClockView, after: Partition | None) -> Response:
    found = view.partitions(after, MAX_COMPACT_PARTITIONS + 1)
    return Response(compact_page(found), media_type="application/json")


def _parse_cursor(text: str) -> Partition:
    wanted = "wanted topic:partition, such as ingest-checkins:0"
    try:
        partition = Partition.parse(text)
    except InvalidValue:
        raise InvalidValue("after", text, wanted) from None
    if partition.number >= 2**31:
        raise InvalidValue("after", text, wanted)
    return partition


def compact_page(found: PartitionPage) -> str:
    """Return the JSON of one compact page, at most `MAX_COMPACT_BYTES` long, with the first partitions of `found`.

    If more than `MAX_COMPACT_PARTITIONS` partitions are left to be listed, `found` must contain one more than this
    limit. The page then has a cursor to the next page.
    """
    runs: list[_Run] = []
    left, last = MAX_COMPACT_BYTES - _PAGE_OVERHEAD_BYTES, None
    for count, one in enumerate(found.partitions):
        partition, behind = one.partition, "null" if one.behind_ms is None else str(one.behind_ms)
        begins = not runs or not runs[-1].is_followed_by(partition)
        left -= len(behind) + 1 + _MARK_BYTES + (len(partition.topic) + _RUN_OVERHEAD_BYTES if begins else 0)
        if left < 0 or count == MAX_COMPACT_PARTITIONS:
            break
        if begins:
            runs.append(_Run(partition))
        runs[-1].add(behind, _mark(one))
        last = partition
    else:
        last = None
    listed = ",".join(run.to_json() for run in runs)
    return f'{{"now_ms":{found.now_ms},"runs":[{listed}],"next":{json.dumps(None if last is None else str(last))}}}'


class _Run:
    """Partitions of one topic with consecutive numbers."""

    def __init__(self, first: Partition) -> None:
        self._first = first
        self._behind: list[str] = []
        self._marks: list[str] = []

    def is_followed_by(self, partition: Partition) -> bool:
        return partition == (self._first.topic, self._first.number + len(self._marks))

    def add(self, behind: str, mark: str) -> None:
        self._behind.append(behind)
        self._marks.append(mark)

    def to_json(self) -> str:
        topic, marks, behind = json.dumps(self._first.topic), "".join(self._marks), ",".join(self._behind)
        return f'{{"topic":{topic},"first":{self._first.number},"behind_ms":[{behind}],"marks":"{marks}"}}'


def _mark(partition: PublicPartition) -> str:
    if partition.excluded:
        return "x"
    if partition.rejected is not None:
        return "!"
    return "." if partition.reported_timestamp_ms is not None else "?"
