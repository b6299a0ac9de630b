"""Reads of many clocks return the same as reads of one clock: with one call a log, and an error for each clock."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from clocksvc.clock.logs import LOGS, log_of
from clocksvc.clock.tick import Tick
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading, StreamTail
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.leases import Announcement
from clocksvc.interfaces.schedulers import SchedulerAnnouncement
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    CLOCK,
    IDENTITY,
    LEASE_MS,
    LOG,
    MINUTE,
    ORDERS_0,
    RECENTLY,
    REPLICA,
    ROSTER,
    STARTED,
    TOKEN,
    send,
)
from tests.interfaces.store_implementations import (
    MemoryStoreImplementation,
    RedisStoreImplementation,
    StoreImplementation,
)

SAME_LOG = next(f"clock-{n}" for n in range(1_000) if log_of(f"clock-{n}") == LOG)
OTHER_LOG = next(f"clock-{n}" for n in range(1_000) if log_of(f"clock-{n}") != LOG)
NEW = "never-led"
CLOCKS = (CLOCK, SAME_LOG, OTHER_LOG, NEW)


def lead(implementation: StoreImplementation, clock: str, ticks: int) -> None:
    """Lead a clock, with reports, counters, ticks, a status and a scheduler."""
    server = implementation.server
    store, leases = server.store(clock), server.leases(log_of(clock))
    assert leases.acquire(TOKEN, REPLICA, LEASE_MS)
    leases.announce(Announcement(REPLICA, {CLOCK: "digest", OTHER_LOG: "digest"}, 0), LEASE_MS, {"digest": "{}"})
    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    store.write_roster(TOKEN, ROSTER, 1)
    store.begin(TOKEN, BASE, restoring=ticks == 0)
    store.publish(
        TOKEN, [Tick(clock, BASE + n * MINUTE, BASE + (n - 1) * MINUTE, MINUTE, RECENTLY) for n in range(1, ticks + 1)]
    )
    leases.publish_statuses(TOKEN, {clock: StatusUpdate(f'{{"hold": null, "due_ticks": {ticks}}}')}, LEASE_MS)
    send(store, (ORDERS_0, BASE))
    store.count_heartbeats({"delivered": ticks + 1}, success=True)
    server.schedulers(clock).announce(SchedulerAnnouncement(f"host:{ticks} 1", "http://host:1"), LEASE_MS, {0: "token"})


def without_now(reading: object) -> ClockReading:
    """A reading without the time at which it was made."""
    assert isinstance(reading, ClockReading)
    return ClockReading(replace(reading.snapshot, now_ms=0), reading.counters, replace(reading.schedulers, now_ms=0))


def test_each_clock_is_read_as_if_alone(implementation: StoreImplementation) -> None:
    """State, counters and schedulers of each clock, also of one that no leader has written. A clock that the leader of
    its log does not know is marked."""
    for count, clock in enumerate((CLOCK, SAME_LOG, OTHER_LOG)):
        lead(implementation, clock, count)
    server = implementation.server
    alone = {
        name: ClockReading(store.snapshot(), store.counters(), server.schedulers(name).read())
        for name in CLOCKS
        for store in (server.store(name),)
    }

    found = server.clock_reads().read(CLOCKS)

    assert {name: without_now(one) for name, one in found.items()} == {
        name: without_now(one) for name, one in alone.items()
    }
    states = {name: one.snapshot for name, one in alone.items()}
    assert [states[name].leader_lacks_clock for name in CLOCKS[:3]] == [False, True, False]
    assert [len(alone[name].schedulers.announcements) for name in CLOCKS] == [1, 1, 1, 0]


def ticks(clock: str, first: int, last: int) -> tuple[Tick, ...]:
    """The ticks that `lead` publishes, by number."""
    return tuple(
        Tick(clock, BASE + n * MINUTE, BASE + (n - 1) * MINUTE, MINUTE, RECENTLY) for n in range(first, last + 1)
    )


def test_the_tails_of_streams(implementation: StoreImplementation) -> None:
    """Without a cursor the newest ticks, with one the next ticks after it; both ascending, at most `limit`. The ends
    are those of the streams: empty and being restored, with ticks, and never written."""
    for count, clock in enumerate((CLOCK, SAME_LOG, OTHER_LOG)):
        lead(implementation, clock, 3 * count)
    reads, server = implementation.server.clock_reads(), implementation.server

    newest = reads.tails(dict.fromkeys(CLOCKS), 2)
    after = reads.tails({SAME_LOG: BASE + MINUTE, OTHER_LOG: BASE, NEW: BASE}, 4)
    at_the_end = reads.tails({SAME_LOG: BASE + 3 * MINUTE, OTHER_LOG: None}, 100)

    assert newest == {
        CLOCK: StreamTail((), None, BASE, written=True, restoring=True),
        SAME_LOG: StreamTail(ticks(SAME_LOG, 2, 3), BASE + 3 * MINUTE, BASE, written=True, restoring=False),
        OTHER_LOG: StreamTail(ticks(OTHER_LOG, 5, 6), BASE + 6 * MINUTE, BASE, written=True, restoring=False),
        NEW: StreamTail((), None, None, written=False, restoring=False),
    }
    found = {name: one.ticks for name, one in after.items() if isinstance(one, StreamTail)}
    assert found == {SAME_LOG: ticks(SAME_LOG, 2, 3), OTHER_LOG: ticks(OTHER_LOG, 1, 4), NEW: ()}
    assert at_the_end == {
        SAME_LOG: StreamTail((), BASE + 3 * MINUTE, BASE, written=True, restoring=False),
        OTHER_LOG: StreamTail(ticks(OTHER_LOG, 1, 6), BASE + 6 * MINUTE, BASE, written=True, restoring=False),
    }
    assert [one.end_ms for one in newest.values() if isinstance(one, StreamTail)] == [
        server.store(name).bounds().end_ms for name in CLOCKS
    ]


def test_no_clock_costs_no_call(implementation: StoreImplementation) -> None:
    """Without clocks the result is empty."""
    reads = implementation.server.clock_reads()

    assert (reads.read([]), reads.tails({}, 1)) == ({}, {})


@contextmanager
def without_answers(implementation: StoreImplementation) -> Iterator[StoreImplementation]:
    """The same store, which does not answer."""
    if isinstance(implementation, MemoryStoreImplementation):
        implementation.memory.broken = True
        yield implementation
        return
    assert isinstance(implementation, RedisStoreImplementation)
    connection = RedisConnection(parse_redis_url("redis://127.0.0.1:1/0"))
    implementation.server = RedisStoreServer(connection, implementation.prefix)
    yield implementation
    connection.close()


def test_a_store_without_answers_is_an_error_of_each_clock(implementation: StoreImplementation) -> None:
    """An outage of one log raises no error, so the readings of the other logs are returned."""
    with without_answers(implementation) as silent:
        reads = silent.server.clock_reads()
        found: dict[str, Any] = {**reads.read(CLOCKS)}
        tails: dict[str, Any] = {**reads.tails(dict.fromkeys(CLOCKS), 1)}

    assert {name: type(one) for name, one in found.items()} == dict.fromkeys(CLOCKS, StoreUnavailable)
    assert {name: type(one) for name, one in tails.items()} == dict.fromkeys(CLOCKS, StoreUnavailable)


@pytest.mark.servers
def test_keys_of_another_program_concern_one_clock(on_redis: RedisStoreImplementation) -> None:
    """The error has a plain text; the other clocks of the log are read."""
    on_redis.raw.set(on_redis.key("state"), "mine")
    reads = on_redis.server.clock_reads()

    found, tails = reads.read(CLOCKS), reads.tails(dict.fromkeys(CLOCKS), 1)

    for one in (found[CLOCK], tails[CLOCK]):
        assert isinstance(one, StoreUnavailable)
        assert "its own prefix" in str(one)
    assert [type(found[name]) for name in CLOCKS[1:]] == [ClockReading] * 3
    assert [type(tails[name]) for name in CLOCKS[1:]] == [StreamTail] * 3
    on_redis.wipe()


@pytest.mark.servers
def test_a_tick_of_another_program_concerns_one_clock(on_redis: RedisStoreImplementation) -> None:
    """A stream's entry without the fields of a tick."""
    on_redis.raw.xadd(on_redis.key("ticks"), {"mine": "1"})

    tails = on_redis.server.clock_reads().tails(dict.fromkeys(CLOCKS), 1)

    assert [type(tails[name]) for name in CLOCKS] == [StoreUnavailable, StreamTail, StreamTail, StreamTail]
    assert "its own prefix" in str(tails[CLOCK])


