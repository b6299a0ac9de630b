"""The judge of observed clocks finds what is wrong."""

from tests.system.evidence import TickWithOffset
from tests.system.outages.observed.judge import Passed, early

S = 1_000


def tick(at_s: int, appended_s: float) -> TickWithOffset:
    """A tick."""
    return TickWithOffset(at_s * S, None, round(appended_s * S), {})


def test_a_tick_before_a_record_was_handled() -> None:
    timestamps = {(0, 0): 9 * S, (1, 0): 11 * S}
    assert early([tick(10, 12)], timestamps, {(0, 0): 11 * S, (1, 0): 20 * S}) == []
    assert len(early([tick(10, 12)], timestamps, {(0, 0): 13 * S, (1, 0): 13 * S})) == 1
    assert len(early([tick(10, 12)], timestamps, {(1, 0): 13 * S})) == 1
    assert len(early([tick(10, 12), tick(12, 14)], timestamps, {(0, 0): 11 * S, (1, 0): 20 * S})) == 1


def test_when_the_last_partition_has_passed() -> None:
    """By a record, or drained; an empty partition is drained."""
    timestamps = {(0, 0): 9 * S, (0, 1): 10 * S, (1, 0): 9 * S}
    handled = {(0, 0): 10 * S, (0, 1): 11 * S, (1, 0): 10 * S}
    assert Passed(timestamps, handled, 1, 0, 5 * S).times([10 * S]) == {10 * S: 11 * S}
    assert Passed(timestamps, handled, 2, 0, 5 * S).times([10 * S]) == {10 * S: 15 * S}
    assert Passed(timestamps, handled | {(1, 0): 17 * S}, 2, 0, 5 * S).times([10 * S]) == {10 * S: 17 * S}
    assert Passed(timestamps, handled, 3, 2 * S, 5 * S).times([10 * S]) == {10 * S: 17 * S}
