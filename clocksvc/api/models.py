"""Pydantic models that validate request bodies, and document requests and responses in the OpenAPI.

They do not encode responses, because pydantic would be too slow for thousands of partitions. Functions such as
`state_to_wire` and `Tick.to_wire` encode responses; tests compare the result with these models.
"""

from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from clocksvc.api.problems import MAX_ERRORS
from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.partition import Outcome
from clocksvc.clock.request import MAX_REASON_LENGTH
from clocksvc.interfaces.progress import MAX_LATE_RECORDS
from clocksvc.interfaces.report_encoding import MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T12:00:00Z"])]
Topic = Annotated[str, Field(min_length=1, max_length=249, examples=["ingest-checkins"])]
TopicId = Annotated[str, Field(min_length=1, max_length=64, examples=["JgrNaDH9TVmb0JT0wtwzSw"])]
Number = Annotated[int, Field(ge=0, le=2**31 - 1, examples=[0])]
ReasonText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_REASON_LENGTH,
        description="The reason, in one line.",
        examples=["disk of broker 3 died, INC-4711"],
    ),
]


class PartitionRef(BaseModel):
    """A partition of a Kafka topic."""

    topic: Topic
    partition: Number


class TickResponse(BaseModel):
    """The global clock has reached `time`. In every partition, everything before `time` has been processed."""

    clock: str = Field(examples=["checkins"])
    time: Time
    timestamp_seconds: int = Field(examples=[1795348800])
    previous: Time | None = Field(description="The time of the previous tick; null for the first tick of a clock.")
    interval_seconds: int = Field(examples=[60])
    emitted_at: Time
    excluded: list[PartitionRef] = Field(
        description="The partitions that this tick did not wait for, also those of upstream clocks."
    )


class PartitionClockResponse(PartitionRef):
    """One partition and its clock."""

    time: Time | None = Field(
        description="The partition clock: the highest reported timestamp minus `max_out_of_orderness`."
    )
    timestamp_ms: int | None
    behind_seconds: float | None
    reported_at: Time | None = Field(description="When the partition was last reported, by the store's clock.")
    reported_timestamp_ms: int | None = Field(description="The highest record timestamp reported.")
    excluded: bool
    refused: Outcome | None = Field(description="The outcome of the newest report if it was rejected, else null.")
    committed_offset: int | None = Field(
        description="With source `committed`: the offset that the group has committed; null if there is none that "
        "counts."
    )
    end_offset: int | None = Field(description="With source `committed`: the high watermark.")
    waits_for: str | None = Field(
        description="With source `committed`: why the partition has not passed the next boundary, for example "
        "`nothing_committed`, or the empty text if it has. Null if it is not known, and with source `reports`.",
        examples=["not_processed"],
    )


class WaitedFor(BaseModel):
    """The upstream clock for which a clock waits."""

    clock: str = Field(examples=["raw"])
    url: str = Field(description="The service that runs it; empty for this installation.")
    time: Time | None = Field(description="Its last tick.")
    status: str | None = Field(description="Its status, as `status` of a clock.")
    hold: dict[str, Any] | None = Field(
        description="Its hold, as `hold` of a clock. If it waits for an upstream clock itself, that clock is in its "
        "`upstream`, and so on, up to the clock that is to blame."
    )


class HoldResponse(BaseModel):
    """Why a clock publishes no ticks."""

    reason: Reason = Field(description="During an upgrade, it can also be a reason that only the newer version has.")
    since: Time | None = Field(
        description="When the last tick was emitted. Before the first tick: when the first leader started."
    )
    partitions: list[PartitionRef]
    detail: str
    upstream: WaitedFor | None = Field(
        description="The upstream clock for which this clock waits (`upstream_behind`), else null."
    )


class PastHoldResponse(BaseModel):
    """One hold of the history."""

    reason: Reason = Field(description="During an upgrade, it can also be a reason that only the newer version has.")
    began_at: Time = Field(
        description="When a leader first published a hold with this reason. If the reason also occurs on a healthy "
        "clock, for example `partition_behind`, the clock had no tick for `hold_after` before."
    )
    ended_at: Time | None = Field(
        description="When the hold ended, or when its reason changed. Null while it lasts. Without a leader, it is "
        "when the last leader published it."
    )
    partitions: list[PartitionRef] = Field(
        description="The partitions that the leader named last, at most 10.", max_length=10
    )
    detail: str = Field(description="The detail that the leader published last.")
    upstream: WaitedFor | None = Field(description="As the leader published it last.")


class Holds(BaseModel):
    """A page of the history of holds, the newest one first."""

    holds: list[PastHoldResponse]
    next: Time | None = Field(description="The value of `after` for the next page; null on the last page.")
    kept_since: Time | None = Field(
        description="The history is complete since this time. Null if no leader has published a status yet."
    )


