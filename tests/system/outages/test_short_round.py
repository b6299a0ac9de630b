"""A short round of outages with real processes: nothing lost, twice, early or backwards, and the clocks go on.

`make outages MINUTES=…` runs longer rounds.
"""

from collections import Counter
from pathlib import Path

import pytest

from tests.system.evidence import LOGS, partition_of
from tests.system.outages.rounds.faults import KINDS
from tests.system.outages.rounds.goals import InTurn
from tests.system.outages.rounds.setups import one_broker

pytestmark = pytest.mark.path

CROWD = 16
WORST = ("kill-leader", "stall-store", "flush", "stop-leader", "kill-consumer", "kill-broker")


def test_one_of_each_of_the_worst(tmp_path: Path) -> None:
    """Six kinds of faults, one after the other, with two replicas, and clocks in all 16 logs."""
    goals = InTurn(KINDS, WORST)

    outcome = one_broker(
        tmp_path,
        1,
        lambda goals: not goals.left(),
        goals,
        lambda _: None,
        partitions=8,
        consumers=2,
        together=0.0,
        crowd=CROWD,
    )

    assert outcome.wrong() == []
    assert goals.seen == Counter(WORST)
    assert {partition_of(clock) for clock in outcome.findings} == set(range(LOGS))
    for findings in outcome.findings.values():
        assert len(findings.log) > 15
        assert len(findings.streamed) > 15
        assert len(findings.notes) > 500
    assert sum(len(logs) for logs in outcome.takeover["kill-leader"]) > 0
