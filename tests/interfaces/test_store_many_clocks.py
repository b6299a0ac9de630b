"""One process with many clocks over one Redis."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from clocksvc.clock.logs import LOGS
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.connection import MAX_CALLS, RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url

pytestmark = pytest.mark.servers

WAIT_S = 1.5


@pytest.fixture(params=["redis", "cluster"])
def connection(request: pytest.FixtureRequest) -> Iterator[RedisConnection]:
    """A connection to a single Redis, and to a cluster."""
    url = request.getfixturevalue("redis_url" if request.param == "redis" else "cluster_url")
    made = RedisConnection(parse_redis_url(url))
    yield made
    made.close()


def errors(waits: Iterable[Future[Any]]) -> list[str]:
    """The errors of all calls."""
    return [str(error) for wait in waits if (error := wait.exception()) is not None]


def clients(connection: RedisConnection) -> int:
    """The number of connections that the server has."""
    client: Any = connection.client()
    found: int = client.info("clients")["connected_clients"]
    return found


@pytest.mark.parametrize("clocks", [60, 2_000])
def test_many_clocks_are_served_at_a_healthy_redis(connection: RedisConnection, key_prefix: str, clocks: int) -> None:
    """The process leads all logs and waits for their notifications, follows the notices of all clocks, and at the same
    time a thread for each clock calls the store: each call and each wait is served, with a bounded number of
    connections."""
    server = RedisStoreServer(connection, key_prefix)
    names = [f"clock-{number}" for number in range(clocks)]
    server.store(names[0]).now_ms()  # an unreachable Redis is another failure
    before = clients(connection)  # of other tests, too
    notices, all_at_once = server.notices(names), threading.Barrier(clocks + LOGS + 1)

    def run(call: Callable[..., object], *arguments: float) -> object:
        all_at_once.wait(60)
        return call(*arguments)

    with ThreadPoolExecutor(clocks + LOGS + 1) as threads:
        waits: list[Future[object]] = [
            threads.submit(run, server.leases(log).wait_for_notification, WAIT_S) for log in range(LOGS)
        ]
        waits.append(threads.submit(run, notices.read, WAIT_S))
        waits += [threads.submit(run, server.store(name).snapshot) for name in names]
    notices.close()

    blocked = 2 * LOGS if connection.is_cluster else 2
    assert errors(waits) == []
    assert clients(connection) - before <= MAX_CALLS + blocked


def test_blocked_waits_leave_all_calls_to_others(connection: RedisConnection, key_prefix: str) -> None:
    """More waits than calls are allowed at a time, and a call is still answered at once."""
    server, monotonic = RedisStoreServer(connection, key_prefix), SystemTime().monotonic
    store, leases = server.store("checkins"), server.leases(0)
    store.now_ms()
    with ThreadPoolExecutor(MAX_CALLS + 20) as threads:
        waits = [threads.submit(leases.wait_for_notification, WAIT_S) for _ in range(MAX_CALLS + 20)]
        began = monotonic()
        for _ in range(10):
            store.now_ms()
        took_s = monotonic() - began

    assert errors(waits) == []
    assert took_s < WAIT_S


def test_calls_that_find_no_turn_fail(connection: RedisConnection) -> None:
    """If all other calls get no answer, a further one fails after a response's time, and does not wait for ever."""
    store = RedisStoreServer(connection, "clocksvc").store("checkins")
    release, all_in_use = threading.Event(), threading.Barrier(MAX_CALLS + 1)

    def block() -> None:
        with connection.calling():
            all_in_use.wait(30)
            release.wait(30)

    with ThreadPoolExecutor(MAX_CALLS) as threads:
        for _ in range(MAX_CALLS):
            threads.submit(block)
        all_in_use.wait(30)
        try:
            with pytest.raises(StoreUnavailable, match=f"{MAX_CALLS} other calls"):
                store.now_ms()
        finally:
            release.set()

    assert store.now_ms() > 0
