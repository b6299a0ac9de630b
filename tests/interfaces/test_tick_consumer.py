"""The behaviour of all tick consumers: one process at a time reads committed ticks, from the offset it asked for."""

from collections.abc import Callable

import pytest

from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import TickConsumer, TickWithOffset
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_consumer import KafkaTickConsumer
from clocksvc.memory.tick_consumer import MemoryGroup
from tests.faulty.tick_consumer import FaultyTickConsumer
from tests.interfaces.tick_log_examples import CLOCK, MINUTE_MS, KeepAliveCounter, control, foreign, ticks
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    MemoryTickLogImplementation,
    TickLogImplementation,
    writer,
)
from tests.waiting import eventually

WITHIN_S = 30.0


class Bed:
    """A tick log and how one more process subscribes to it."""

    def __init__(self, implementation: TickLogImplementation, subscribe: Callable[[], TickConsumer]) -> None:
        self.implementation, self.subscribe = implementation, subscribe

    def until_turn(self, one: TickConsumer, *others: TickConsumer) -> int:
        """Poll until a process has the turn."""

        def polled() -> int | None:
            for each in (one, *others):
                each.poll(0.1)
            return one.assignment_epoch

        return eventually(polled, within=WITHIN_S, what="the turn") or 0

    def read(self, one: TickConsumer, count: int) -> list[TickWithOffset]:
        """Poll until so many ticks came."""
        found: list[TickWithOffset] = []

        def enough() -> bool:
            found.extend(one.poll(0.1))
            return len(found) >= count

        eventually(enough, within=WITHIN_S, what=f"{count} ticks")
        return found


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def bed(request: pytest.FixtureRequest) -> Bed:
    """Each implementation in turn, with three ticks in the log."""
    made = _memory() if request.param == "memory" else _kafka(request)
    log = writer(made.implementation)
    log.append(ticks(1, 3), KeepAliveCounter())
    return made


def _memory() -> Bed:
    implementation = MemoryTickLogImplementation()
    group = MemoryGroup(implementation._log, CLOCK)
    return Bed(implementation, lambda: FaultyTickConsumer(group, implementation._log))


def _kafka(request: pytest.FixtureRequest) -> Bed:
    implementation = KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    request.addfinalizer(implementation.free)

    def subscribe() -> TickConsumer:
        made = KafkaTickConsumer(implementation.topic, CLOCK, "beat", implementation.settings, SystemTime())
        request.addfinalizer(made.close)
        return made

    return Bed(implementation, subscribe)


def minutes(found: list[TickWithOffset]) -> list[int]:
    return [one.tick.at_ms // MINUTE_MS for one in found]


def test_one_process_has_the_turn_and_reads_from_the_beginning(bed: Bed) -> None:
    """Nothing before it has said from where."""
    one = bed.subscribe()
    bed.until_turn(one)
    assert one.poll(0.0) == []

    one.seek(None)

    assert minutes(bed.read(one, 3)) == [1, 2, 3]


def test_reading_begins_at_a_positions_offset(bed: Bed) -> None:
    """That tick first, so that it can be seen to be the right one; new ticks as they come."""
    one = bed.subscribe()
    bed.until_turn(one)
    one.seek(None)
    second = bed.read(one, 3)[1]

    one.seek(Checkpoint(second.tick.at_ms, second.offset))
    assert minutes(bed.read(one, 2)) == [2, 3]
    writer(bed.implementation).append(ticks(4, 2), KeepAliveCounter())

    assert minutes(bed.read(one, 2)) == [4, 5]


def test_only_committed_ticks_are_read(bed: Bed) -> None:
    """Records of other types are passed over; an open transaction is not looked into."""
    one = bed.subscribe()
    bed.until_turn(one)
    one.seek(None)
    bed.read(one, 3)
    writer(bed.implementation).append([control(3)], KeepAliveCounter())
    writer(bed.implementation).append(ticks(4, 1), KeepAliveCounter())
    assert minutes(bed.read(one, 1)) == [4]
    bed.implementation.begin_foreign([foreign({"time": "?"})])

    assert one.poll(0.3) == []


def test_the_last_tick_is_known_without_a_turn(bed: Bed) -> None:
    """So is what `init` said."""
    assert bed.subscribe().last_tick_ms(KeepAliveCounter()) == 3 * MINUTE_MS
    writer(bed.implementation).append([control(9)], KeepAliveCounter())
    assert bed.subscribe().last_tick_ms(KeepAliveCounter()) == 9 * MINUTE_MS


def test_the_turn_passes_on_when_a_consumer_leaves(bed: Bed) -> None:
    """Two never have it at once, as far as both know."""
    first = bed.subscribe()
    bed.until_turn(first)
    second = bed.subscribe()
    second.poll(0.0)
    first.close()

    bed.until_turn(second)
    second.seek(None)

    assert first.assignment_epoch is None
    assert minutes(bed.read(second, 3)) == [1, 2, 3]


@pytest.mark.servers
def test_a_users_consumer_settings_take_no_turn_away(request: pytest.FixtureRequest) -> None:
    """How groups share partitions, and how often is polled, are for users' own consumers."""
    implementation = KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    request.addfinalizer(implementation.free)
    settings = {
        **implementation.settings,
        "partition.assignment.strategy": "cooperative-sticky",
        "max.poll.interval.ms": "6000",
    }

    def subscribe() -> TickConsumer:
        made = KafkaTickConsumer(implementation.topic, CLOCK, "beat", settings, SystemTime())
        request.addfinalizer(made.close)
        return made

    bed = Bed(implementation, subscribe)
    writer(implementation).append(ticks(1, 3), KeepAliveCounter())
    first = bed.subscribe()
    bed.until_turn(first)
    first.seek(None)
    assert minutes(bed.read(first, 3)) == [1, 2, 3]
    second = bed.subscribe()
    second.poll(0.0)
    first.close()
    bed.until_turn(second)
    second.seek(None)

    assert minutes(bed.read(second, 3)) == [1, 2, 3]
