"""Notices: which clocks have new ticks, over all logs; gaps and losses are detected."""

from collections.abc import Callable, Iterator
from itertools import count
from threading import Thread

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.interfaces.time import SystemTime
from tests.interfaces.store_examples import BASE, CLOCK, LEASE_MS, LOG, MINUTE, REPLICA, TOKEN, chain
from tests.interfaces.store_implementations import StoreImplementation

OTHER = next(name for number in range(99) if log_of(name := f"clock-{number}") != LOG)
"""A clock of another log."""
NEIGHBOUR = next(name for number in range(999) if log_of(name := f"clock-{number}") == LOG)
"""A clock of the same log."""
LOST_WITHIN_S = 3.0


def publish(implementation: StoreImplementation, clock: str, minute: int = 0) -> None:
    """Publish a tick of a clock, as the leader of its log."""
    assert implementation.server.leases(log_of(clock)).acquire(TOKEN, REPLICA, LEASE_MS)
    store = implementation.server.store(clock)
    at_ms = BASE + minute * MINUTE
    store.publish(TOKEN, [Tick(clock, at_ms, store.bounds().end_ms, MINUTE, store.now_ms())])


@pytest.fixture
def reader(implementation: StoreImplementation) -> Iterator[NoticeReader]:
    """A reader of three clocks of two logs, which has begun."""
    made = implementation.server.notices([CLOCK, OTHER, NEIGHBOUR])
    drain(made)
    yield made
    made.close()


def drain(reader: NoticeReader) -> None:
    """Read until there is nothing left, and each log was read once."""
    while reader.read(1.0) != []:
        pass


def gather(reader: NoticeReader, number: int) -> list[str]:
    """Read notices of `number` clocks; no notice is missed."""
    found: list[str] = []
    monotonic = SystemTime().monotonic
    end = monotonic() + 10.0
    while len(found) < number and monotonic() < end:
        clocks = reader.read(0.2)
        assert clocks is not None
        found += clocks
    return found


def is_missed(reader: NoticeReader, between: Callable[[], None] = lambda: None) -> bool:
    """True if `read` returns None within a few seconds. `between` is called before each read."""
    monotonic = SystemTime().monotonic
    end = monotonic() + LOST_WITHIN_S
    while monotonic() < end:
        between()
        if reader.read(0.1) is None:
            return True
    return False


def test_the_first_read_says_that_notices_were_missed(implementation: StoreImplementation) -> None:
    """The caller reads the ends of all streams then. Earlier notices do not come afterwards."""
    publish(implementation, CLOCK)
    reader = implementation.server.notices([CLOCK])

    assert reader.read(0.2) is None
    drain(reader)
    publish(implementation, CLOCK, 1)
    assert gather(reader, 1) == [CLOCK]
    reader.close()


def test_each_write_of_ticks_is_noticed(implementation: StoreImplementation, reader: NoticeReader) -> None:
    """`publish`, `begin` and a successful `finish_restoring`; not what changes nothing for readers."""
    store = implementation.store
    implementation.leases.acquire(TOKEN, REPLICA, LEASE_MS)

    store.publish(TOKEN, chain(0, 2, None))
    assert gather(reader, 1) == [CLOCK]
    store.begin(TOKEN, BASE + 2 * MINUTE, restoring=True)
    assert gather(reader, 1) == [CLOCK]
    store.publish(TOKEN, [])
    store.stage(TOKEN, chain(0, 2, None), first=True)
    assert reader.read(0.1) == []
    store.finish_restoring(TOKEN)
    assert gather(reader, 1) == [CLOCK]
    store.finish_restoring(TOKEN)
    assert reader.read(0.1) == []


def test_one_reader_follows_several_logs(implementation: StoreImplementation, reader: NoticeReader) -> None:
    """Each clock is named at most once by each call."""
    for clock in (CLOCK, OTHER, NEIGHBOUR, CLOCK):
        publish(implementation, clock, 1 if implementation.server.store(clock).bounds().last else 0)

    assert {*gather(reader, 3)} == {CLOCK, OTHER, NEIGHBOUR}
    drain(reader)


def test_clocks_that_the_reader_does_not_follow_are_left_out(implementation: StoreImplementation) -> None:
    """Also if they belong to the same log."""
    reader = implementation.server.notices([CLOCK])
    drain(reader)
    publish(implementation, NEIGHBOUR)
    publish(implementation, CLOCK)

    assert gather(reader, 1) == [CLOCK]
    reader.close()


@pytest.mark.parametrize("clock", [CLOCK, OTHER])
def test_a_notice_ends_a_blocked_read(implementation: StoreImplementation, reader: NoticeReader, clock: str) -> None:
    """At once, whichever log it belongs to."""
    found: list[object] = []
    thread = Thread(target=lambda: found.append(reader.read(30.0)))
    thread.start()
    thread.join(0.05)
    publish(implementation, clock)
    thread.join(10.0)

    assert found == [[clock]]


def test_without_notices_a_read_ends_after_its_timeout(reader: NoticeReader) -> None:
    """With nothing."""
    monotonic = SystemTime().monotonic
    began = monotonic()

    assert reader.read(0.3) == []
    assert 0.29 <= monotonic() - began < 3.0


def test_a_gap_in_the_numbers_is_noticed(implementation: StoreImplementation, reader: NoticeReader) -> None:
    """Some notices were trimmed before they were read. Later ones are complete again."""
    publish(implementation, CLOCK)
    drain(reader)
    implementation.add_notice_after_gap(LOG, CLOCK)

    assert is_missed(reader)
    drain(reader)
    publish(implementation, CLOCK, 1)
    assert gather(reader, 1) == [CLOCK]


def test_a_flush_is_noticed_without_a_notice(implementation: StoreImplementation, reader: NoticeReader) -> None:
    """The numbers begin again; later notices are complete."""
    for minute in range(3):
        publish(implementation, CLOCK, minute)
    drain(reader)
    implementation.wipe()

    assert is_missed(reader)
    drain(reader)
    publish(implementation, CLOCK)
    assert gather(reader, 1) == [CLOCK]


def test_a_loss_is_noticed_beside_a_busy_log(implementation: StoreImplementation, reader: NoticeReader) -> None:
    """Notices of another log come all the time, and lower numbers of a log are still found."""
    for minute in range(3):
        publish(implementation, CLOCK, minute)
    drain(reader)
    minutes = count()
    implementation.drop_notices(LOG)

    assert is_missed(reader, lambda: publish(implementation, OTHER, next(minutes)))


def test_a_failover_to_lower_numbers_is_noticed(implementation: StoreImplementation, reader: NoticeReader) -> None:
    """A store that lost its last notices uses their numbers again, with another clock."""
    for minute in range(3):
        publish(implementation, CLOCK, minute)
    drain(reader)
    implementation.drop_notices(LOG)
    publish(implementation, NEIGHBOUR)

    assert is_missed(reader)
    drain(reader)
    publish(implementation, NEIGHBOUR, 1)
    assert gather(reader, 1) == [NEIGHBOUR]


def test_a_closed_reader_returns(reader: NoticeReader) -> None:
    """`close` ends a blocked read."""
    thread = Thread(target=lambda: reader.read(30.0))
    thread.start()
    thread.join(0.05)
    reader.close()
    thread.join(10.0)

    assert not thread.is_alive()
