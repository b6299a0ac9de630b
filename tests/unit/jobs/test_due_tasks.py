"""`due_tasks`: tables of cases, each with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.schedule import CatchUp, EachTick, Schedule
from clocksvc.jobs.due_tasks import due_tasks

MINUTE = 60_000


@dataclass(frozen=True)
class At:
    """A Recurrence that is due at fixed minutes."""

    minutes: tuple[float, ...]

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        return iter([round(m * MINUTE) for m in self.minutes if after_ms < m * MINUTE <= upto_ms])

    def fingerprint(self) -> str:
        return f"at {self.minutes}"


def ticks(*minutes: int) -> list[Tick]:
    return [Tick("c", m * MINUTE, (m - 1) * MINUTE, MINUTE, m * MINUTE) for m in minutes]


def occurrences(
    schedule: Schedule, after: int | None, *minutes: int, since: int = 0, now: int = 100
) -> list[tuple[int, float, bool]]:
    """All occurrences: (tick, due time, expired), in minutes."""
    after_ms = None if after is None else after * MINUTE
    found = due_tasks([schedule], {schedule.name: since * MINUTE}, after_ms, ticks(*minutes), now * MINUTE)
    return [(tick.at_ms // MINUTE, one.due_ms / MINUTE, one.expired) for tick, due in found for one in due]


@pytest.mark.parametrize(
    ("schedule", "after", "minutes", "expected", "why"),
    [
        (Schedule("e", At((5,))), 4, (5,), [(5, 5.0, False)], "due at a tick: sent at that tick"),
        (Schedule("e", At((4.5,))), 4, (5,), [(5, 4.5, False)], "due between two ticks: sent at the later one"),
        (Schedule("e", At((5,))), 5, (6,), [], "a time before the last tick is not due again"),
        (Schedule("e", At((5,))), None, (5,), [(5, 5.0, False)], "a clock's first tick covers its own interval"),
        (Schedule("e", At((4,))), None, (5,), [], "not earlier times"),
        (
            Schedule("e", At((5, 5.5, 6))),
            4,
            (5, 6),
            [(5, 5.0, False), (6, 5.5, False), (6, 6.0, False)],
            "all, in order",
        ),
        (Schedule("e", At((5, 5.5, 6)), CatchUp.LAST), 4, (5, 6), [(6, 6.0, False)], "only the last of several"),
        (
            Schedule("e", At((5,)), CatchUp.LAST),
            4,
            (5, 6, 7),
            [(5, 5.0, False)],
            "a single due time is the last one, at its tick",
        ),
        (Schedule("e", EachTick()), 4, (5, 6), [(5, 5.0, False), (6, 6.0, False)], "each tick is due at itself"),
        (Schedule("e", EachTick(), CatchUp.LAST), 4, (5, 6, 7), [(7, 7.0, False)], "only the last tick of a backlog"),
        (
            Schedule("e", EachTick(), max_age_ms=95 * MINUTE),
            3,
            (4, 5),
            [(4, 4.0, True), (5, 5.0, False)],
            "older than max_age: expired",
        ),
    ],
)
def test_what_is_due(
    schedule: Schedule, after: int | None, minutes: tuple[int, ...], expected: list[tuple[int, float, bool]], why: str
) -> None:
    """Each case has its reason."""
    assert occurrences(schedule, after, *minutes) == expected, why


def test_nothing_is_due_before_the_schedule_existed() -> None:
    """A schedule that was added while the dispatcher was behind is due from the clock's time at that moment on."""
    assert occurrences(Schedule("e", At((5, 6, 7))), 4, 5, 6, 7, since=6) == [(7, 7.0, False)]


def test_tasks_of_one_tick_are_in_order_of_their_due_times() -> None:
    """Independent of the order in the configuration."""
    schedules = [Schedule("late", At((5,))), Schedule("early", At((4.5,)))]

    (_, due), = due_tasks(schedules, {"late": 0, "early": 0}, 4 * MINUTE, ticks(5), 0)  # fmt: skip

    assert [one.schedule.name for one in due] == ["early", "late"]
