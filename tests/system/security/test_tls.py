"""Redis over TLS: what the client trusts and shows, and what it says when either is wrong.

The server's side is a proxy of the tests' own, because the Valkey at hand is built without TLS.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from clocksvc import Reporter
from clocksvc.celery.application import build
from clocksvc.dev.ports import LOOPBACK
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import StoreUnavailable
from clocksvc.service.bootstrap import open_store
from clocksvc.settings import Settings
from tests.interfaces.store_values import (
    CLOCK,
    GROUP,
    RECENTLY,
    ROSTER,
    lead,
)
from tests.system.security.certificates import (
    Authority,
    Pair,
)
from tests.system.security.tls_proxy import TlsProxy

pytestmark = pytest.mark.servers


class Place:
    """A Valkey behind three proxies: one wants a client's certificate, one has a certificate for another host."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.authority, self.other = Authority(folder, "authority"), Authority(folder, "other")
        self.client: Pair = self.authority.sign("client")
        self.server = stack.enter_context(ValkeyServer())
        ours, elsewhere = self.authority.sign("redis"), self.authority.sign("elsewhere", "DNS:redis.example.com")
        self.usual = stack.enter_context(TlsProxy(self.server.port, ours)).port
        self.strict = stack.enter_context(TlsProxy(self.server.port, ours, self.authority.certificate)).port
        self.elsewhere = stack.enter_context(TlsProxy(self.server.port, elsewhere)).port

    def settings(self, port: int, **redis: Any) -> Settings:
        """A configuration that trusts the authority, unless it says otherwise."""
        section = {"url": f"rediss://{LOOPBACK}:{port}/0", "ssl_ca_file": str(self.authority.certificate), **redis}
        clocks = {CLOCK: {"topics": ["orders"], "group": GROUP}}
        return Settings.model_validate({"redis": section, "clocks": clocks})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One for this module."""
    with ExitStack() as stack:
        yield Place(tmp_path_factory.mktemp("tls"), stack)


def trouble(settings: Settings) -> str:
    """Why the store can't be reached: what a hold's detail and `clocksvc check` say."""
    with pytest.raises(StoreUnavailable) as raised:
        open_store(settings, settings.clock_specs()[CLOCK]).now_ms()
    return str(raised.value)


def test_service_and_reporter_over_tls(place: Place) -> None:
    """Both trust the authority, and a report counts."""
    settings = place.settings(place.usual)
    store = open_store(settings, settings.clock_specs()[CLOCK])
    lead(store)
    url = f"rediss://{LOOPBACK}:{place.usual}/0?ssl_ca_certs={place.authority.certificate}"
    with Reporter(url, CLOCK, group=GROUP, topic="orders") as reporter:
        reporter.observe(0, RECENTLY)
        assert reporter.flush(10)

    assert {line.raw_ms for line in store.partitions(None, 10)} == {None, RECENTLY}
    assert len(ROSTER.topics) == 2


def test_certificate_of_ours_where_the_server_wants_one(place: Place) -> None:
    """With it in two files or in one, all goes well; without, the server hangs up: an error says what it can mean."""
    files = {"ssl_cert_file": str(place.client.certificate), "ssl_key_file": str(place.client.key)}
    for given in (files, {"ssl_cert_file": str(place.client.both)}):
        settings = place.settings(place.strict, **given)
        assert open_store(settings, settings.clock_specs()[CLOCK]).now_ms() > 0

    assert "may require rediss://, or a client certificate" in trouble(place.settings(place.strict))


def test_certificates_that_are_not_right_are_refused(place: Place) -> None:
    """Signed by nobody we trust, or for another host; and no TLS where there must be."""
    assert "certificate verify failed" in trouble(place.settings(place.usual, ssl_ca_file=str(place.other.certificate)))
    assert "certificate verify failed" in trouble(place.settings(place.usual, ssl_ca_file=None))
    assert "mismatch" in trouble(place.settings(place.elsewhere))
    plain = f"redis://{LOOPBACK}:{place.usual}/0"
    assert "may require rediss://" in trouble(place.settings(place.usual, url=plain, ssl_ca_file=None))


def test_a_reporter_says_it_in_its_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """And the consumer goes on."""
    url = f"rediss://{LOOPBACK}:{place.usual}/0?ssl_ca_certs={place.other.certificate}"
    reporter = Reporter(url, CLOCK, group=GROUP, topic="orders")
    with caplog.at_level(logging.WARNING):
        reporter.observe(0, RECENTLY)
        assert not reporter.flush(1)
    reporter.close(0.1)

    lines = [record.getMessage() for record in caplog.records if record.name == "clocksvc.reporter"]
    assert any("certificate verify failed" in line for line in lines), lines


@pytest.mark.filterwarnings("default")  # Celery leaves connections to the collector
def test_celery_over_tls(place: Place) -> None:
    """The broker that is made of the store's settings verifies the certificate as the store does."""
    sent = build(place.settings(place.usual))
    with sent.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=10)
        assert connection.connected

    refused = build(place.settings(place.usual, ssl_ca_file=str(place.other.certificate)))
    with refused.connection_for_write() as connection, pytest.raises(Exception, match="certificate verify failed"):
        connection.connect()
