"""Clocks that are minutes behind: the hold says so, and whose they are."""

from dataclasses import replace

from tests.simulation.faults.stage import Stage
from tests.simulation.vigils.expected import Expected, holds

BACK_MS = -300_000


def stores_clock_back(stage: Stage) -> Expected:
    """The store's clock jumps back by minutes: whatever is true is ahead of its time."""
    before_ms = stage.world.time.now_ms() - stage.hub.now_ms
    stage.world.time.skew(BACK_MS)
    reasons = ("reports_rejected", "ahead_of_time", "config_conflict")  # an announcement of the past holds for longer
    return replace(holds(*reasons, end=lambda: stage.world.time.skew(before_ms)), flickers=True)


def leaders_clock_back(stage: Stage) -> Expected:
    """Every replica's clock jumps back by minutes."""
    for replica in stage.processes.replicas.values():
        replica.time.skew(BACK_MS)
    return holds("ahead_of_time", end=lambda: _set_clocks(stage))


def consumers_clock_back(stage: Stage) -> Expected:
    """Every consumer's clock jumps back by minutes: its reporter refuses what is true."""
    for consumer in stage.processes.consumers.values():
        consumer.time.skew(BACK_MS)
    return replace(holds("reports_rejected", end=lambda: _set_clocks(stage)), flickers=True)


def _set_clocks(stage: Stage) -> None:
    for replica in stage.processes.replicas.values():
        replica.time.skew(0)
    for consumer in stage.processes.consumers.values():
        consumer.time.skew(0)
