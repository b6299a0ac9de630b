"""How many due records are sent for each minute of a clock, and what an owner shows of it."""

import pytest

from clocksvc.scheduler.recent_due import RecentDue
from tests.unit.scheduler.partition_fixture import PartitionFixture

pytestmark = pytest.mark.core

SECOND_MS = 1000


def sent(interval_ms: int, *due: int) -> RecentDue:
    """What was due at ticks in a row."""
    recent = RecentDue()
    for number, one in enumerate(due):
        recent.add(number * interval_ms, (number + 1) * interval_ms, one)
    return recent


@pytest.mark.parametrize(
    ("interval_s", "due", "per_minute"),
    [
        (1, [5] * 59, None),
        (1, [0] * 30 + [7] * 60, 420),
        (60, [3, 16_667], 16_667),
        (3_600, [5, 600], 10),
        (40, [8, 2, 4], 4.5),
        (60, [], None),
    ],
)
def test_it_is_the_number_of_the_last_minute(interval_s: int, due: list[int], per_minute: float | None) -> None:
    """Not known before; of one tick if ticks are further apart; of two if a minute is no multiple of the interval."""
    assert sent(interval_s * SECOND_MS, *due).per_minute() == per_minute


def test_a_gap_begins_again() -> None:
    """After a term of another owner, what this one has sent before is no part of the last minute."""
    recent = sent(30 * SECOND_MS, 1, 1)
    assert recent.per_minute() == 2

    recent.add(600 * SECOND_MS, 630 * SECOND_MS, 9)

    assert recent.per_minute() is None


def test_an_owner_shows_what_it_sends_and_what_it_can_not_read() -> None:
    """Not known before its first tick, nor for a standby. A record that was replaced does not count any more."""
    fixture = PartitionFixture()
    for number in range(3):
        fixture.put(f"a-{number}")
    fixture.topic.append(0, b"broken", b"[]", fixture.time.now_ms())
    owner, standby = fixture.owner(), fixture.open()
    fixture.run(standby)
    assert (owner.stats.due_per_minute, owner.stats.unreadable) == (None, 1)

    fixture.tick()
    fixture.run(owner, standby)
    assert (owner.stats.due_per_minute, standby.stats.due_per_minute) == (3, None)

    fixture.delete("a-0")
    fixture.delete("broken")
    fixture.tick()
    fixture.run(owner)
    assert (owner.stats.due_per_minute, owner.stats.unreadable) == (2, 0)

    owner.release()
    fixture.run(owner)
    assert (owner.stats.due_per_minute, owner.stats.due) == (None, 5)
