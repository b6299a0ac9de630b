"""`/v1/clocks/{clock}/reports`: reports of consumers in any language, passed on to the store."""

from dataclasses import replace

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.dependencies import (
    ReportClock,
    asks,
    wants_json,
)
from clocksvc.api.problems import documented
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.report_encoding import answer_to_wire
from clocksvc.interfaces.store import Report

router = APIRouter(tags=["reports"])


@router.post(
    "/v1/clocks/{clock}/reports",
    operation_id="report",
    summary="Report how far partitions are processed",
    response_model=models.ReportAnswer,
    responses=documented(
        problems.UNAUTHENTICATED,
        problems.FORBIDDEN,
        problems.UNKNOWN_CLOCK,
        problems.BODY_TOO_LARGE,
        problems.NOT_JSON,
        problems.INVALID,
        problems.STORE_UNAVAILABLE,
        problems.STORE_MISMATCH,
    ),
    dependencies=[Depends(wants_json), asks()],
)
async def report(live: ReportClock, body: models.Report) -> Response:
    """Send the highest record timestamp processed in each partition, after its effects are durable. Repeat it every
    10 s, and an `unknown` one after a second; forget what was refused.

    One malformed field refuses the whole report. The answer has the global clock, and an outcome for each."""
    sent = _report(body)
    answer = await live.blocking(lambda: live.view.store.report(sent))
    last = live.feed.last
    known = [answer.last_tick_ms, None if last is None else last.at_ms]
    shown_ms = max((at_ms for at_ms in known if at_ms is not None), default=None)
    shown = replace(answer, last_tick_ms=shown_ms)
    return JSONResponse(answer_to_wire(live.view.spec.name, sent.timestamps, shown))


def _report(body: models.Report) -> Report:
    return Report(
        group=body.group,
        timestamps=tuple(_reading(item) for item in body.reports),
        rejected=tuple((_reading(item), Outcome(item.outcome)) for item in body.refusals),
        late_records=body.late_records,
    )


def _reading(item: models.Reading) -> PartitionTimestamp:
    return PartitionTimestamp(Partition(item.topic, item.partition), item.timestamp_ms)
