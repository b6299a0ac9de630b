"""The JSON of reports and of their answers, which `POST /v1/clocks/{clock}/reports` receives and returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from clocksvc.clock.partition import Outcome, PartitionTimestamp
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer

MIN_TIMESTAMP_MS, MAX_TIMESTAMP_MS = -(2**63), 2**63 - 1
"""The limits of a timestamp in a request: those of a record's timestamp in Kafka. Also a wrong one gets an outcome."""


def report_to_wire(report: Report) -> dict[str, Any]:
    """Return the body of the request."""
    body: dict[str, Any] = {"group": report.group, "reports": [_timestamp_to_wire(item) for item in report.timestamps]}
    if report.rejected:
        body["refusals"] = [
            _timestamp_to_wire(_bounded(item)) | {"outcome": outcome.value} for item, outcome in report.rejected
        ]
    if report.late_records:
        body["late_records"] = report.late_records
    if report.create_time_topics:
        body["create_time_topics"] = list(report.create_time_topics)
    if report.topic_ids:
        body["topic_ids"] = dict(report.topic_ids)
    return body


def answer_to_wire(clock: str, timestamps: Sequence[PartitionTimestamp], answer: ReportAnswer) -> dict[str, Any]:
    """Return the body of the response: global clock, outcomes in the order of `timestamps`, and clock parameters."""
    last_ms = answer.last_tick_ms
    return {
        "clock": clock,
        "time": None if last_ms is None else to_rfc3339(last_ms),
        "timestamp_seconds": None if last_ms is None else last_ms // 1000,
        "reports": [
            {"topic": partition.topic, "partition": partition.number, "outcome": outcome.value}
            for (partition, _), outcome in zip(timestamps, answer.outcomes, strict=True)
        ],
        "lowest_timestamp_ms": answer.lowest_ms,
        "bounds": None if answer.parameters is None else _parameters_to_wire(answer.parameters),
    }


def answer_from_wire(wire: Mapping[str, Any]) -> ReportAnswer:
    """The reverse of `answer_to_wire`. Ignores unknown fields.

    Raises:
        KeyError, TypeError, ValueError: this is not an answer.
    """
    parameters, seconds = wire["bounds"], wire["timestamp_seconds"]
    return ReportAnswer(
        outcomes=tuple(Outcome(item["outcome"]) for item in wire["reports"]),
        parameters=None if parameters is None else _parameters_from_wire(parameters),
        last_tick_ms=None if seconds is None else int(seconds) * 1000,
        lowest_ms=wire["lowest_timestamp_ms"],
    )


def _bounded(rejected: PartitionTimestamp) -> PartitionTimestamp:
    # `observe` accepts any integer. The service rejects the complete request if one is out of range.
    return rejected._replace(timestamp_ms=max(MIN_TIMESTAMP_MS, min(rejected.timestamp_ms, MAX_TIMESTAMP_MS)))


def _timestamp_to_wire(timestamp: PartitionTimestamp) -> dict[str, Any]:
    (topic, number), timestamp_ms = timestamp
    return {"topic": topic, "partition": number, "timestamp_ms": timestamp_ms}


def _parameters_to_wire(parameters: ClockParameters) -> dict[str, Any]:
    return {
        "group": parameters.group,
        "topics": list(parameters.topics),
        "interval_seconds": parameters.interval_ms // 1000,
        "max_out_of_orderness_seconds": parameters.out_of_orderness_ms / 1000,
        "max_future_seconds": parameters.max_future_ms / 1000,
        "max_drift_seconds": None if parameters.max_drift_ms is None else parameters.max_drift_ms / 1000,
    }


def _parameters_from_wire(wire: Mapping[str, Any]) -> ClockParameters:
    max_drift_seconds = wire["max_drift_seconds"]
    return ClockParameters(
        group=wire["group"],
        topics=tuple(wire["topics"]),
        interval_ms=int(wire["interval_seconds"]) * 1000,
        out_of_orderness_ms=round(wire["max_out_of_orderness_seconds"] * 1000),
        max_future_ms=round(wire["max_future_seconds"] * 1000),
        max_drift_ms=None if max_drift_seconds is None else round(max_drift_seconds * 1000),
    )
