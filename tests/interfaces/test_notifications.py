"""The notifications of all leaders of a process: one thread and one connection, and each leader gets its own."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from clocksvc.clock.logs import LOGS
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import notifications
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.leases import RedisLeases
from clocksvc.redis_url import parse_redis_url
from tests.interfaces.store_examples import LEASE_MS, REPLICA, TOKEN
from tests.waiting import eventually

pytestmark = pytest.mark.servers


@pytest.fixture(params=["redis", "cluster"])
def connection(request: pytest.FixtureRequest) -> Iterator[RedisConnection]:
    """The connection of a process to a single Redis, and to a cluster."""
    made = RedisConnection(
        parse_redis_url(request.getfixturevalue("redis_url" if request.param == "redis" else "cluster_url"))
    )
    yield made
    made.close()


@pytest.fixture(autouse=True)
def soon_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is followed for a shorter time after a wait."""
    monkeypatch.setattr(notifications, "_FOLLOWED_S", 0.4)


@pytest.fixture
def leases(connection: RedisConnection, key_prefix: str) -> list[RedisLeases]:
    """The leases of all logs, in one process."""
    return [RedisLeases(connection, key_prefix, log) for log in range(LOGS)]


def blocked(connection: RedisConnection) -> int:
    """The number of connections to the server in which a command waits for a list."""
    client: Any = connection.client()
    return sum(one["cmd"] == "blpop" and "b" in one["flags"] for one in client.client_list())


def threads() -> int:
    """The number of threads that wait for notifications."""
    return sum(thread.name == "notifications" for thread in threading.enumerate())


def test_all_leaders_of_a_process_wait_with_one_command(connection: RedisConnection, leases: list[RedisLeases]) -> None:
    """One thread waits for all logs, in a cluster one for each log. Each leader gets only its own notification. The
    thread ends when no leader waits."""
    commands = LOGS if connection.is_cluster else 1
    eventually(lambda: threads() == 0, what="the threads of earlier tests to end")
    with ThreadPoolExecutor(LOGS) as pool:
        waits: list[Future[bool]] = [pool.submit(one.wait_for_notification, 30.0) for one in leases]
        eventually(lambda: blocked(connection) == commands, what="all leaders to wait")
        running = threads()
        for log in range(LOGS):
            leases[log].notify()
            assert waits[log].result(10)
            assert not any(wait.done() for wait in waits[log + 1 :])

    assert running == commands
    eventually(lambda: threads() == 0, what="the thread to end")
    assert blocked(connection) == 0


def test_a_notification_during_a_round_is_not_lost(leases: list[RedisLeases]) -> None:
    """If the notification comes during a round, the leader's next wait ends at once."""
    assert not leases[0].wait_for_notification(0.01)
    leases[0].notify()
    assert not leases[1].wait_for_notification(0.1)

    monotonic = SystemTime().monotonic
    began = monotonic()
    assert leases[0].wait_for_notification(10.0)
    assert monotonic() - began < 5.0


def test_a_wait_that_begins_during_a_command_is_served(leases: list[RedisLeases]) -> None:
    """The command that blocks already does not read the new list. The next command, a moment later, does."""
    monotonic = SystemTime().monotonic
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(leases[0].wait_for_notification, 30.0)
        assert not leases[1].wait_for_notification(0.01)
        second = pool.submit(leases[2].wait_for_notification, 30.0)
        leases[2].notify()
        began = monotonic()
        assert second.result(10)
        assert monotonic() - began < 5.0
        leases[0].notify()
        assert first.result(10)


def test_a_busy_log_does_not_delay_the_notification_of_another(
    connection: RedisConnection, leases: list[RedisLeases], key_prefix: str
) -> None:
    """A command takes from the first list that has an element, so the lists take turns."""
    client: Any = connection.client()
    busy, stop = f"{key_prefix}:{{0}}:notification", threading.Event()
    for one in leases[:2]:
        one.wait_for_notification(0.01)

    def work() -> None:
        while not stop.is_set():
            leases[0].wait_for_notification(1.0)

    client.rpush(busy, *range(20_000))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        leases[1].notify()
        notified, left = leases[1].wait_for_notification(10.0), client.llen(busy)
        stop.set()

    assert (notified, left > 0) == (True, True)
    client.delete(busy)


def test_a_former_leader_takes_no_notification(
    connection: RedisConnection, leases: list[RedisLeases], key_prefix: str
) -> None:
    """After a release, each notification belongs to the next leader."""
    former = leases[0]
    assert former.acquire(TOKEN, REPLICA, LEASE_MS)
    former.wait_for_notification(0.01)
    former.release(TOKEN)
    leases[1].wait_for_notification(0.3)  # until a command does not read the list of log 0 any more

    former.notify()
    leases[1].wait_for_notification(0.01)
    client: Any = connection.client()

    assert client.llen(f"{key_prefix}:{{0}}:notification") == 1
