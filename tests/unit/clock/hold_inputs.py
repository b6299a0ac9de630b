"""What a leader sees, for tables of cases: a healthy clock with one tick due, and each row says what differs.

The clock `checkins` has an interval of 60 s, watches `orders` with two partitions, and has given tick 12:00. The
slowest partition has reached 12:01:05, and it is 12:01:10 by both clocks.
"""

from collections.abc import Mapping

from clocksvc.clock.holds import HoldInputs
from clocksvc.clock.log_record import ClockState
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata
from tests.unit.clock.times import at, maybe_at

ORDERS = TopicMetadata("id-1", 2)
ORDERS_0, ORDERS_1, ORDERS_2 = (Partition("orders", number) for number in range(3))
ROSTER = Roster({"orders": ORDERS})
PAUSE = Pause("ada", at("12:00:30"), "planned work")


def exclusion(partition: Partition) -> Exclusion:
    """An operator took a partition off."""
    return Exclusion(partition, "ada", at("12:00:30"), "a disk died")


def hold_inputs(
    *,
    last: str | None = "12:00",
    lowest: str | None = "12:01:05",
    interval_s: int = 60,
    out_of_orderness_s: int = 0,
    max_past_s: int = 7 * 86_400,
    leader: str = "12:01:10",
    store: str = "12:01:10",
    roster: Roster = ROSTER,
    pause: Pause | None = None,
    digests: frozenset[str] = frozenset({"digest-a"}),
    all_replicas_announced: bool = True,
    undescribed: Mapping[str, str] | None = None,
    without_id: tuple[str, ...] = (),
    observed: bool = False,
    upstream: str | None = None,
    upstream_known: bool = True,
    upstream_excluded: tuple[Partition, ...] = (),
) -> HoldInputs:
    """A healthy clock's sight, but for what a row says."""
    state = ClockState(
        last_tick_ms=maybe_at(last),
        last_emitted_ms=maybe_at(last),
        exclusions=tuple(exclusion(partition) for partition in sorted(roster.excluded)),
        pause=pause,
        group="checkins-consumer",
        topics=dict(roster.topics),
    )
    return HoldInputs(
        state=state,
        roster=roster,
        lowest_ms=maybe_at(lowest),
        interval_ms=interval_s * 1000,
        out_of_orderness_ms=out_of_orderness_s * 1000,
        max_past_ms=max_past_s * 1000,
        leader_now_ms=at(leader),
        store_now_ms=at(store),
        undescribed=undescribed or {},
        without_id=without_id,
        digests=digests,
        all_replicas_announced=all_replicas_announced,
        observed=observed,
        upstream_ms=maybe_at(upstream) if upstream_known else 0,
        upstream_excluded=upstream_excluded,
    )
