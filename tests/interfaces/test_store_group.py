"""The interface of a store: progress belongs to the group that reported it."""

import pytest

from clocksvc.clock.partition import Outcome
from clocksvc.clock.roster import Roster
from clocksvc.interfaces.progress import ClockParameters
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    IDENTITY,
    LEASE_MS,
    MINUTE,
    ORDERS_0,
    SINGLE,
    STARTED,
    TOKEN,
    lead,
    send,
)
from tests.preconditions import require


def bounds_of(group: str) -> ClockParameters:
    """The clock's bounds with this consumer group."""
    return ClockParameters(group, ("orders",), MINUTE, 0, MINUTE)


def lowest_ms(store: Store) -> int | None:
    """The minimum that a leader's step would see."""
    return store.read_progress(TOKEN, LEASE_MS).lowest_ms


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Never early: the store keeps the progress of the old group when the clock's group changes.",
)
def test_another_group_begins_with_unknown_partitions(store: Store) -> None:
    """After a change of the group every partition is unknown until the new group has reported it."""

    def change_group(group: str, roster: Roster, generation: int) -> None:
        store.claim(TOKEN, IDENTITY, bounds_of(group), STARTED)
        store.write_roster(TOKEN, roster, generation)

    lead(store, SINGLE, bounds_of("old"))
    require(send(store, (ORDERS_0, BASE), group="old") == (Outcome.ACCEPTED,), "the old group reports")

    change_group("new", SINGLE, 2)

    assert lowest_ms(store) is None
    assert send(store, (ORDERS_0, BASE - MINUTE), group="new") == (Outcome.ACCEPTED,)
    assert lowest_ms(store) == BASE - MINUTE
