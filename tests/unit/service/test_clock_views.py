"""The states of many clocks, which are read together: as fresh and as true as those of one clock."""

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.clock.holds import Reason, Status
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading
from clocksvc.service.clock_view import VIEW_MAX_AGE_S
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.public_state import state_to_wire
from tests.faulty.clock_views import ReadsOfStores, views_of
from tests.unit.api.clock_fixture import NOON, ClockFixture, after, ticks

pytestmark = pytest.mark.core

NAMES = ("a", "b", "c")


class Watched(ReadsOfStores):
    """Reads that count their calls, and can wait in them."""

    def __init__(self, fixtures: Mapping[str, ClockFixture]) -> None:
        super().__init__({name: fixture.view for name, fixture in fixtures.items()})
        self.asked: list[tuple[str, ...]] = []
        self.began, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        self.asked.append(tuple(clocks))
        self.began.set()
        assert self.go_on.wait(20)
        return super().read(clocks)


def fleet() -> tuple[dict[str, ClockFixture], Watched, ClockViews]:
    """Three clocks with ticks, and their views."""
    fixtures = {name: ClockFixture(name) for name in NAMES}
    for number, (name, fixture) in enumerate(fixtures.items()):
        fixture.publish(*ticks(2 + number, first_s=NOON - 300, clock=name))
        fixture.report(NOON, NOON)
        fixture.read()
    reads = Watched(fixtures)
    return fixtures, reads, ClockViews({name: fixture.view for name, fixture in fixtures.items()}, reads)


def test_the_states_are_those_of_the_clocks() -> None:
    """In the given order, with one read."""
    fixtures, reads, views = fleet()

    states = views.states(("c", "a"))

    assert [state.clock for state in states] == ["c", "a"]
    assert [state_to_wire(state) for state in states] == [
        state_to_wire(fixtures[name].view.state()) for name in ("c", "a")
    ]
    assert reads.asked == [("c", "a")]


def test_an_outage_is_a_hold_and_keeps_the_last_tick() -> None:
    """Of the clocks that were not read. It is not asked for again within the age of a list."""
    fixtures, reads, views = fleet()
    fixtures["b"].server.broken = True

    states = {state.clock: state for state in views.states(NAMES)}
    views.states(NAMES)

    hold = states["b"].hold
    assert hold is not None
    assert (hold.reason, states["b"].status) == (Reason.STORE_UNAVAILABLE, Status.HOLDING)
    assert (states["b"].last_tick, states["b"].partitions) == (fixtures["b"].feed.last, None)
    assert states["a"].partitions is not None
    assert len(reads.asked) == 1


def test_a_state_is_at_most_a_quarter_of_a_second_old_with_few_clocks() -> None:
    """With many, 1 ms for each clock: reads of the store are bounded, however many clients there are."""
    fixtures, reads, views = fleet()
    views.states(NAMES)
    for fixture in fixtures.values():
        fixture.time.advance(VIEW_MAX_AGE_S)
    views.states(NAMES)

    assert reads.asked == [NAMES, NAMES]
    assert ClockViews({f"clock-{n}": fixtures["a"].view for n in range(2_000)}, reads).max_age_s == 2.0


def test_no_partition_seems_to_be_behind_a_clock_of_a_list() -> None:
    """A clock that has ticked since the last read is read again, and the others are not."""
    fixtures, reads, views = fleet()
    views.states(NAMES)
    last = fixtures["b"].feed.last
    assert last is not None
    fixtures["b"].report(NOON + 1, NOON + 1)
    fixtures["b"].publish(*after(last))
    fixtures["b"].feed.step()

    states = {state.clock: state for state in views.states(NAMES)}

    assert states["b"].last_tick == after(last)[0]
    assert {partition.reported_timestamp_ms for partition in states["b"].slowest} == {(NOON + 1) * 1000}
    assert reads.asked == [NAMES, ("b",)]


def test_callers_share_a_read() -> None:
    """While one reads, the others wait for it, and do not read again."""
    _, reads, views = fleet()
    reads.go_on.clear()
    with ThreadPoolExecutor(8) as threads:
        lists = [threads.submit(views.states, NAMES) for _ in range(8)]
        assert reads.began.wait(20)
        reads.go_on.set()
        states = [[state.clock for state in one.result()] for one in lists]

    assert reads.asked == [NAMES]
    assert states == [list(NAMES)] * 8


def test_a_replica_that_can_answer_reads_nothing_for_its_readiness() -> None:
    """Only the clocks whose feeds have trouble are read, together."""
    fixtures, reads, views = fleet()
    assert (views.readiness_errors(), reads.asked) == ([], [])
    for name in ("a", "c"):
        fixtures[name].feed.mark_failed()

    assert views.readiness_errors() == ["lost while the store answers"] * 2
    assert reads.asked == [("a", "c")]

    fixtures["a"].server.broken = True
    fixtures["a"].time.advance(1)
    assert views.readiness_errors() == ["lost while the store answers"]
    assert views_of(ClockFixture("new").view).readiness_errors() == ["not read yet"]
