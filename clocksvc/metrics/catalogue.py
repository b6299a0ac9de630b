"""The catalogue of all metrics: name, type, labels, help text, and which replica exports them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple


class Exporter(StrEnum):
    """The processes that export a metric: replicas of the service, schedulers, or a user's process."""

    EVERY_REPLICA = "every replica"
    LEADER = "leader"
    CONSUMER = "consumer"
    OUTBOX = "outbox"
    SCHEDULER = "scheduler"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's name ends in `_total`."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    exporter: Exporter = Exporter.EVERY_REPLICA


class Reading(NamedTuple):
    """One sample. `labels` has the values of the labels, in the order of the catalogue."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


GLOBAL_CLOCK = Metric(
    "clocksvc_global_clock_timestamp_seconds",
    "gauge",
    ("clock",),
    "The time of the last tick. Everything before it has been processed. Absent before the first tick.",
)
LAST_TICK_EMITTED = Metric(
    "clocksvc_last_tick_emitted_timestamp_seconds",
    "gauge",
    ("clock",),
    "When the last tick was emitted, by the wall clock of its leader. Absent before the first tick.",
)
PARTITION_CLOCK = Metric(
    "clocksvc_partition_clock_timestamp_seconds",
    "gauge",
    ("clock", "topic", "partition"),
    "The highest record timestamp processed in a partition, minus max_out_of_orderness. Absent while unknown.",
    Exporter.LEADER,
)
HOLDING = Metric(
    "clocksvc_holding",
    "gauge",
    ("clock", "reason"),
    "1 with the reason of the clock's hold. 0 with the reason none if it does not hold. Other reasons are absent.",
)
HOLDING_PARTITION = Metric(
    "clocksvc_holding_partition",
    "gauge",
    ("clock", "topic", "partition"),
    "1 for each partition that holds the clock, at most the slowest 10. Other partitions are absent.",
)
PARTITIONS = Metric(
    "clocksvc_partitions",
    "gauge",
    ("clock", "state"),
    "Partitions by state: known, unknown (not reported yet) or excluded.",
)
TICKS = Metric(
    "clocksvc_ticks_total",
    "counter",
    ("clock",),
    "Ticks that this process has committed and published.",
)
DUE_TICKS = Metric(
    "clocksvc_due_ticks",
    "gauge",
    ("clock",),
    "Ticks that are due and not emitted yet, as the leader last published. Absent if no leader has published it.",
)
TICK_LATENCY = Metric(
    "clocksvc_tick_latency_seconds",
    "histogram",
    ("log",),
    "The time from the report that completed a boundary to the commit of its tick, once for each batch of ticks of a "
    "clock. Absent for logs that this process has not led.",
)
LEADER = Metric(
    "clocksvc_leader",
    "gauge",
    ("clock", "log"),
    "1 if this process leads the clock, else 0. The log is the partition of the tick log that has the clock's ticks.",
)
READY = Metric(
    "clocksvc_ready",
    "gauge",
    ("clock",),
    "1 if this process can answer for the clock, else 0. /readyz succeeds if this is 1 for all clocks.",
)
INTERVAL = Metric(
    "clocksvc_interval_seconds",
    "gauge",
    ("clock",),
    "The clock's interval, as configured.",
)
HOLD_AFTER = Metric(
    "clocksvc_hold_after_seconds",
    "gauge",
    ("clock",),
    "The clock holds if no tick is published for this long, as configured.",
)
OUT_OF_ORDERNESS = Metric(
    "clocksvc_max_out_of_orderness_seconds",
    "gauge",
    ("clock",),
    "How much later than its timestamp a record may be sent. If not set, absent until a leader has read the topics.",
)
REPORTS = Metric(
    "clocksvc_reports_total",
    "counter",
    ("clock", "outcome"),
    "Timestamps that consumers reported, by outcome.",
    Exporter.LEADER,
)
LATE_RECORDS = Metric(
    "clocksvc_late_records_total",
    "counter",
    ("clock",),
    "Records processed with a timestamp before a tick that was already published.",
    Exporter.LEADER,
)
HEARTBEATS = Metric(
    "clocksvc_heartbeats_total",
    "counter",
    ("clock", "outcome"),
    "Heartbeats by outcome: records delivered, records (or topics) failed, rounds expired. Absent if heartbeats are "
    "off and were never on.",
    Exporter.LEADER,
)
HEARTBEAT_SUCCESS = Metric(
    "clocksvc_heartbeat_last_success_timestamp_seconds",
    "gauge",
    ("clock",),
    "When a round of heartbeats last reached every partition. Absent before the first such round.",
    Exporter.LEADER,
)
HEARTBEAT_EVERY = Metric(
    "clocksvc_heartbeat_every_seconds",
    "gauge",
    ("clock",),
    "The time between two rounds of heartbeats, as configured. Absent if heartbeats are off.",
)
TASKS = Metric(
    "clocksvc_tasks_total",
    "counter",
    ("clock", "dispatcher", "namespace", "queue", "outcome"),
    "Due times that dispatchers processed, by outcome. A redelivery is counted again.",
    Exporter.LEADER,
)
DISPATCHER_CHECKPOINT = Metric(
    "clocksvc_dispatcher_checkpoint_timestamp_seconds",
    "gauge",
    ("clock", "dispatcher"),
    "The tick up to which a dispatcher has sent all due tasks. Absent while unknown.",
    Exporter.LEADER,
)
TASK_DUPLICATES = Metric(
    "clocksvc_task_duplicates_total",
    "counter",
    ("clock",),
    "Runs that is_duplicate recognised as redeliveries of tasks that had already succeeded. Absent before the first "
    "task.",
    Exporter.LEADER,
)
SCHEDULE_PARTITIONS = Metric(
    "clocksvc_schedule_partitions",
    "gauge",
    ("clock", "state"),
    "Partitions of schedules: owned by a scheduler, or unowned, so that nothing in them is sent.",
)
STAGE_BEHIND = Metric(
    "clocksvc_stage_behind_seconds",
    "gauge",
    ("clock", "upstream"),
    "How far a clock is behind an upstream clock: the difference of their last ticks. Absent before either has one.",
)
HOLDING_UPSTREAM = Metric(
    "clocksvc_holding_upstream",
    "gauge",
    ("clock", "stage", "stage_reason"),
    "1 for a clock that waits for upstream clocks, with the stage to blame and the reason of its hold, or none.",
)
OBSERVATION = Metric(
    "clocksvc_observation_timestamp_seconds",
    "gauge",
    ("clock",),
    "When the clock's committed offsets were last observed. Absent with source reports, and before the first time.",
)
WAITING_PARTITIONS = Metric(
    "clocksvc_waiting_partitions",
    "gauge",
    ("clock", "waits_for"),
    "Partitions that have not passed the next boundary, by what they wait for. Only with source committed.",
)
SKIPPED_RECORDS = Metric(
    "clocksvc_skipped_records_total",
    "counter",
    ("clock",),
    "Offsets that were removed before the group has committed them, or that it skipped after its offset expired. Only "
    "with source committed.",
    Exporter.LEADER,
)
GROUP_COMMITTED = Metric(
    "clocksvc_group_committed_offset",
    "gauge",
    ("clock", "group", "topic", "partition"),
    "The offset that the group has committed. Only with source committed. Absent if there is none that counts.",
    Exporter.LEADER,
)
GROUP_END = Metric(
    "clocksvc_group_end_offset",
    "gauge",
    ("clock", "group", "topic", "partition"),
    "The high watermark of a partition that the group reads. Only with source committed.",
    Exporter.LEADER,
)
OBSERVER_POLLS = Metric(
    "clocksvc_observer_polls_total",
    "counter",
    (),
    "Polls of this replica's observer of committed offsets. Absent without clocks with source committed.",
)
OBSERVER_SECONDS = Metric(
    "clocksvc_observer_poll_seconds_total",
    "counter",
    (),
    "The duration of all polls of this replica's observer.",
)
OBSERVER_REQUESTS = Metric(
    "clocksvc_observer_requests_total",
    "counter",
    ("kind",),
    "Requests of this replica's observer to Kafka, by kind.",
)
OBSERVER_READS = Metric(
    "clocksvc_observer_record_reads_total",
    "counter",
    (),
    "Single records that this replica's observer has read from Kafka.",
)
OBSERVER_FAILURES = Metric(
    "clocksvc_observer_failures_total",
    "counter",
    (),
    "Requests and reads of this replica's observer that Kafka did not answer completely.",
)
OBSERVER_RESTARTS = Metric(
    "clocksvc_observer_restarts_total",
    "counter",
    (),
    "How often the process of this replica's observer ended and was started again.",
)
STREAMS = Metric(
    "clocksvc_streams",
    "gauge",
    ("clock",),
    "The number of open streams of server-sent events in this process.",
)
STREAMS_DROPPED = Metric(
    "clocksvc_streams_dropped_total",
    "counter",
    ("clock",),
    "Streams that this process closed because the client stopped reading for 30 s.",
)
INVALID_HTTP = Metric(
    "clocksvc_invalid_http_requests_total",
    "counter",
    (),
    "Requests to this process that were not valid HTTP. Each got the status 400, or its connection was closed.",
)
BUILD_INFO = Metric(
    "clocksvc_build_info",
    "gauge",
    ("version",),
    "Always 1; the label is the version of this process.",
)

CATALOGUE = (
    GLOBAL_CLOCK,
    LAST_TICK_EMITTED,
    PARTITION_CLOCK,
    HOLDING,
    HOLDING_PARTITION,
    PARTITIONS,
    TICKS,
    DUE_TICKS,
    TICK_LATENCY,
    LEADER,
    READY,
    INTERVAL,
    HOLD_AFTER,
    OUT_OF_ORDERNESS,
    REPORTS,
    LATE_RECORDS,
    HEARTBEATS,
    HEARTBEAT_SUCCESS,
    HEARTBEAT_EVERY,
    TASKS,
    DISPATCHER_CHECKPOINT,
    TASK_DUPLICATES,
    SCHEDULE_PARTITIONS,
    STAGE_BEHIND,
    HOLDING_UPSTREAM,
    OBSERVATION,
    WAITING_PARTITIONS,
    SKIPPED_RECORDS,
    GROUP_COMMITTED,
    GROUP_END,
    OBSERVER_POLLS,
    OBSERVER_SECONDS,
    OBSERVER_REQUESTS,
    OBSERVER_READS,
    OBSERVER_FAILURES,
    OBSERVER_RESTARTS,
    STREAMS,
    STREAMS_DROPPED,
    INVALID_HTTP,
    BUILD_INFO,
)

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
