"""`/v1/clocks/{clock}/partitions`: every partition clock, in pages; `…/partitions/brief`: in a few bytes each."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from clocksvc.api import compact_partitions, models, problems
from clocksvc.api.dependencies import (
    ReadClock,
    asks,
)
from clocksvc.api.problems import documented
from clocksvc.clock.partition import Partition
from clocksvc.errors import InvalidValue
from clocksvc.service.clock_view import ClockView
from clocksvc.service.public_state import public_partition_to_wire

router = APIRouter(tags=["clocks"])

After = Annotated[
    str | None, Query(max_length=300, description="`next` of the page before.", examples=["ingest-checkins:9"])
]
_PROBLEMS = documented(
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.UNKNOWN_CLOCK,
    problems.INVALID,
    problems.STORE_UNAVAILABLE,
)


@router.get(
    "/v1/clocks/{clock}/partitions",
    operation_id="listPartitions",
    summary="Every partition clock",
    response_model=models.Partitions,
    responses=_PROBLEMS,
    dependencies=[asks("topic", "after", "limit")],
)
async def partitions(
    live: ReadClock,
    topic: Annotated[str | None, Query(min_length=1, max_length=249, description="Only this topic's.")] = None,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=5_000, description="How many on a page.")] = 1_000,
) -> Response:
    """In order of topic and number, excluded ones too. One that nobody has reported has null for its time."""
    cursor = None if after is None else _partition(after)
    return await live.blocking(lambda: _page(live.view, cursor, limit, topic))


@router.get(
    "/v1/clocks/{clock}/partitions/brief",
    operation_id="briefPartitions",
    summary="Every partition clock, in a few bytes each",
    response_model=models.Brief,
    responses=_PROBLEMS,
    dependencies=[asks("after")],
)
async def brief_partitions(live: ReadClock, after: After = None) -> Response:
    """For a picture of them all: a page has at most 60 kB, which is enough for 4,096 partitions and more. In order of
    topic and number, excluded ones too."""
    cursor = None if after is None else _partition(after)
    return await live.blocking(lambda: _brief_page(live.view, cursor))


def _brief_page(view: ClockView, after: Partition | None) -> Response:
    found = view.partitions(after, compact_partitions.MOST + 1)
    return Response(compact_partitions.page(found), media_type="application/json")


def _page(view: ClockView, after: Partition | None, limit: int, topic: str | None) -> Response:
    """In a thread: a page of thousands takes the event loop's time to write."""
    found = view.partitions(after, limit + 1, topic).partitions
    page = found[:limit]
    following = str(page[-1].partition) if len(found) > limit else None
    return JSONResponse({"partitions": [public_partition_to_wire(one) for one in page], "next": following})


def _partition(text: str) -> Partition:
    wanted = "wanted topic:partition, such as ingest-checkins:0"
    try:
        partition = Partition.parse(text)
    except InvalidValue:
        raise InvalidValue("after", text, wanted) from None
    if partition.number >= 2**31:
        raise InvalidValue("after", text, wanted)
    return partition