@pytest.mark.servers
def test_a_key_of_a_consumer_with_another_type_is_dropped(on_redis: RedisStoreImplementation) -> None:
    """Keys of another type, which a consumer can create, are handled as in a read of one clock."""
    for name in ("rejected", "counters", "dispatchers"):
        on_redis.raw.set(on_redis.key(name), "mine")

    assert isinstance(on_redis.server.clock_reads().read(CLOCKS)[CLOCK], ClockReading)


@pytest.mark.servers
def test_counters_of_a_consumer_that_are_none_are_ignored(on_redis: RedisStoreImplementation) -> None:
    """A consumer can write anything there. It must not hide other clocks, nor its own."""
    on_redis.raw.hset(on_redis.key("counters"), "tasks:" + "[" * 100_000, 1)
    on_redis.raw.hset(on_redis.key("dispatchers"), "nightly", f"{2**52} {'9' * 5_000}")

    found = on_redis.server.clock_reads().read(CLOCKS)

    assert [type(found[name]) for name in CLOCKS] == [ClockReading] * 4
    on_redis.wipe()


class CountedConnection(RedisConnection):
    """A connection that counts its calls."""

    calls = 0

    def calling(self) -> Any:
        self.calls += 1
        return super().calling()


@pytest.mark.servers
def test_two_thousand_clocks_are_read_with_a_call_for_each_log(redis_url: str, key_prefix: str) -> None:
    """The number of calls does not grow with the clocks."""
    connection = CountedConnection(parse_redis_url(redis_url))
    reads = RedisStoreServer(connection, key_prefix).clock_reads()
    names = [f"clock-{number}" for number in range(2_000)]

    found = reads.read(names)
    calls, connection.calls = connection.calls, 0
    tails = reads.tails(dict.fromkeys(names), 1)
    connection.close()

    assert (calls, connection.calls) == (LOGS, LOGS)
    assert {type(one) for one in found.values()} == {ClockReading}
    assert {type(one) for one in tails.values()} == {StreamTail}
    assert len(found) == len(tails) == len(names)


@pytest.mark.parametrize(("limit_s", "calls"), [(60.0, LOGS), (0.0, 1)], ids=["at once", "after a timeout"])
def test_a_server_that_hangs_is_waited_for_once(limit_s: float, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an immediate error the other logs are read. After a timeout they are not."""
    monkeypatch.setattr("clocksvc.redis.clock_reads.RESPONSE_TIMEOUT_S", limit_s)
    connection = CountedConnection(parse_redis_url("redis://127.0.0.1:1/0"))
    names = [f"clock-{number}" for number in range(200)]

    found = RedisStoreServer(connection, "clocksvc").clock_reads().read(names)
    connection.close()

    assert connection.calls == calls
    assert {name: type(one) for name, one in found.items()} == dict.fromkeys(names, StoreUnavailable)
