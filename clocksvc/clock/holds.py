"""The reasons for which a clock waits, each a small rule over what the leader sees.

A rule answers with the hold it stands for, or None. The rules are asked in the order of `RULES`: first what somebody
wants, then what makes the reading itself worthless, then who is behind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clocksvc.clock import boundary
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster
from clocksvc.clock.tick import partition_from_wire, partition_to_wire


class Reason(StrEnum):
    """Why no tick comes."""

    PARTITION_UNREPORTED = "partition_unreported"
    PARTITION_BEHIND = "partition_behind"
    REPORTS_REJECTED = "reports_rejected"
    TOPIC_MISSING = "topic_missing"
    AHEAD_OF_TIME = "ahead_of_time"
    METADATA_UNAVAILABLE = "metadata_unavailable"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_MISMATCH = "store_mismatch"
    TICKLOG_UNAVAILABLE = "ticklog_unavailable"
    TICKLOG_TRUNCATED = "ticklog_truncated"
    TICKLOG_OPEN_TRANSACTION = "ticklog_open_transaction"
    CONFIG_CONFLICT = "config_conflict"
    NO_LEADER = "no_leader"
    PAUSED = "paused"


DELAYED_REASONS = frozenset({Reason.PARTITION_BEHIND, Reason.REPORTS_REJECTED, Reason.AHEAD_OF_TIME})
"""Reasons that are part of a healthy clock's day until `hold_after` has passed; all others show at once."""


_NOT_REPORTED = (
    "not every partition has been reported: start their consumers; a partition without records needs heartbeats "
    "(celery -A clocksvc worker and beat, or once: clocksvc heartbeat)"
)


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a clock stands still. `detail` is a sentence for people; programs read `reason` and `partitions`.

    `reason` is a Reason, except where a leader of a newer version gave one that this version does not know.
    `transient` is one that ends by itself within seconds: it shows only if it doesn't.
    """

    reason: Reason | str
    partitions: tuple[Partition, ...] = ()
    detail: str = ""
    transient: bool = False

    def is_visible(self, quiet_ms: float, hold_after_ms: int) -> bool:
        """Whether this is a hold yet, when no tick has come for `quiet_ms`."""
        at_once = self.reason not in DELAYED_REASONS and not self.transient
        return at_once or quiet_ms >= hold_after_ms

    def to_wire(self) -> dict[str, Any]:
        """As JSON, without `since`, which outlives the leader that says this."""
        partitions = [partition_to_wire(partition) for partition in self.partitions]
        return {"reason": str(self.reason), "partitions": partitions, "detail": self.detail}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "Hold":
        """The reverse of `to_wire`; a reason that is not known stays as it came, so that its hold still shows."""
        partitions = tuple(partition_from_wire(item) for item in wire["partitions"])
        word = wire["reason"]
        return cls(next((reason for reason in Reason if reason.value == word), word), partitions, wire["detail"])


@dataclass(frozen=True, slots=True)
class HoldInputs:
    """What a leader sees at one moment; all times in milliseconds.

    Attributes:
        lowest_ms: the lowest raw timestamp on the roster; None while a partition is unknown.
        out_of_orderness_ms: what is subtracted to compare.
        leader_now_ms, store_now_ms: the two clocks that must have passed a boundary.
        digests: the configuration digests of all replicas alive.
        all_replicas_announced: whether every replica alive had time to announce itself since the store last lost that.
    """

    state: ClockState
    roster: Roster
    lowest_ms: int | None
    interval_ms: int
    out_of_orderness_ms: int
    leader_now_ms: int
    store_now_ms: int
    digests: frozenset[str] = frozenset()
    all_replicas_announced: bool = True

    @property
    def watermark_boundary_ms(self) -> int:
        """The boundary that the minimum has reached; 0 while it is unknown."""
        if self.lowest_ms is None:
            return 0
        return max(0, boundary.floor(self.lowest_ms - self.out_of_orderness_ms, self.interval_ms))

    @property
    def wall_clock_boundary_ms(self) -> int:
        """The last boundary that both clocks have passed."""
        return boundary.floor(min(self.leader_now_ms, self.store_now_ms), self.interval_ms)


def paused(sight: HoldInputs) -> Hold | None:
    """Somebody told the clock to stand still."""
    pause = sight.state.pause
    return Hold(Reason.PAUSED, detail=f"paused by {pause.by}: {pause.reason}") if pause else None


def config_conflict(sight: HoldInputs) -> Hold | None:
    """Replicas are alive that would make different ticks."""
    if len(sight.digests) < 2:
        return None
    return Hold(
        Reason.CONFIG_CONFLICT,
        detail=f"replicas with {len(sight.digests)} different configurations of this clock are alive: "
        + ", ".join(sorted(sight.digests)),
    )


def topic_missing(sight: HoldInputs) -> Hold | None:
    """A configured topic that Kafka does not list: it may have partitions that nobody counts."""
    missing = sight.roster.missing
    return Hold(Reason.TOPIC_MISSING, detail=f"Kafka does not list {', '.join(missing)}") if missing else None


def partition_unreported(sight: HoldInputs) -> Hold | None:
    """Unknown is not zero, and not "whatever is there"."""
    if sight.roster.required_count() == 0:
        return Hold(Reason.PARTITION_UNREPORTED, detail="no partition is left that has to report")
    if sight.lowest_ms is None:
        return Hold(Reason.PARTITION_UNREPORTED, detail=_NOT_REPORTED)
    return None


def partition_behind(sight: HoldInputs) -> Hold | None:
    """The slowest partition has not reached the next boundary."""
    if sight.watermark_boundary_ms > (sight.state.last_tick_ms or 0):
        return None
    return Hold(Reason.PARTITION_BEHIND, detail="the slowest partition has not reached the next boundary")


def ahead_of_time(sight: HoldInputs) -> Hold | None:
    """The minimum is ahead of the leader's or the store's own clock."""
    if sight.wall_clock_boundary_ms > (sight.state.last_tick_ms or 0):
        return None
    return Hold(Reason.AHEAD_OF_TIME, detail="the leader's and the store's clocks have not both passed the boundary")


def announcements_incomplete(sight: HoldInputs) -> Hold | None:
    """In a store that was emptied, another configuration could go unseen until its replicas announce themselves."""
    if sight.all_replicas_announced:
        return None
    return Hold(
        Reason.CONFIG_CONFLICT,
        detail="the store has not kept the replicas' announcements for long enough to tell whether all of them agree",
        transient=True,
    )


RULES: tuple[Callable[[HoldInputs], Hold | None], ...] = (
    paused,
    config_conflict,
    topic_missing,
    partition_unreported,
    partition_behind,
    ahead_of_time,
    announcements_incomplete,
)


def evaluate(sight: HoldInputs) -> Hold | None:
    """The first rule that holds; None where a tick can come."""
    return next((found for rule in RULES if (found := rule(sight)) is not None), None)
