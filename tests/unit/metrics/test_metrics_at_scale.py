"""A scrape of 10,000 partitions: its processor time, and that it delays no tick. `make bench ARGS=scrape`
measures the same from outside, with real servers."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.testing import ManualTime
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStore
from tests.metrics_page import NOW_MS, FakeClockView, report, watching, write_roster

PARTITIONS = 10_000
CPU_S = 0.2
"""Processor time of this process: the machine may be busy."""


@pytest.mark.servers
def test_ten_thousand_partitions_cost_less_than_200_ms(redis_url: str, key_prefix: str) -> None:
    """Reading from a real Valkey and rendering take less than 200 ms of processor time."""
    connection = RedisConnection(parse_redis_url(redis_url))
    server = RedisStoreServer(connection, key_prefix)
    store = server.store("checkins")
    write_roster(store, PARTITIONS, leases=server.leases(log_of("checkins")))
    for first in range(0, PARTITIONS, 1_000):
        report(store, *range(first, first + 1_000))
    metrics = watching(FakeClockView(store=store))

    took = []
    for _ in range(3):
        began = time.process_time()
        page, _ = metrics.render()
        took.append(time.process_time() - began)
    connection.close()

    assert page.count(b"clocksvc_partition_clock_timestamp_seconds{") == PARTITIONS
    assert min(took) < CPU_S


class Stuck(FaultyStore):
    """A store whose `partitions` blocks until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__("checkins", ManualTime(NOW_MS / 1000))
        self.asked, self.go_on = threading.Event(), threading.Event()

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        self.asked.set()
        assert self.go_on.wait(30)
        return super().partitions(after, limit, topic)


@pytest.mark.core
def test_ticks_come_while_a_scrape_is_under_way() -> None:
    """A slow scrape does not delay the leader of the same process."""
    clock, stuck = FaultyClock(), Stuck()
    write_roster(stuck, 1)
    report(stuck, 0)
    metrics = watching(FakeClockView(store=stuck))

    with ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(metrics.render)
        assert stuck.asked.wait(30)
        clock.report(0, "2026-11-22T11:58:07Z")
        first = clock.ticks()
        metrics.ticked("checkins", len(first), 0.001)
        clock.report(0, "2026-11-22T11:59:07Z")
        second = clock.ticks()
        under_way = not scrape.done()
        stuck.go_on.set()

    assert (len(first), len(second), under_way) == (1, 2, True)
    assert b'clocksvc_partition_clock_timestamp_seconds{clock="checkins",partition="0"' in scrape.result()[0]
