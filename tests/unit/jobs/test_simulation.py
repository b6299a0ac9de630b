"""Dispatchers under faults from seeds: each due entry once by its id, in order, none before its tick."""

from collections import Counter

import pytest

from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.memory.checkpoints import MemoryCheckpoints
from tests.unit.jobs.simulation import Simulation

SEEDS = 60


def test_no_seed_loses_or_invents_a_task() -> None:
    """Crashes between any two calls, turns that change, FLUSHALL, answers that are lost, brokers that are away."""
    outcomes = [Simulation(seed).run() for seed in range(SEEDS)]

    assert [(seed, one.wrong) for seed, one in enumerate(outcomes) if one.wrong] == []
    faults = sum((one.faults for one in outcomes), Counter[str]())
    assert sum(one.ticks for one in outcomes) > 100 * SEEDS
    assert min(faults[name] for name in ("crash", "flush_store", "give_the_turn_away", "lose_an_answer")) > SEEDS
    assert sum(one.duplicates for one in outcomes) > 0


def test_a_position_that_is_moved_before_its_task_is_sent_loses_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliberate defect: the judge sees it."""
    hold = MemoryCheckpoints.acquire

    def ahead(self: MemoryCheckpoints, waiting: object) -> dict[str, Checkpoint]:
        found = dict(hold(self, lambda: None))
        if "" in found:
            found[""] = Checkpoint(found[""].at_ms + 60_000)
        return found

    monkeypatch.setattr(MemoryCheckpoints, "acquire", ahead)

    assert any("lost" in text for seed in range(20) for text in Simulation(seed).run().wrong)
