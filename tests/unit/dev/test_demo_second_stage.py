"""What the demo shows of its second stage."""

import pytest

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.tick import Tick
from clocksvc.dev.demo.delivery_checks import StoredRecords
from clocksvc.dev.demo.demo_config import DemoConfig
from clocksvc.dev.demo.demo_service import ServiceWatch
from clocksvc.dev.demo.second_stage import SecondStage
from tests.public_states import public_state

pytestmark = pytest.mark.core

NOON_MS = 1_795_348_800_000


class Watched(ServiceWatch):
    """A clock whose ticks and state a test sets."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", "warehouse")
        self.ticks: list[Tick] = []

    def new_ticks(self) -> list[Tick]:
        new, self.ticks = self.ticks, []
        return new


def tick(number: int) -> Tick:
    """The ticks follow one another from noon on, each 5 s."""
    at_ms = NOON_MS + number * 5_000
    return Tick("warehouse", at_ms, at_ms - 5_000 if number else None, 5_000, at_ms)


@pytest.fixture
def watched() -> Watched:
    """The second stage's clock."""
    return Watched()


@pytest.fixture
def stage(watched: Watched) -> SecondStage:
    """The second stage, not started."""
    config = DemoConfig("127.0.0.1:1", "redis://127.0.0.1:1/0", True, True, "demo", 1)
    made = SecondStage(config, StoredRecords())
    made.watch = watched
    return made


def shown(stage: SecondStage) -> list[str]:
    """The text of the next events."""
    return [event.text for event in stage.events(NOON_MS)]


def hold(watched: Watched, last: Tick) -> None:
    """Its clock holds after this tick."""
    held = Hold(Reason.UPSTREAM_BEHIND, (), "the detail")
    watched.state = public_state(status=Status.HOLDING, hold=held, last_tick=last)


def test_the_first_tick_and_each_hold_with_its_end_are_shown(watched: Watched, stage: SecondStage) -> None:
    """Other ticks are counted only."""
    assert shown(stage) == []
    watched.ticks = [tick(0)]
    assert shown(stage) == ["warehouse 12:00:00   everything before 12:00:00 has passed both groups"]
    watched.ticks = [tick(1)]
    assert shown(stage) == []
    hold(watched, tick(1))
    assert shown(stage) == ["warehouse waits for demo (upstream_behind)"]
    assert shown(stage) == []
    watched.ticks = [tick(2), tick(3)]
    assert shown(stage) == ["warehouse 12:00:15   everything before 12:00:15 has passed both groups"]
    assert shown(stage) == []
    assert (stage.sequence.count, stage.problems) == (4, [])


def test_a_state_from_before_the_last_tick_is_no_hold(watched: Watched, stage: SecondStage) -> None:
    """The state is read at other times than the ticks."""
    hold(watched, tick(0))
    watched.ticks = [tick(0), tick(1)]

    assert shown(stage) == ["warehouse 12:00:00   everything before 12:00:00 has passed both groups"]


def test_a_tick_before_a_record_that_is_not_stored_is_a_problem(watched: Watched, stage: SecondStage) -> None:
    """So is a tick that is missing."""
    stage.stored.expect(7)
    stage.stored.delivered(7, NOON_MS - 1)
    watched.ticks = [tick(0), tick(2)]
    shown(stage)

    assert len(stage.problems) == 3
    assert f"1 records before tick {NOON_MS} are not stored, such as 7" in stage.problems
