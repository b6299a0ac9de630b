"""The state of a clock's schedules, from what the replicas of the scheduler announce."""

from typing import Any

import pytest

from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.schedulers import SchedulerAnnouncement, SchedulersReading, Stats
from clocksvc.service.schedules_state import (
    MAX_PROBLEMS,
    SchedulesState,
    SchedulesView,
    schedules_from_wire,
    schedules_state,
    schedules_to_wire,
)
from clocksvc.testing import ManualTime
from tests.faulty.store import FaultyStore

pytestmark = pytest.mark.core

NOON_MS = 1_795_348_800_000


def figures(**fields: Any) -> Stats:
    """The stats of an owner."""
    known = {"offset": 500, "end": 500, "schedules": 400, "unreadable": 1, "position_ms": NOON_MS}
    return known | {"due_per_minute": 7.0, "missed": 2, "problem": None} | fields


def replica(name: str, stats: dict[int, Stats], loaded: set[int], owned: set[int]) -> SchedulerAnnouncement:
    """A live replica."""
    return SchedulerAnnouncement(
        f"{name}:1 id", "http://10.0.0.7:8081", loaded=frozenset(loaded | owned), owned=frozenset(owned), stats=stats
    )


def state_of(*replicas: SchedulerAnnouncement, partitions: int = 2) -> SchedulesState:
    """What these replicas add up to."""
    return schedules_state(partitions, SchedulersReading(NOON_MS, replicas, NOON_MS))


def test_owners_are_added_up() -> None:
    """Each partition counts once, with its owner's figures. The position is the lowest."""
    first = replica("a", {0: figures(), 1: figures(schedules=399, due_per_minute=None, position_ms=None)}, {1}, {0})
    second = replica("b", {1: figures(position_ms=NOON_MS - 60_000, due_per_minute=0.5)}, set(), {1})

    assert state_of(first, second) == SchedulesState(
        partitions=2,
        owned=2,
        replicas=2,
        loading=0,
        schedules=800,
        unreadable=2,
        due_per_minute=7.5,
        missed=4,
        position_ms=NOON_MS - 60_000,
    )


def test_what_one_partition_does_not_know_is_not_known() -> None:
    """A partition without an owner has no position. Its schedules are known if a standby has loaded it."""
    owner = replica("a", {0: figures()}, set(), {0})
    standby = replica("b", {1: figures(due_per_minute=None, position_ms=None, missed=0)}, {1}, set())

    without = state_of(owner)
    assert (without.owned, without.schedules, without.unreadable) == (1, None, None)
    with_standby = state_of(owner, standby)
    assert (with_standby.owned, with_standby.schedules, with_standby.unreadable) == (1, 800, 2)
    assert (with_standby.due_per_minute, with_standby.missed, with_standby.position_ms) == (None, None, None)


def test_the_progress_of_all_that_load_is_one_number() -> None:
    """In offsets. The half-read schedules are not counted. Before an end is known, there is no number."""
    begins = figures(offset=0, end=0, schedules=0, position_ms=None)
    halfway = figures(offset=150, end=300, schedules=100, position_ms=None)
    loads = replica("a", {0: halfway, 1: figures(offset=100, end=700)}, set(), set())

    assert state_of(loads) == SchedulesState(2, owned=0, replicas=1, loading=2, loaded_ratio=0.25)
    assert state_of(replica("a", {0: begins}, set(), set())) == SchedulesState(2, owned=0, replicas=1, loading=1)


def test_partitions_that_are_not_configured_do_not_count() -> None:
    """In a rolling change of the number of partitions, or of another version."""
    assert state_of(replica("a", {7: figures()}, set(), {0, 7})).owned == 1


def test_problems_name_partition_and_replica() -> None:
    """The first few."""
    broken = replica("a", {number: figures(problem="no answer from Kafka") for number in range(9)}, set(), {0})

    found = state_of(broken, partitions=9).problems

    assert found[0] == "partition 0 at a:1: no answer from Kafka"
    assert len(found) == MAX_PROBLEMS


@pytest.mark.parametrize(
    "state",
    [
        SchedulesState(8),
        SchedulesState(8, 8, 3, 2, 0.25, 1_000_000, 0, 16_667.5, 3, NOON_MS, ("partition 0 at a:1: no answer",)),
    ],
)
def test_decoding_is_the_reverse(state: SchedulesState) -> None:
    """Also of what is not known."""
    assert schedules_from_wire(schedules_to_wire(state) | {"new": 1}) == state


def test_without_the_store_only_the_configuration_is_known() -> None:
    """Nothing is 0 then."""
    store = FaultyStore("checkins", ManualTime(NOON_MS / 1000))
    view = SchedulesView(SchedulesSpec("checkins", 8), store.server.schedulers("checkins"))
    assert view.state() == SchedulesState(8, owned=0, replicas=0, loading=0)

    store.server.broken = True
    assert view.state() == SchedulesState(8)
