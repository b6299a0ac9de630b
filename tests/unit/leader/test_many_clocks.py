"""The cost of a log with many clocks: one request reads or writes what all of its clocks need."""

from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from clocksvc.leader.evaluation import NAMED_CLOCKS
from clocksvc.memory.leases import MemoryLeases
from clocksvc.memory.store import MemoryStore
from tests.faulty.shared_log import SharedLog
from tests.faulty.topics import FaultyTopics
from tests.unit.leader.clocks import minutes, published_hold, stored_times

pytestmark = pytest.mark.core

CLOCKS = 30
_COUNTED = {
    FaultyTopics: ("describe", "timestamp_types"),
    MemoryLeases: ("read_round", "publish_statuses", "publish"),
    MemoryStore: ("claim", "bounds", "write_roster", "lagging_partitions"),
}


@pytest.fixture
def calls() -> Iterator[Counter[str]]:
    """Counts calls of servers, by method."""
    counted: Counter[str] = Counter()

    def count(owner: type, name: str) -> object:
        method = getattr(owner, name)

        def call(*args: object, **kwargs: object) -> object:
            counted[name] += 1
            return method(*args, **kwargs)

        return patch.object(owner, name, call)

    patches = [count(owner, name) for owner, names in _COUNTED.items() for name in names]
    for one in patches:
        one.start()  # type: ignore[attr-defined]
    yield counted
    for one in patches:
        one.stop()  # type: ignore[attr-defined]


def test_what_is_due_for_all_clocks_is_one_request(calls: Counter[str]) -> None:
    """The clocks have ticked one after the other, so each has a time of its own at which its metadata were read. In
    five minutes without ticks, metadata and timestamp types are read about each 30 s, and statuses are written about
    each 10 s, for all clocks together."""
    shared = SharedLog(CLOCKS)
    shared.change(max_out_of_orderness_ms=None, hold_after_ms=3_600_000)
    shared.add_leader()
    for name in shared.names:
        shared.report(minutes(1)[0], [name])
        shared.run(1)
    calls.clear()

    shared.run(300, step_s=1)

    assert all(stored_times(store) == minutes(1) for store in shared.stores.values())
    assert calls["read_round"] <= 300 + 2
    assert 300 / 30 - 1 <= calls["describe"] <= 300 / 15 + 1
    assert 300 / 30 - 1 <= calls["timestamp_types"] <= 300 / 30 + 1
    assert 300 / 10 - 1 <= calls["publish_statuses"] <= 300 / 5 + 1
    assert (calls["claim"], calls["bounds"], calls["write_roster"]) == (0, 0, 0)


def test_a_tick_needs_one_round(calls: Counter[str]) -> None:
    """It publishes the ticks of all clocks with one request. The leader reads the store again only when it is notified,
    or after a second."""
    shared = SharedLog(CLOCKS)
    leader = shared.add_leader()
    shared.report(minutes(1)[0])
    shared.send(minutes(2)[0])
    calls.clear()

    assert leader.step() > 0

    assert all(stored_times(store) == minutes(1, 2) for store in shared.stores.values())
    assert (calls["read_round"], calls["publish"]) == (1, 1)


def test_holds_of_all_clocks_are_named_in_turn(calls: Counter[str]) -> None:
    """The consumers of all clocks stop. Each round reads the partitions of ten clocks, so rounds stay short. A few
    seconds later, each hold names its partitions, and is named again each few seconds."""
    shared = SharedLog(CLOCKS)
    shared.add_leader()
    shared.report(minutes(1)[0])
    shared.run(119, step_s=1)
    calls.clear()

    shared.run(5, step_s=1)

    assert calls["read_round"] <= 6
    assert calls["lagging_partitions"] <= 5 * NAMED_CLOCKS
    for name, store in shared.stores.items():
        assert published_hold(store) == (Reason.PARTITION_BEHIND, (Partition(name, 0),))
