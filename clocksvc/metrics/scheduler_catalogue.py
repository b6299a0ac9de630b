"""The catalogue of the metrics that `clocksvc scheduler` exports."""

from typing import Literal

from clocksvc.metrics.catalogue import Exporter, Metric


def _metric(name: str, kind: Literal["counter", "gauge"], text: str, *labels: str) -> Metric:
    return Metric(f"clocksvc_scheduler_{name}", kind, ("clock", "partition", *labels), text, Exporter.SCHEDULER)


BUILD_INFO = Metric(
    "clocksvc_scheduler_build_info",
    "gauge",
    ("version",),
    "Always 1; the label is the version of this process.",
    Exporter.SCHEDULER,
)
OWNER = _metric("owner", "gauge", "1 if this process owns the partition, 0 if it is a standby or loads it.")
LOADED = _metric(
    "loaded_ratio", "gauge", "How much of the partition has been read, 0 to 1. It is 1 once the partition is loaded."
)
SCHEDULES = _metric("schedules", "gauge", "Schedules, with those that are paused or have ended. Absent while it loads.")
UNREADABLE = _metric(
    "unreadable_records", "gauge", "Records that are no valid schedules, at most 100. Absent while it loads."
)
POSITION = _metric(
    "position_timestamp_seconds",
    "gauge",
    "The tick up to which the owner has sent everything that was due. Absent for a standby.",
)
TICKS = _metric("ticks_total", "counter", "Ticks that this process has handled as the owner.")
DUE = _metric("due_total", "counter", "Due records that this process has sent.")
MISSED = _metric(
    "missed_total", "counter", "Records of missed runs: due times not sent (catch_up, max_age, or rejected)."
)
LAST_TICK = _metric(
    "last_tick_seconds",
    "gauge",
    "How long the last transaction with due records took, by step. Absent before the first one.",
    "step",
)
TAKEOVERS = _metric("takeovers_total", "counter", "How often this process became the owner.")
FENCED = _metric("fenced_total", "counter", "How often another owner has fenced this process.")
PROBLEM = _metric("problem", "gauge", "1 if the partition does not work at present, else 0. The log has the cause.")

SCHEDULER_CATALOGUE = (
    BUILD_INFO,
    OWNER,
    LOADED,
    SCHEDULES,
    UNREADABLE,
    POSITION,
    TICKS,
    DUE,
    MISSED,
    LAST_TICK,
    TAKEOVERS,
    FENCED,
    PROBLEM,
)
