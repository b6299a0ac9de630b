"""One process with many clocks over one Redis."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store import RedisStore
from clocksvc.redis_url import parse_redis_url

CLOCKS = 60
WAIT_S = 1.5


@pytest.mark.servers
@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="More than about 50 clocks in a process get 'Too many connections' although Redis is healthy.",
)
def test_sixty_clocks_wait_at_a_healthy_redis(redis_url: str, key_prefix: str, leases: Leases) -> None:
    """Each clock has a feed that waits for ticks and a leader that waits for a notice: every wait is served."""
    connection = RedisConnection(parse_redis_url(redis_url))
    stores = [RedisStore(connection, key_prefix, f"clock-{number}") for number in range(CLOCKS)]
    stores[0].now_ms()  # an unreachable Redis is another failure
    all_at_once = threading.Barrier(2 * CLOCKS)

    def run(wait: Callable[..., object], *arguments: float) -> None:
        all_at_once.wait(30)
        wait(*arguments)

    with ThreadPoolExecutor(2 * CLOCKS) as threads:
        waits = [threads.submit(run, store.follow, 0, WAIT_S) for store in stores]
        waits += [threads.submit(run, leases.wait_for_notification, WAIT_S) for store in stores]
    connection.close()

    assert [str(error) for wait in waits if (error := wait.exception()) is not None] == []
