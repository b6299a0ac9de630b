"""A scrape of 10,000 partitions, and one of 2,000 clocks: processor time, calls to the store, and that it delays no
tick. `make bench ARGS=scrape` measures the first one from outside, with real servers."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from clocksvc.clock.logs import LOGS, log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.progress import PartitionClock
from clocksvc.interfaces.time import SystemTime
from clocksvc.metrics.exposition import Metrics
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.service.clock_view import ClockView
from clocksvc.service.clock_views import ClockViews
from clocksvc.service.tick_feed import TickFeed
from clocksvc.testing import ManualTime
from tests.faulty.clock import FaultyClock
from tests.faulty.store import FaultyStore
from tests.metrics_page import NOW_MS, FakeClockView, report, watching, write_roster

PARTITIONS, CLOCKS = 10_000, 2_000
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


@pytest.mark.servers
def test_two_thousand_clocks_need_a_call_for_each_log(redis_url: str, key_prefix: str) -> None:
    """Every clock has its series, also those of two partitions, with one call of a real Valkey for each log. It takes
    less than a second of processor time, of the two seconds in which a scrape must be done."""
    specs = [ClockSpec(f"clock-{number:04}", ("ingest",), "consumers") for number in range(CLOCKS)]
    connection = RedisConnection(parse_redis_url(redis_url))
    server = RedisStoreServer(connection, key_prefix)
    for spec in specs[::10]:
        write_roster(server.store(spec.name), 2, leases=server.leases(log_of(spec.name)))
        report(server.store(spec.name), 0, 1)
    stores = {spec.name: server.store(spec.name) for spec in specs}
    views = {
        spec.name: ClockView(
            spec, stores[spec.name], TickFeed(spec.name, stores[spec.name], SystemTime()), SystemTime()
        )
        for spec in specs
    }
    metrics = Metrics(views)
    metrics.watch(ClockViews(views, server.clock_reads()))
    for log in range(LOGS):
        metrics.leading(log, True)

    server.clock_reads().read(list(views)[:1])  # the script is in Redis afterwards
    with connection.calling() as redis:
        calls = [script_calls(redis)]
        began = time.process_time()
        page = metrics.render()[0].decode()
        took = time.process_time() - began
        calls.append(script_calls(redis))
    connection.close()

    assert page.count("\nclocksvc_holding{") == CLOCKS
    assert page.count("\nclocksvc_late_records_total{") == CLOCKS
    assert page.count("\nclocksvc_partition_clock_timestamp_seconds{") == 2 * CLOCKS // 10
    assert calls[1] - calls[0] == LOGS
    assert took < 1


def script_calls(redis: Redis) -> int:
    """The number of scripts that the server has run."""
    return int(redis.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


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
