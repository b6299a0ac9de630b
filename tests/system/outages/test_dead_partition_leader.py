"""The broker that leads the tick log dies: nothing lost, twice, early or backwards, and the clocks go on."""

from pathlib import Path

import pytest

from tests.system.outages.rounds.goals import Goals
from tests.system.outages.rounds.setups import FAST, three_brokers

pytestmark = pytest.mark.path


def test_the_tick_logs_leader_dies_in_a_cluster_of_three(tmp_path: Path) -> None:
    """While ticks are committed without a pause: the clocks go on with two brokers of three."""
    goals = Goals({"kill-leading-broker": (None, 1)}, {"kill-leading-broker": 1})

    outcome = three_brokers(
        tmp_path, 1, lambda goals: not goals.left(), goals, lambda _: None, partitions=4, consumers=1, crowd=16
    )

    assert outcome.wrong() == []
    assert all(len(findings.log) > 5 for findings in outcome.findings.values())
    assert len(outcome.findings[FAST].log) > 500
    assert outcome.amid_commits[FAST] == 1
    assert all(len(findings.notes) > 50 for findings in outcome.findings.values())
