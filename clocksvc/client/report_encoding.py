"""Reports and their answers as JSON, for the HTTP service and those who report to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.interfaces.store import (
    ClockParameters,
    Report,
    ReportAnswer,
)


def report_to_wire(report: Report) -> dict[str, Any]:
    """The body of `POST /v1/clocks/{clock}/reports`."""
    body: dict[str, Any] = {"group": report.group, "reports": [_reading_to_wire(item) for item in report.timestamps]}
    if report.rejected:
        body["refusals"] = [_reading_to_wire(item) | {"outcome": outcome.value} for item, outcome in report.rejected]
    if report.late_records:
        body["late_records"] = report.late_records
    return body


def answer_to_wire(clock: str, readings: Sequence[PartitionTimestamp], answer: ReportAnswer) -> dict[str, Any]:
    """The answer to a report: the global clock, an outcome for each reading in order, and the clock's bounds."""
    last_ms = answer.last_tick_ms
    return {
        "clock": clock,
        "time": None if last_ms is None else to_rfc3339(last_ms),
        "timestamp_seconds": None if last_ms is None else last_ms // 1000,
        "reports": [
            {"topic": partition.topic, "partition": partition.number, "outcome": outcome.value}
            for (partition, _), outcome in zip(readings, answer.outcomes, strict=True)
        ],
        "bounds": None if answer.parameters is None else _bounds_to_wire(answer.parameters),
    }


def answer_from_wire(wire: Mapping[str, Any]) -> ReportAnswer:
    """The reverse of `answer_to_wire`; unknown fields are passed over.

    Raises:
        KeyError, TypeError, ValueError: for anything that is no answer.
    """
    bounds, seconds = wire["bounds"], wire["timestamp_seconds"]
    return ReportAnswer(
        outcomes=tuple(Outcome(item["outcome"]) for item in wire["reports"]),
        parameters=None if bounds is None else _bounds_from_wire(bounds),
        last_tick_ms=None if seconds is None else int(seconds) * 1000,
    )


def _reading_to_wire(reading: PartitionTimestamp) -> dict[str, Any]:
    (topic, number), timestamp_ms = reading
    return {"topic": topic, "partition": number, "timestamp_ms": timestamp_ms}


def _bounds_to_wire(bounds: ClockParameters) -> dict[str, Any]:
    return {
        "group": bounds.group,
        "topics": list(bounds.topics),
        "interval_seconds": bounds.interval_ms // 1000,
        "max_out_of_orderness_seconds": bounds.out_of_orderness_ms / 1000,
        "max_future_seconds": bounds.max_future_ms / 1000,
    }


def _bounds_from_wire(wire: Mapping[str, Any]) -> ClockParameters:
    return ClockParameters(
        group=wire["group"],
        topics=tuple(wire["topics"]),
        interval_ms=int(wire["interval_seconds"]) * 1000,
        out_of_orderness_ms=round(wire["max_out_of_orderness_seconds"] * 1000),
        max_future_ms=round(wire["max_future_seconds"] * 1000),
    )
