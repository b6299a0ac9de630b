"""The JSON of the HTTP service, as its OpenAPI shows it. Answers are written by hand to these shapes; tests compare."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Outcome
from clocksvc.clock.request import MAX_REASON_LENGTH
from clocksvc.clock.status import Status

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-22T12:00:00Z"])]
Topic = Annotated[str, Field(min_length=1, max_length=249, examples=["ingest-checkins"])]
Number = Annotated[int, Field(ge=0, le=2**31 - 1, examples=[0])]
WhyText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_REASON_LENGTH,
        description="Why, in one line, for whoever reads it later.",
        examples=["disk of broker 3 died, INC-4711"],
    ),
]


class PartitionRef(BaseModel):
    """A partition of a Kafka topic."""

    topic: Topic
    partition: Number


class Tick(BaseModel):
    """The global clock has reached `time`: in every partition all that stood before has been processed."""

    clock: str = Field(examples=["checkins"])
    time: Time
    timestamp_seconds: int = Field(examples=[1795348800])
    previous: Time | None = Field(description="The tick before this one; null for a clock's first.")
    interval_seconds: int = Field(examples=[60])
    emitted_at: Time
    excluded: list[PartitionRef] = Field(description="The partitions that were not waited for.")


class PartitionClock(PartitionRef):
    """How far one partition is."""

    time: Time | None = Field(description="The partition clock: reported less the clock's out-of-orderness.")
    timestamp_ms: int | None
    behind_seconds: float | None
    reported_at: Time | None = Field(description="When it was last reported, by the store's clock.")
    reported_timestamp_ms: int | None = Field(description="The highest record timestamp reported.")
    excluded: bool
    refused: Outcome | None = Field(description="Why its newest report was refused, if none was accepted since.")


class Hold(BaseModel):
    """Why a clock stands still."""

    reason: Reason = Field(description="While versions differ, also a reason that only the newer one knows.")
    since: Time | None = Field(
        description="When the last tick was emitted; before the first, the first leader's start."
    )
    partitions: list[PartitionRef]
    detail: str


class AuditInfo(BaseModel):
    """Who asked for it, when and why."""

    by: str = Field(description="The name of the token; `anybody` where no tokens are configured.", examples=["ops"])
    at: Time
    reason: str = Field(examples=["disk of broker 3 died, INC-4711"])


class Exclusion(PartitionRef, AuditInfo):
    """A partition that no tick waits for."""


class Overrides(BaseModel):
    """What is excluded, and whether the clock is paused, now."""

    clock: str = Field(examples=["checkins"])
    exclusions: list[Exclusion]
    pause: AuditInfo | None


class PartitionCounts(BaseModel):
    """How many partitions; null while the store is out of reach."""

    known: int | None
    unknown: int | None
    excluded: int | None


class Heartbeats(BaseModel):
    """The records that move quiet partitions. Counts begin anew where the store lost them; null while it is away."""

    every_seconds: float | None = Field(description="How often a round is due; null where heartbeats are switched off.")
    last_success_at: Time | None = Field(description="When a round last reached every partition.")
    delivered: int | None = Field(description="Records that were delivered.")
    failed: int | None = Field(description="Records that were not, and topics whose partitions Kafka did not tell.")
    expired: int | None = Field(description="Rounds that came too late to be put.")


class ClockState(BaseModel):
    """A clock as this replica sees it. What is not known is null."""

    clock: str = Field(examples=["checkins"])
    time: Time | None = Field(description="The global clock: everything before it has been processed.")
    timestamp_seconds: int | None
    interval_seconds: int
    hold_after_seconds: float = Field(description="For so long no tick may come before that is a hold.")
    max_out_of_orderness_seconds: float | None = Field(description="So much behind is on time.")
    behind_seconds: float | None
    status: Status
    hold: Hold | None
    partitions: PartitionCounts
    exclusions: list[Exclusion] = Field(
        description="The partitions that no tick waits for. Empty while the store is out of reach or has been emptied."
    )
    pause: AuditInfo | None = Field(description="Null while the store is out of reach or has been emptied, too.")
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
    next: str | None = Field(description="`after` for the next page; null on the last.", examples=["ingest-checkins:9"])


class Run(BaseModel):
    """Neighbouring partitions of one topic."""

    topic: Topic
    first: Number = Field(description="The number of the run's first partition; the others follow it.")
    behind_ms: list[int | None] = Field(description="How far each is behind; null while nobody has reported it.")
    marks: str = Field(
        description="A character for each: `.` it counts, `?` nobody has reported it, `!` its newest report was "
        "refused, `x` no tick waits for it.",
        examples=["...!..x."],
    )


class Brief(BaseModel):
    """A page of partition clocks in a few bytes each."""

    now_ms: int = Field(description="By the replica's clock: a partition clock is this less its `behind_ms`.")
    runs: list[Run]
    next: str | None = Field(description="`after` for the next page; null on the last.", examples=["ingest-checkins:9"])


class Ticks(BaseModel):
    """Ticks, ascending, with none missing between them."""

    ticks: list[Tick]
    next: Time | None = Field(description="`after` for what follows: the last time given, or `after`, or null.")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Reading(_Strict):
    """The highest record timestamp that was processed in one partition. -1: the record had none."""

    topic: Topic
    partition: Number
    timestamp_ms: int = Field(ge=-1, le=2**53 - 1, examples=[1795334400123])


class Refusal(Reading):
    """A timestamp that the reporter itself refused: it is only counted and shown."""

    outcome: Annotated[Literal["too_far_ahead", "no_timestamp", "foreign_group"], Field(examples=["too_far_ahead"])]


class Report(_Strict):
    """How far a consumer group has processed its partitions."""

    group: str = Field(min_length=1, max_length=255, examples=["checkins-consumer"])
    reports: list[Reading] = Field(max_length=5_000)
    refusals: list[Refusal] = Field(default=[], max_length=5_000)
    late_records: int = Field(
        default=0, ge=0, le=2**53 - 1, description="Records since the last report that stood before a given tick."
    )


class PartitionRequest(_Strict):
    """A partition to exclude, or to take back in."""

    topic: Topic
    partition: Number
    reason: WhyText


class PauseRequest(_Strict):
    """Why the clock is to stand still, or to go on."""

    reason: WhyText


class Bounds(BaseModel):
    """What a consumer must know of the clock."""

    group: str
    topics: list[str]
    interval_seconds: int
    max_out_of_orderness_seconds: float
    max_future_seconds: float


class ReportOutcome(PartitionRef):
    """What became of one reported timestamp."""

    outcome: Outcome


class ReportAnswer(BaseModel):
    """The global clock, and an outcome for each report, in order."""

    clock: str = Field(examples=["checkins"])
    time: Time | None
    timestamp_seconds: int | None
    bounds: Bounds | None = Field(description="Null while no leader has written them.")
    reports: list[ReportOutcome]


class Probe(BaseModel):
    """A probe's answer."""

    status: str = Field(examples=["ok"])


class ProblemDetails(BaseModel):
    """RFC 9457 problem details. Programs tell problems apart by `type`."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str = Field(examples=["urn:clocksvc:problem:cursor-too-old"])
    title: str
    status: int
    detail: str


def problem_schema() -> dict[str, Any]:
    """The schema that every documented problem refers to."""
    return ProblemDetails.model_json_schema()
