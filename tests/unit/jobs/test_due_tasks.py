"""What is due at which tick: tables of cases, each with its reason."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from clocksvc.clock.tick import Tick
from clocksvc.interfaces.schedule import (
    CatchUp,
    EachTick,
    Schedule,
)
from clocksvc.jobs.due_tasks import due_tasks

MINUTE = 60_000


@dataclass(frozen=True)
class At:
    """Due at fixed minutes."""

    minutes: tuple[float, ...]

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        return iter([round(m * MINUTE) for m in self.minutes if after_ms < m * MINUTE <= upto_ms])

    def fingerprint(self) -> str:
        return f"at {self.minutes}"


def ticks(*minutes: int) -> list[Tick]:
    return [Tick("c", m * MINUTE, (m - 1) * MINUTE, MINUTE, m * MINUTE) for m in minutes]


def planned(
    entry: Schedule, after: int | None, *minutes: int, since: int = 0, now: int = 100
) -> list[tuple[int, float, bool]]:
    """(minute of the tick, minute due, stale) of everything planned."""
    after_ms = None if after is None else after * MINUTE
    found = due_tasks([entry], {entry.name: since * MINUTE}, after_ms, ticks(*minutes), now * MINUTE)
    return [(tick.at_ms // MINUTE, one.due_ms / MINUTE, one.expired) for tick, due in found for one in due]


@pytest.mark.parametrize(
    ("entry", "after", "minutes", "expected", "why"),
    [
        (Schedule("e", At((5,))), 4, (5,), [(5, 5.0, False)], "due at a tick goes at that tick"),
        (Schedule("e", At((4.5,))), 4, (5,), [(5, 4.5, False)], "due between two ticks goes at the later"),
        (Schedule("e", At((5,))), 5, (6,), [], "what was reached before is not due again"),
        (Schedule("e", At((5,))), None, (5,), [(5, 5.0, False)], "a clock's first tick covers its own interval"),
        (Schedule("e", At((4,))), None, (5,), [], "and nothing before that"),
        (
            Schedule("e", At((5, 5.5, 6))),
            4,
            (5, 6),
            [(5, 5.0, False), (6, 5.5, False), (6, 6.0, False)],
            "all, in order",
        ),
        (Schedule("e", At((5, 5.5, 6)), CatchUp.LAST), 4, (5, 6), [(6, 6.0, False)], "only the last of several"),
        (Schedule("e", At((5,)), CatchUp.LAST), 4, (5, 6, 7), [(5, 5.0, False)], "one alone is the last, at its tick"),
        (Schedule("e", EachTick()), 4, (5, 6), [(5, 5.0, False), (6, 6.0, False)], "each tick is due at itself"),
        (Schedule("e", EachTick(), CatchUp.LAST), 4, (5, 6, 7), [(7, 7.0, False)], "a backlog of ticks collapses"),
        (Schedule("e", EachTick(), max_age_ms=95 * MINUTE), 3, (4, 5), [(4, 4.0, True), (5, 5.0, False)], "too old"),
    ],
)
def test_what_is_due(
    entry: Schedule, after: int | None, minutes: tuple[int, ...], expected: list[tuple[int, float, bool]], why: str
) -> None:
    """Each case says why."""
    assert planned(entry, after, *minutes) == expected, why


def test_nothing_is_due_before_an_entry_existed() -> None:
    """An entry that was added while the dispatcher was behind begins where the clock stood then."""
    assert planned(Schedule("e", At((5, 6, 7))), 4, 5, 6, 7, since=6) == [(7, 7.0, False)]


def test_entries_of_one_tick_go_in_order_of_their_due_times() -> None:
    """Whatever the order in which they are configured."""
    entries = [Schedule("late", At((5,))), Schedule("early", At((4.5,)))]

    (_, due), = due_tasks(entries, {"late": 0, "early": 0}, 4 * MINUTE, ticks(5), 0)  # fmt: skip

    assert [one.schedule.name for one in due] == ["early", "late"]
