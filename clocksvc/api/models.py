"""Pydantic models: they validate request bodies, and document requests and responses in the OpenAPI.

Responses are encoded elsewhere (`state_to_wire`, `Tick.to_wire`), because pydantic would be too slow for thousands of
partitions. Tests compare both.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.partition import Outcome
from clocksvc.clock.request import MAX_REASON_LENGTH

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T12:00:00Z"])]
Topic = Annotated[str, Field(min_length=1, max_length=249, examples=["ingest-checkins"])]
Number = Annotated[int, Field(ge=0, le=2**31 - 1, examples=[0])]
ReasonText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_REASON_LENGTH,
        description="Why, in one line.",
        examples=["disk of broker 3 died, INC-4711"],
    ),
]


class PartitionRef(BaseModel):
    """A partition of a Kafka topic."""

    topic: Topic
    partition: Number


class Tick(BaseModel):
    """The global clock has reached `time`: in every partition everything before it has been processed."""

    clock: str = Field(examples=["checkins"])
    time: Time
    timestamp_seconds: int = Field(examples=[1795348800])
    previous: Time | None = Field(description="The tick before this one; null for a clock's first.")
    interval_seconds: int = Field(examples=[60])
    emitted_at: Time
    excluded: list[PartitionRef] = Field(description="The partitions that this tick did not wait for.")


class PartitionClock(PartitionRef):
    """One partition and its clock."""

    time: Time | None = Field(description="The partition clock: reported time less the out-of-orderness.")
    timestamp_ms: int | None
    behind_seconds: float | None
    reported_at: Time | None = Field(description="When it was last reported, by the store's clock.")
    reported_timestamp_ms: int | None = Field(description="The highest record timestamp reported.")
    excluded: bool
    refused: Outcome | None = Field(description="Why its newest report was rejected, if none was accepted since.")


class Hold(BaseModel):
    """Why a clock does not move."""

    reason: Reason = Field(description="During an upgrade also a reason of the newer version.")
    since: Time | None = Field(
        description="When the last tick was emitted; before the first, the first leader's start."
    )
    partitions: list[PartitionRef]
    detail: str


class AuditInfo(BaseModel):
    """Who requested it, when and why."""

    by: str = Field(description="The name of the token; `anonymous` if no tokens are configured.", examples=["ops"])
    at: Time
    reason: str = Field(examples=["disk of broker 3 died, INC-4711"])


class Exclusion(PartitionRef, AuditInfo):
    """A partition that ticks do not wait for."""


class Overrides(BaseModel):
    """The operator overrides of a clock: its exclusions, and its pause."""

    clock: str = Field(examples=["checkins"])
    exclusions: list[Exclusion]
    pause: AuditInfo | None


class PartitionCounts(BaseModel):
    """The number of partitions; null while the store does not answer."""

    known: int | None
    unknown: int | None
    excluded: int | None


class Heartbeats(BaseModel):
    """Heartbeats: records that move quiet partitions. Counts restart if the store loses them; null while it does not
    answer."""

    every_seconds: float | None = Field(description="How often a round is due; null if heartbeats are off.")
    last_success_at: Time | None = Field(description="When a round last reached every partition.")
    delivered: int | None = Field(description="Records delivered.")
    failed: int | None = Field(description="Records not delivered, and topics whose partitions are not known.")
    expired: int | None = Field(description="Rounds that were too late to be sent.")


class ClockState(BaseModel):
    """The state of a clock as this replica sees it. Null: not known."""

    clock: str = Field(examples=["checkins"])
    time: Time | None = Field(description="The global clock: everything before it has been processed.")
    timestamp_seconds: int | None
    interval_seconds: int
    hold_after_seconds: float = Field(description="How long no tick may follow before that is a hold.")
    max_out_of_orderness_seconds: float | None = Field(description="How late a record may be sent.")
    behind_seconds: float | None
    status: Status
    hold: Hold | None
    partitions: PartitionCounts
    exclusions: list[Exclusion] = Field(
        description="The partitions that ticks do not wait for. Empty while the store does not answer or was emptied."
    )
    pause: AuditInfo | None = Field(description="Null also while the store does not answer or was emptied.")
    slowest: list[PartitionClock] = Field(description="The lowest partition clocks, unknown ones first, at most 10.")
    leader: str | None
    topics: list[str]
    group: str = Field(description="The consumer group whose progress counts.", examples=["checkins-consumer"])
    heartbeats: Heartbeats
    last_tick: Tick | None


class Clocks(BaseModel):
    """The clocks that the caller may see, by name."""

    clocks: list[ClockState]


class Partitions(BaseModel):
    """A page of partition clocks."""

    partitions: list[PartitionClock]
    next: str | None = Field(description="`after` of the next page, or null.", examples=["ingest-checkins:9"])


class Run(BaseModel):
    """Partitions of one topic with consecutive numbers."""

    topic: Topic
    first: Number = Field(description="The number of the first partition.")
    behind_ms: list[int | None] = Field(description="How far each partition is behind; null if it is unreported.")
    marks: str = Field(
        description="A character for each partition: `.` reported, `?` unreported, `!` its newest report was rejected, "
        "`x` excluded.",
        examples=["...!..x."],
    )


class CompactPartitions(BaseModel):
    """A page of partition clocks in a compact form."""

    now_ms: int = Field(description="The replica's wall clock: a partition clock is this less its `behind_ms`.")
    runs: list[Run]
    next: str | None = Field(description="`after` of the next page, or null.", examples=["ingest-checkins:9"])


class Ticks(BaseModel):
    """Ticks, ascending, none missing between them."""

    ticks: list[Tick]
    next: Time | None = Field(description="`after` of the next request: the last tick's time, or `after`, or null.")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ReportItem(_Strict):
    """The highest record timestamp processed in one partition. -1: the record had no timestamp."""

    topic: Topic
    partition: Number
    timestamp_ms: int = Field(ge=-1, le=2**53 - 1, examples=[1795334400123])


class RejectedItem(ReportItem):
    """A timestamp that the reporter itself rejected: it is only counted and shown."""

    outcome: Annotated[Literal["too_far_ahead", "no_timestamp", "foreign_group"], Field(examples=["too_far_ahead"])]


class Report(_Strict):
    """How far a consumer group has processed its partitions."""

    group: str = Field(min_length=1, max_length=255, examples=["checkins-consumer"])
    reports: list[ReportItem] = Field(max_length=5_000)
    refusals: list[RejectedItem] = Field(default=[], max_length=5_000)
    late_records: int = Field(
        default=0,
        ge=0,
        le=2**53 - 1,
        description="Records since the last report that were late: before a tick that was already given.",
    )


class PartitionRequest(_Strict):
    """A partition to exclude, or to include again."""

    topic: Topic
    partition: Number
    reason: ReasonText


class PauseRequest(_Strict):
    """Why the clock is paused or resumed."""

    reason: ReasonText


class ClockParameters(BaseModel):
    """What a consumer must know of the clock."""

    group: str
    topics: list[str]
    interval_seconds: int
    max_out_of_orderness_seconds: float
    max_future_seconds: float


class ReportOutcome(PartitionRef):
    """The outcome of one reported timestamp."""

    outcome: Outcome


class ReportAnswer(BaseModel):
    """The global clock, and an outcome for each reported timestamp, in order."""

    clock: str = Field(examples=["checkins"])
    time: Time | None
    timestamp_seconds: int | None
    bounds: ClockParameters | None = Field(description="Null until a leader has written them.")
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
    """The schema that every documented problem refers to."""
    return ProblemDetails.model_json_schema()