class AuditInfo(BaseModel):
    """Who requested the change, when and why."""

    by: str = Field(description="The name of the token; `anonymous` if no tokens are configured.", examples=["ops"])
    at: Time
    reason: str = Field(examples=["disk of broker 3 died, INC-4711"])


class ExclusionResponse(PartitionRef, AuditInfo):
    """A partition that ticks do not wait for."""


class Overrides(BaseModel):
    """The operator overrides of a clock: its exclusions and its pause."""

    clock: str = Field(examples=["checkins"])
    exclusions: list[ExclusionResponse]
    pause: AuditInfo | None


class PartitionCountsResponse(BaseModel):
    """How many partitions are known, unknown and excluded. Null while the store does not answer."""

    known: int | None
    unknown: int | None
    excluded: int | None
    rejected: int | None = Field(description="How many partitions had a rejected report as their newest report.")


class Heartbeats(BaseModel):
    """The heartbeats of a clock: records that keep quiet partitions moving. Counts start again at 0 if the store loses
    its data. They are null while the store does not answer."""

    every_seconds: float | None = Field(description="The time between two rounds; null if heartbeats are off.")
    last_success_at: Time | None = Field(description="When a round last reached every partition.")
    delivered: int | None = Field(description="The number of records delivered.")
    failed: int | None = Field(
        description="The number of records not delivered, plus topics whose partitions are not known."
    )
    expired: int | None = Field(description="The number of rounds that were too late to be sent.")


class SchedulesSummary(BaseModel):
    """The schedules of a clock. A value that is not known is null; a sum is known only if it is known for each
    partition."""

    partitions: int = Field(description="The configured number of partitions.", examples=[8])
    owned: int | None = Field(
        description="How many partitions a scheduler owns. What is due in the others is sent once one owns them."
    )
    replicas: int | None = Field(description="The number of live schedulers.")
    loading: int | None = Field(
        description="How many partitions schedulers load now, to own them or to be their standby."
    )
    loaded_ratio: float | None = Field(
        description="The share of these partitions that has been read, 0 to 1. Also null if none is being loaded."
    )
    count: int | None = Field(
        description="The number of schedules, with those that are paused or have ended.", examples=[1_000_000]
    )
    unreadable: int | None = Field(
        description="The number of records that are no valid schedules, at most 100 of each partition."
    )
    due_per_minute: float | None = Field(
        description="How many due records were sent for each minute of the clock, at its last ticks.", examples=[16667]
    )
    missed: int | None = Field(
        description="How many missed runs were recorded, since the processes of the present owners have started."
    )
    position: Time | None = Field(description="The tick up to which everything that was due has been sent.")
    problems: list[str] = Field(description="Why partitions do not work, at most 5.", max_length=5)


class UpstreamResponse(BaseModel):
    """An upstream clock, as the observer of the clock last read it. A value that is not known is null."""

    clock: str = Field(examples=["raw"])
    url: str = Field(description="The service that runs it; empty for this installation.")
    time: Time | None = Field(description="Its last tick.")
    timestamp_seconds: int | None
    status: str | None = Field(description="Its status, as `status` of a clock.")
    hold: dict[str, Any] | None = Field(description="Its hold, as `hold` of a clock.")
    problem: str = Field(description="Why it could not be read; empty if it was.")


class UpstreamName(BaseModel):
    """The name of an upstream clock."""

    clock: str = Field(examples=["raw"])
    url: str = Field(description="The service that runs it; empty for this installation.")


class ObserverResponse(BaseModel):
    """What the observer of the committed offsets found in its last poll."""

    observed_at: Time = Field(description="When the poll ended, by the observer's wall clock.")
    problem: str = Field(description="Why the group's offsets are not known; empty if they are.")
    waiting: dict[str, int] = Field(
        description="The number of partitions that have not passed the next boundary, for each value of `waits_for`."
    )
    skipped_records: int = Field(
        description="How many offsets the group has skipped since the observer started: their records were removed "
        "before it committed them, or it began at a later offset after the former one had expired."
    )
    committed_partitions: int | None = Field(
        description="In how many partitions the group has a committed offset; null if that is not known."
    )


