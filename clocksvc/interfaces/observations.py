"""What the observer of committed offsets has found out about a clock, for the leader of the clock and for people.

The observer reports the progress of partitions like a consumer does. This is everything else: what it waits for, and
which partitions the ticks of upstream clocks excluded.

An implementation serves one clock. The store can lose an observation at any time; the observer writes it again with
its next poll. Each method is atomic, can be called from any thread, and raises StoreUnavailable if the store does not
answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from clocksvc.clock.partition import Partition


def silent_after_ms(poll_ms: int) -> int:
    """Return the age of an observation, in ms, from which its observer counts as silent."""
    return 3 * poll_ms + 10_000


@dataclass(frozen=True, slots=True)
class PartitionObservation:
    """What the observer knows of one partition.

    Attributes:
        committed: the offset that the group has committed; None if there is none that counts.
        end: the high watermark; None if it is not known.
        waits_for: why the partition has not passed the next boundary, a value of `committed.rules.WaitsFor`; "" if
            it has.
    """

    committed: int | None
    end: int | None
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class UpstreamObservation:
    """An upstream clock, as the observer read it last.

    Attributes:
        clock: its name.
        url: the service that runs it; "" for this installation.
        last_tick_ms: its last committed tick; None before the first one, and if it is not known. With a `problem`, the
            last one that was read before.
        status: its status; "" if it is not known.
        hold: its hold as JSON, as `GET /v1/clocks/{clock}` has it, with the hold of its own upstream clock in
            `upstream`; None if it does not hold.
        problem: why it could not be read; "" if it was.
    """

    clock: str
    url: str
    last_tick_ms: int | None
    status: str = ""
    hold: Mapping[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of a clock's observer after a poll.

    Attributes:
        at_ms: the observer's wall time.
        topic_ids: by topic, the id to which the observation belongs. After a restart, the observer recognizes by these
            ids that a topic was recreated.
        doubted: the partitions whose committed offset may belong to a former topic.
        problem: why the group's offsets are not known, such as a missing permission; "" if they are.
        waiting: how many partitions wait for each reason, by `PartitionObservation.waits_for`.
        named: some partitions of each reason, at most 20 in total.
        upstreams: the upstream clocks, in the order of the configuration.
        upstream_ms: the last tick that all upstream clocks have committed; None if one has none, or without any.
        excluded: the partitions that ticks of upstream clocks excluded since this clock's last tick.
        skipped_records: how many offsets the group has skipped since the observer started: their records were removed
            before it has committed them, or it has begun at a later offset after the former one had expired.
        committed_partitions: in how many partitions the group has a committed offset; None if that is not known.
    """

    at_ms: int
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    doubted: tuple[Partition, ...] = ()
    problem: str = ""
    waiting: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, tuple[Partition, ...]] = field(default_factory=dict)
    upstreams: tuple[UpstreamObservation, ...] = ()
    upstream_ms: int | None = None
    excluded: tuple[Partition, ...] = ()
    skipped_records: int = 0
    committed_partitions: int | None = None


class Observations(Protocol):
    """The observation of one clock."""

    def write_observation(self, observation: Observation, partitions: Mapping[Partition, PartitionObservation]) -> None:
        """Replace the observation, and those of all partitions.

        The observer calls it before it reports progress that depends on `excluded`.
        """

    def observation(self) -> Observation | None:
        """Return the last observation; None if there is none, or if the store has lost it.

        The observations of partitions are in `PartitionClock.observed`.
        """
