"""Simulated dispatchers with faults: each task is sent, once by its id, in order, and not before its tick."""

from collections import Counter

import pytest

from clocksvc.interfaces.checkpoints import Checkpoint
from tests.faulty.checkpoints import FaultyCheckpoints
from tests.unit.jobs.simulation import Simulation

SEEDS = 25


def test_no_seed_loses_or_invents_a_task() -> None:
    """With crashes between any two calls, reassignments, FLUSHALL, lost answers and outages."""
    outcomes = [Simulation(seed).run() for seed in range(SEEDS)]

    assert [(seed, one.errors) for seed, one in enumerate(outcomes) if one.errors] == []
    faults = sum((one.faults for one in outcomes), Counter[str]())
    assert sum(one.ticks for one in outcomes) > 100 * SEEDS
    assert (
        min(faults[name] for name in ("crash", "flush_store", "reassign", "lose_a_commit_answer", "tear_a_commit"))
        > SEEDS
    )
    assert sum(one.duplicates for one in outcomes) > 0


def test_a_checkpoint_committed_before_its_tasks_are_sent_loses_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliberate defect, which the check finds."""
    acquire = FaultyCheckpoints.acquire

    def one_tick_ahead(self: FaultyCheckpoints, waiting: object) -> dict[str, Checkpoint]:
        found = dict(acquire(self, lambda: None))
        if "" in found:
            found[""] = Checkpoint(found[""].at_ms + 60_000)
        return found

    monkeypatch.setattr(FaultyCheckpoints, "acquire", one_tick_ahead)

    assert any("lost" in text for seed in range(20) for text in Simulation(seed).run().errors)
