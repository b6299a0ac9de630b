"""What a replica has open when it leads all logs: threads, and connections to Kafka and Redis."""

import os

import pytest

from clocksvc.clock.logs import LOGS
from clocksvc.redis_url import parse_redis_url
from clocksvc.service.bootstrap import Service
from clocksvc.settings import settings_from
from tests.bench.process_load import connections, threads
from tests.waiting import eventually

pytestmark = pytest.mark.servers


class Led:
    """An observer that knows which logs are led."""

    def __init__(self) -> None:
        self.logs: set[int] = set()

    def leading(self, log: int, yes: bool) -> None:
        (self.logs.add if yes else self.logs.discard)(log)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass


def test_threads_and_connections_of_a_replica(bootstrap: str, redis_url: str, key_prefix: str) -> None:
    """One that leads all logs has what docs/sizing.md says, for any number of clocks: a producer for each log, two
    consumers, an admin client, and two blocking reads of Redis."""
    clocks = [f"clock-{number}" for number in range(64)]
    configured = settings_from(
        {
            "redis": {"url": redis_url, "prefix": key_prefix},
            "kafka": {"bootstrap.servers": bootstrap},
            "tick_log": {"topic": f"ticks-{key_prefix}"},
            "clocks": {name: {"topics": [name], "group": "consumers"} for name in clocks},
        }
    )
    pid, led = os.getpid(), Led()
    kafka, redis = int(bootstrap.rpartition(":")[2]), int(parse_redis_url(redis_url).nodes[0][1])
    before = threads(pid), connections(pid, kafka), connections(pid, redis)
    service = Service(configured, led)
    service.start()
    eventually(lambda: len(led.logs) == LOGS, what="all logs to be led", within=30)
    expected = before[0] + LOGS + 2 + 4 * (LOGS + 3)
    eventually(lambda: threads(pid) <= expected, what="clients that only create the topic to end")
    taken = connections(pid, kafka) - before[1], connections(pid, redis) - before[2]
    service.stop()

    assert taken[0] <= 2 * (LOGS + 3) + 1
    assert taken[1] <= 2 * LOGS + 3