class ClockStateResponse(BaseModel):
    """The state of a clock as this replica sees it. A value that is not known is null."""

    clock: str = Field(examples=["checkins"])
    time: Time | None = Field(description="The global clock. Everything before this time has been processed.")
    timestamp_seconds: int | None
    interval_seconds: int
    hold_after_seconds: float = Field(description="The clock holds if no tick is published for this long.")
    max_out_of_orderness_seconds: float | None = Field(
        description="How much later than its timestamp a record may be sent."
    )
    behind_seconds: float | None
    due_ticks: int | None = Field(
        description="How many ticks are due and not emitted yet. More than 1,000 are announced here before the first "
        "one is emitted. Null if no leader has published the number."
    )
    status: Status
    hold: HoldResponse | None
    partitions: PartitionCountsResponse
    exclusions: list[ExclusionResponse] = Field(
        description="The partitions that ticks do not wait for. Also empty if the store does not answer or lost its "
        "data."
    )
    pause: AuditInfo | None = Field(
        description="Null if the clock is not paused. Also null if the store does not answer or lost its data."
    )
    slowest: list[PartitionClockResponse] = Field(
        description="The partitions with the lowest clocks, at most 10. Unknown partitions come first."
    )
    leader: str | None
    topics: list[str]
    group: str = Field(description="The consumer group whose progress counts.", examples=["checkins-consumer"])
    source: Literal["reports", "committed"] = Field(
        description="Where the progress comes from: `reports` of consumers, or the group's `committed` offsets."
    )
    after: list[UpstreamResponse] = Field(description="The upstream clocks, in the order of the configuration.")
    observer: ObserverResponse | None = Field(
        description="Null with source `reports`, before the first poll, and while the store does not answer."
    )
    heartbeats: Heartbeats
    schedules: SchedulesSummary | None = Field(description="Null if the clock has no schedules.")
    last_tick: TickResponse | None


class BriefHold(BaseModel):
    """Why a clock publishes no ticks, in short."""

    reason: Reason = Field(description="During an upgrade, it can also be a reason that only the newer version has.")
    since: Time | None = Field(description="As in the form of one clock.")
    partitions: list[PartitionRef] = Field(description="The first partition that the hold names.", max_length=1)
    partition_count: int = Field(description="How many partitions the hold names, at most 100.")
    upstream: UpstreamName | None = Field(
        description="With `upstream_behind`: the clock that is to blame, the last one of the chain of upstream clocks."
    )


class BriefClock(BaseModel):
    """A clock in the list with `view=brief`. A value that is not known is null."""

    clock: str = Field(examples=["checkins"])
    time: Time | None
    timestamp_seconds: int | None
    interval_seconds: int
    behind_seconds: float | None
    due_ticks: int | None
    status: Status
    hold: BriefHold | None
    partitions: PartitionCountsResponse
    source: Literal["reports", "committed"]
    after: list[UpstreamName] = Field(description="The upstream clocks, in the order of the configuration.")
    schedules: SchedulesSummary | None = Field(description="As in the form of one clock, without its `problems`.")


class StageResponse(BaseModel):
    """One stage of a pipeline, which is a clock. A value that is not known is null."""

    clock: str = Field(examples=["raw"])
    url: str = Field(description="The service that runs it; empty for this installation.")
    number: int = Field(
        description="1 without a stage before it; otherwise one more than the highest number of those before it."
    )
    after: list[UpstreamName] = Field(description="The stages before it.")
    time: Time | None = Field(description="Its last tick.")
    timestamp_seconds: int | None
    behind_seconds: float | None
    stage_behind_seconds: float | None = Field(
        description="How far it is behind the earliest of the stages before it. Null for a first stage."
    )
    status: str | None = Field(description="Its status, as `status` of a clock.")
    hold: dict[str, Any] | None = Field(
        description="Its hold, as `hold` of a clock without `upstream`, with at most 10 partitions."
    )
    waits_for: UpstreamName | None = Field(
        description="The stage before it whose tick it needs for its next boundary. Null if it needs none."
    )
    to_blame: bool = Field(description="True for a stage that is late, or can't be read, and waits for no other stage.")
    waiting: dict[str, int] = Field(description="As `waiting` of the observer.")
    problem: str = Field(description="Why its state is not known; empty if it is.")


class PipelineResponse(BaseModel):
    """The stages before and after a clock, in order."""

    clock: str = Field(examples=["warehouse"])
    stages: list[StageResponse]
    more: int = Field(description="How many stages are left out.")


class StatusCounts(BaseModel):
    """The number of clocks with each status."""

    starting: int
    running: int
    catching_up: int
    holding: int
    paused: int
    rebuilding: int


class Clocks(BaseModel):
    """A page of the clocks that the caller may see."""

    clocks: list[ClockStateResponse] | list[BriefClock]
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page.", examples=["checkins"]
    )
    counts: StatusCounts = Field(description="Of all clocks that match `search`, on all pages and with any status.")


class Partitions(BaseModel):
    """A page of partition clocks."""

    partitions: list[PartitionClockResponse]
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page.", examples=["ingest-checkins:9"]
    )


class Run(BaseModel):
    """Partitions of one topic with consecutive numbers."""

    topic: Topic
    first: Number = Field(description="The number of the first partition.")
    behind_ms: list[int | None] = Field(
        description="How far each partition is behind; null if the partition is unreported."
    )
    marks: str = Field(
        description="One character for each partition: `.` reported, `?` unreported, `!` the newest report was "
        "rejected, `x` excluded.",
        examples=["...!..x."],
    )


