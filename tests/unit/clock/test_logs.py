"""The log of a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clocksvc.clock.logs import LOGS, group_by_log, log_of
from tests.unit.clock.random_values import NAMES

pytestmark = pytest.mark.core


def test_the_logs_of_some_clocks() -> None:
    """The numbers that librdkafka's partitioner `consistent` computes for these keys. They never change."""
    assert LOGS == 16
    assert [log_of(name) for name in ("a", "checkins", "clock", "orders")] == [3, 5, 2, 14]


@given(st.lists(NAMES, unique=True, max_size=40))
def test_clocks_by_log(clocks: list[str]) -> None:
    """Each clock is in its log alone, in the given order, and no log is empty."""
    groups = group_by_log(clocks)

    assert sorted(clock for group in groups.values() for clock in group) == sorted(clocks)
    for log, group in groups.items():
        assert list(group) == [clock for clock in clocks if log_of(clock) == log] != []
