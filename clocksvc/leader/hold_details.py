"""What readers see of a hold: whether it is visible yet, its partitions, and a detail that says what to do."""

from collections.abc import Sequence
from dataclasses import replace

from clocksvc.clock import boundary
from clocksvc.clock.holds import Hold, HoldInputs, Reason
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import Replica, describe_config_conflict
from clocksvc.interfaces.leases import Leases, RoundReading
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.leader.term import ClockTerm

NAMED_PARTITIONS = 100
SILENT_MS = 30_000
"""Consumers repeat the reports of all their partitions every 10 s. If a partition was not reported for 30 s, the text
of the hold asks whether any consumer has this partition."""


def visible_hold(
    clock: ClockTerm, inputs: HoldInputs, hold: Hold, quiet_ms: float, reading: RoundReading, leases: Leases
) -> Hold | None:
    """Return the hold as readers see it after `quiet_ms` without a tick; None if it is not visible yet.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    if not hold.is_visible(quiet_ms, clock.spec.effective_hold_after_ms):
        return None
    if hold.reason is Reason.CONFIG_CONFLICT and len(inputs.digests) > 1:
        name, configs = clock.spec.name, leases.configs()
        digests = [(one.holder, one.digests[name]) for one in reading.announcements if name in one.digests]
        replicas = [Replica(holder, digest, configs.get(digest, "")) for holder, digest in digests]
        return replace(hold, detail=describe_config_conflict(replicas))
    if hold.reason in (Reason.PARTITION_UNREPORTED, Reason.PARTITION_BEHIND):
        return _name_partitions(clock, inputs, hold)
    return hold


def _name_partitions(clock: ClockTerm, inputs: HoldInputs, hold: Hold) -> Hold:
    next_ms = boundary.next_boundary(inputs.state.last_tick_ms or 0, inputs.interval_ms)
    lagging = clock.store.lagging_partitions(next_ms + inputs.out_of_orderness_ms, NAMED_PARTITIONS)
    if hold.reason is Reason.PARTITION_UNREPORTED:
        lagging = [line for line in lagging if line.raw_ms is None]
    named = tuple(line.partition for line in lagging)
    if not lagging or any(line.rejected is None for line in lagging):
        detail = hold.detail + describe_silent_partitions(lagging, inputs.store_now_ms)
        return Hold(hold.reason, named, detail)
    outcomes = ", ".join(sorted({str(line.rejected) for line in lagging}))
    return Hold(Reason.REPORTS_REJECTED, named, f"the newest reports on these partitions were rejected: {outcomes}")


def describe_silent_partitions(lagging: Sequence[PartitionClock], now_ms: int) -> str:
    """Return a text about lagging partitions for a hold: which ones no consumer reports, and which ones are reported.

    Args:
        now_ms: the store's time.

    Returns:
        A text that continues the detail; empty if no partition has ever been reported.
    """
    silent: list[Partition] = []
    reporting: list[Partition] = []
    for line in lagging:
        if line.reported_ms is not None:
            (silent if now_ms - line.reported_ms > SILENT_MS else reporting).append(line.partition)
    texts = []
    if silent:
        question = "check that a consumer reads them"
        texts.append(f"not reported for more than {SILENT_MS // 1000} s ({question}): {name_first(silent)}")
    if reporting:
        texts.append(f"reported recently, but without newer records or not processed further: {name_first(reporting)}")
    return "".join(f"; {text}" for text in texts)
