"""Clocks that are minutes behind: the hold names it."""

from dataclasses import replace

from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.liveness.expectation import Expectation, all_clocks, holds

BACK_MS = -300_000


def stores_clock_back(context: FaultContext) -> Expectation:
    """The store's clock jumps back by minutes: every true timestamp is ahead of its time."""
    before_ms = context.environment.time.now_ms() - context.scheduler.now_ms
    context.environment.time.skew(BACK_MS)
    reasons = ("reports_rejected", "ahead_of_time", "config_conflict")  # an announcement of the past lasts longer
    expected = holds(all_clocks(context), *reasons, end=lambda: context.environment.time.skew(before_ms))
    return replace(expected, flickers=True)


def leaders_clock_back(context: FaultContext) -> Expectation:
    """Every replica's clock jumps back by minutes."""
    for replica in context.processes.replicas.values():
        replica.time.skew(BACK_MS)
    return holds(all_clocks(context), "ahead_of_time", end=lambda: _set_clocks(context))


def consumers_clock_back(context: FaultContext) -> Expectation:
    """Every consumer's clock jumps back by minutes: its reporter rejects true timestamps."""
    for consumer in context.processes.consumers.values():
        consumer.time.skew(BACK_MS)
    expected = holds(all_clocks(context), "reports_rejected", end=lambda: _set_clocks(context))
    return replace(expected, flickers=True)


def _set_clocks(context: FaultContext) -> None:
    for replica in context.processes.replicas.values():
        replica.time.skew(0)
    for consumer in context.processes.consumers.values():
        consumer.time.skew(0)
