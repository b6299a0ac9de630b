"""`/v1/clocks/{clock}/reports`: consumers in any language send their reports, which are written to the store."""

from dataclasses import replace

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from clocksvc.api import models, problems
from clocksvc.api.dependencies import ReportClock, allow_parameters, require_json
from clocksvc.api.json_bodies import JsonBodyRoute
from clocksvc.api.problems import documented
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.report_encoding import answer_to_wire

router = APIRouter(tags=["reports"], route_class=JsonBodyRoute)


@router.post(
    "/v1/clocks/{clock}/reports",
    operation_id="report",
    summary="Report how far partitions are processed",
    response_model=models.ReportResponse,
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
    dependencies=[Depends(require_json), allow_parameters()],
)
async def report(clock: ReportClock, body: models.ReportRequest) -> Response:
    """Send the highest timestamp of the processed records for each partition. Report a record only after its effects
    are durable. Send each timestamp again every 10 s, or after 1 s if its outcome is `unknown`. Do not send a rejected
    timestamp again.

    If one field is malformed, the complete report is rejected, and the response names the first malformed item of each
    list. Otherwise the response has the global clock and an outcome for
    each item."""
    sent = _report(body)
    answer = await clock.run_blocking(lambda: clock.view.store.report(sent))
    last = clock.feed.last
    ticks_ms = [answer.last_tick_ms, None if last is None else last.at_ms]
    answer = replace(answer, last_tick_ms=max((at_ms for at_ms in ticks_ms if at_ms is not None), default=None))
    return JSONResponse(answer_to_wire(clock.view.spec.name, sent.timestamps, answer))


def _report(body: models.ReportRequest) -> Report:
    return Report(
        group=body.group,
        timestamps=tuple(_timestamp(item) for item in body.reports),
        rejected=tuple((_timestamp(item), Outcome(item.outcome)) for item in body.refusals),
        late_records=body.late_records,
        create_time_topics=tuple(body.create_time_topics),
        topic_ids=body.topic_ids,
    )


def _timestamp(item: models.ReportItem) -> PartitionTimestamp:
    return PartitionTimestamp(Partition(item.topic, item.partition), item.timestamp_ms)
