"""Reports as JSON."""

from dataclasses import replace

import pytest

from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.interfaces.progress import ClockParameters, ReportAnswer
from clocksvc.interfaces.report_encoding import answer_from_wire, answer_to_wire

pytestmark = pytest.mark.core

PARAMETERS = ClockParameters("checkins-consumer", ("orders", "payments"), 60_000, 10_000, 60_000)
TIMESTAMPS = (PartitionTimestamp(Partition("orders", 0), 1), PartitionTimestamp(Partition("orders", 9), 2))


@pytest.mark.parametrize("parameters", [PARAMETERS, replace(PARAMETERS, max_drift_ms=600_500), None])
@pytest.mark.parametrize(("last_tick_ms", "lowest_ms"), [(1_795_348_860_000, 1_795_348_861_234), (None, None)])
def test_an_answer_is_read_as_it_was_written(
    parameters: ClockParameters | None, last_tick_ms: int | None, lowest_ms: int | None
) -> None:
    """Unknown fields, of a newer version, are ignored."""
    answer = ReportAnswer((Outcome.ACCEPTED, Outcome.UNKNOWN), parameters, last_tick_ms, lowest_ms)

    wire = answer_to_wire("checkins", TIMESTAMPS, answer)

    assert answer_from_wire(wire | {"colour": "green"}) == answer
