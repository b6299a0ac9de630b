"""The composition root: Redis settings reach the client, and only a program changes the process."""

import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from clocksvc.cli.serve import serve
from clocksvc.clock.logs import group_by_log
from clocksvc.errors import InvalidValue
from clocksvc.leader.context import NoObserver
from clocksvc.service import bootstrap
from clocksvc.service.tick_feed import BUFFER_BYTES
from clocksvc.settings import Settings, settings_from

pytestmark = pytest.mark.core

CLOCKS = {"checkins": {"topics": ["ingest"], "group": "consumers"}, "bills": {"topics": ["bills"], "group": "billing"}}


def settings(**redis: Any) -> Settings:
    """A configuration with these Redis settings."""
    return settings_from({"redis": redis, "clocks": CLOCKS})


def options(configured: Settings) -> dict[str, Any]:
    """The options of the client's connections. It does not connect."""
    client: Any = bootstrap.open_connection(configured).client()
    found: dict[str, Any] = client.connection_pool.connection_kwargs
    return found


def test_all_clocks_share_the_memory_for_ticks() -> None:
    """A process with many clocks needs no more than one with few."""
    shares = []
    for count in (1, 300):
        clocks = {f"clock-{number}": {"topics": ["ingest"], "group": "consumers"} for number in range(count)}
        service = bootstrap.Service(settings_from({"clocks": clocks}), NoObserver())
        shares.append([view.feed.buffer_bytes for view in service.views.values()])

    assert [len(share) for share in shares] == [1, 300]
    assert all(0.99 * BUFFER_BYTES < sum(share) <= BUFFER_BYTES for share in shares)


def test_plain_url() -> None:
    """Host, port, database and credentials; and time-outs, so that a dead Redis is noticed."""
    found = options(settings(url="redis://ops:pa%40ss@redis.example:6390/3"))

    assert (found["host"], found["port"], found["db"]) == ("redis.example", 6390, 3)
    assert (found["username"], found["password"]) == ("ops", "pa@ss")
    assert 0 < found["socket_timeout"] <= 5
    assert 0 < found["socket_connect_timeout"] <= 5


def test_tls_with_files_and_a_separate_password() -> None:
    """A private authority's and a client's certificate files reach the client, even with odd characters."""
    found = options(
        settings(
            url="rediss://redis.example/0",
            username="ops",
            password="p&?#=%",
            ssl_ca_file="/etc/tls/ca & co.pem",
            ssl_cert_file="/etc/tls/cert.pem",
            ssl_key_file="/etc/tls/key.pem",
        )
    )

    assert (found["username"], found["password"]) == ("ops", "p&?#=%")
    assert found["ssl_ca_certs"] == "/etc/tls/ca & co.pem"
    assert (found["ssl_certfile"], found["ssl_keyfile"]) == ("/etc/tls/cert.pem", "/etc/tls/key.pem")


def test_sentinel() -> None:
    """The sentinels get their own password, the master gets the store's."""
    configured = settings(
        url="redis://:master@ignored/2",
        sentinel={"service": "mymaster", "nodes": ["one:26379", "two"], "password": "sentinel"},
    )

    client: Any = bootstrap.open_connection(configured).client()

    pool = client.connection_pool
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert pool.service_name == "mymaster"
    assert [(one["host"], one["port"], one["password"]) for one in asked] == [
        ("one", 26379, "sentinel"),
        ("two", 26379, "sentinel"),
    ]
    assert (pool.connection_kwargs["password"], pool.connection_kwargs["db"]) == ("master", 2)


def test_clocks_share_one_client() -> None:
    """All clocks of a process share one pool for each Redis; another Redis has its own."""
    one, same, other = settings(url="redis://a/0"), settings(url="redis://a/0"), settings(url="redis://b/0")

    assert bootstrap.open_connection(one) is bootstrap.open_connection(same)
    assert bootstrap.open_connection(one) is not bootstrap.open_connection(other)


def test_leaders_have_their_own_connections() -> None:
    """Calls of many HTTP requests can use all connections that they may, and a round does not wait for them."""
    configured = settings(url="redis://a/0")

    assert bootstrap.open_connection(configured, leading=True) is not bootstrap.open_connection(configured)
    assert bootstrap.open_connection(configured, leading=True) is bootstrap.open_connection(configured, leading=True)


@pytest.mark.parametrize(("clocks", "logs"), [(1, 1), (200, 16)])
def test_threads_do_not_grow_with_clocks(clocks: int, logs: int) -> None:
    """A process has one thread for each log and one for all feeds."""
    names = [f"clock-{number}" for number in range(clocks)]
    configured = settings_from(
        {
            "redis": {"url": "redis://127.0.0.1:1/0"},
            "clocks": {name: {"topics": [name], "group": "consumers"} for name in names},
        }
    )
    before = set(threading.enumerate())
    service = bootstrap.Service(configured, NoObserver())
    service.start()
    started = {thread.name for thread in set(threading.enumerate()) - before}
    service.stop()

    assert started == {"notices", *(f"leader-{log}" for log in group_by_log(names))}
    assert len(started) == logs + 1
    assert set(service.views) == set(names)


@pytest.fixture
def switch_interval() -> Iterator[None]:
    """Set CPython's default, and restore it after the test."""
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(0.005)


@pytest.mark.usefixtures("switch_interval")
def test_only_a_program_changes_the_switch_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """`clocksvc serve` does. A service that is embedded, and its threads, leave the process as it is."""
    service = bootstrap.Service(settings(url="redis://127.0.0.1:1/0"), NoObserver())
    service.start()
    service.stop()
    embedded_s = sys.getswitchinterval()

    monkeypatch.setattr("clocksvc.cli.serve.listen", Mock(side_effect=InvalidValue("api.port", 1, "a free one")))
    with pytest.raises(InvalidValue):
        serve(settings(url="redis://127.0.0.1:1/0"))

    assert embedded_s == pytest.approx(0.005)
    assert sys.getswitchinterval() == pytest.approx(0.0001)


@pytest.mark.usefixtures("switch_interval")
def test_a_shorter_switch_interval_stays() -> None:
    """The program's own choice wins."""
    sys.setswitchinterval(0.00005)
    bootstrap.set_switch_interval()

    assert sys.getswitchinterval() < 0.00006