class CompactPartitions(BaseModel):
    """A page of partition clocks in a compact form."""

    now_ms: int = Field(description="The replica's wall clock. A partition clock is `now_ms` minus its `behind_ms`.")
    runs: list[Run]
    next: str | None = Field(
        description="The value of `after` for the next page; null on the last page.", examples=["ingest-checkins:9"]
    )


class Ticks(BaseModel):
    """Ticks in ascending order, without gaps."""

    ticks: list[TickResponse]
    next: Time | None = Field(
        description="The value of `after` for the next request. It is the time of the last tick in this list. If the "
        "list is empty, it is the `after` of this request. Without `after`, it is the time that `clocksvc init` set, "
        "or null."
    )


class _Strict(BaseModel):
    """A request body, or a part of it. The number of its errors is bounded, because each one costs time in the event
    loop: of the unknown fields only some are kept, and lists use `fail_fast`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _limit_unknown_fields(cls, value: Any) -> Any:
        if not isinstance(value, dict) or len(value) <= len(cls.model_fields):
            return value
        known = {name: value[name] for name in cls.model_fields if name in value}
        unknown = (name for name in value if name not in cls.model_fields)
        # One more than are listed, so that the response can tell that there are more.
        return known | {name: value[name] for name in islice(unknown, MAX_ERRORS + 1)}


class ReportItem(_Strict):
    """The highest record timestamp processed in one partition, in milliseconds; -1 if the record had no timestamp."""

    topic: Topic
    partition: Number
    timestamp_ms: int = Field(ge=MIN_TIMESTAMP_MS, le=MAX_TIMESTAMP_MS, examples=[1795334400123])


class RejectedItem(ReportItem):
    """A timestamp that the reporter itself rejected. The service only counts and shows it."""

    outcome: Annotated[
        Literal["too_far_ahead", "no_timestamp", "not_milliseconds", "foreign_group", "foreign_topic"],
        Field(examples=["too_far_ahead"]),
    ]


class ReportRequest(_Strict):
    """How far a consumer group has processed its partitions."""

    group: str = Field(min_length=1, max_length=255, examples=["checkins-consumer"])
    reports: list[ReportItem] = Field(max_length=5_000, fail_fast=True)
    refusals: list[RejectedItem] = Field(default=[], max_length=5_000, fail_fast=True)
    late_records: int = Field(
        default=0,
        ge=0,
        le=MAX_LATE_RECORDS,
        description="The number of late records since the last report. A record is late if its timestamp is before a "
        "tick that was already published.",
    )
    create_time_topics: list[Topic] = Field(
        default=[],
        max_length=1_000,
        fail_fast=True,
        description="The topics of this report from which the consumer read records with the timestamp type "
        "`CreateTime`. Leave it out if the type is not known.",
    )
    topic_ids: dict[Topic, TopicId] = Field(
        default={},
        max_length=1_000,
        description="The ids of the topics to which the progress belongs. A topic that was recreated has another id: "
        "the outcome is then `unknown`. Leave it out if the ids are not known.",
    )


class PartitionRequest(_Strict):
    """A partition to exclude, or to include again."""

    topic: Topic
    partition: Number
    reason: ReasonText


class PauseRequest(_Strict):
    """The reason for a pause, or for its end."""

    reason: ReasonText


class ParametersResponse(BaseModel):
    """The parameters of the clock that a consumer needs."""

    group: str
    topics: list[str]
    interval_seconds: int
    max_out_of_orderness_seconds: float
    max_future_seconds: float
    max_drift_seconds: float | None


class ReportOutcome(PartitionRef):
    """The outcome of one reported timestamp."""

    outcome: Outcome


class ReportResponse(BaseModel):
    """The global clock, and an outcome for each reported timestamp, in the order of the request."""

    clock: str = Field(examples=["checkins"])
    time: Time | None
    timestamp_seconds: int | None
    lowest_timestamp_ms: int | None = Field(
        description="The reported timestamp of the slowest partition; null while a partition is unknown or the clock "
        "has no leader, and if it has no `max_drift`."
    )
    bounds: ParametersResponse | None = Field(
        description="The parameters of the clock; null until a leader has written them."
    )
    reports: list[ReportOutcome]


class Probe(BaseModel):
    """The response of a probe."""

    status: str = Field(examples=["ok"])


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. Programs identify a problem by its `type`."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(examples=["urn:clocksvc:problem:cursor-too-old"])
    title: str
    status: int
    detail: str


def problem_schema() -> dict[str, Any]:
    """Return the schema to which every documented problem refers."""
    return ProblemDetails.model_json_schema()
