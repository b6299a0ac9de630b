"""The metrics of consumers: what a scrape gets of a consumer that runs without a server."""

import re

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from clocksvc.client.consumer.health import Health
from clocksvc.client.consumer.stats import ConsumerStats
from clocksvc.consumer import ConsumerCollector
from clocksvc.metrics.consumer_catalogue import CONSUMER_CATALOGUE
from tests.system.docs.blocks import blocks

pytestmark = pytest.mark.core


class Counted:
    """A consumer with these stats."""

    def __init__(self, stats: ConsumerStats, *problems: str) -> None:
        self.stats, self._health = stats, Health(problems)

    def health(self) -> Health:
        return self._health


def scraped(**consumers: Counted) -> dict[str, float]:
    """The values by series."""
    registry = CollectorRegistry()
    registry.register(ConsumerCollector(consumers))
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_a_scrape_has_the_catalogue() -> None:
    """Its names, and a value of each from the beginning: counters begin at 0."""
    found = scraped(orders=Counted(ConsumerStats()))

    assert {re.sub(r"\{.*", "", series) for series in found} == {metric.name for metric in CONSUMER_CATALOGUE}
    assert {value for series, value in found.items() if "healthy" not in series} == {0}


def test_values_are_those_of_the_consumer() -> None:
    """Each consumer has its own series, by outcome and reason."""
    busy = ConsumerStats(
        records_total=9,
        flushes_total=3,
        flush_failures_total=2,
        flush_seconds_total=0.5,
        paused_partitions={"ahead": 4},
    )
    found = scraped(orders=Counted(busy, "a flush has run for 70 s"), bills=Counted(ConsumerStats()))

    assert found['clocksvc_consumer_records_total{consumer="orders"}'] == 9
    assert found['clocksvc_consumer_records_total{consumer="bills"}'] == 0
    assert found['clocksvc_consumer_flushes_total{consumer="orders",outcome="success"}'] == 3
    assert found['clocksvc_consumer_flushes_total{consumer="orders",outcome="failure"}'] == 2
    assert found['clocksvc_consumer_flush_seconds_total{consumer="orders"}'] == 0.5
    assert found['clocksvc_consumer_paused_partitions{consumer="orders",reason="ahead"}'] == 4
    assert found['clocksvc_consumer_healthy{consumer="orders"}'] == 0
    assert found['clocksvc_consumer_healthy{consumer="bills"}'] == 1


def test_the_documented_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/metrics.md: the collector is registered, and the consumer runs."""
    (block,) = blocks("docs/metrics.md", "python")
    registry, ports = CollectorRegistry(), list[int]()
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    monkeypatch.setattr(prometheus_client, "start_http_server", ports.append)
    consumer = Counted(ConsumerStats(records_total=7))
    consumer.run = lambda: ports.append(0)  # type: ignore[attr-defined]
    exec(compile(block.text, "collector", "exec"), {"consumer": consumer})

    assert registry.get_sample_value("clocksvc_consumer_records_total", {"consumer": "orders"}) == 7
    assert ports == [9100, 0]
