"""Redis over TLS: certificates on both sides, and the errors if one is wrong.

TLS ends at a proxy, because the Valkey of the tests is built without TLS.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from clocksvc import Reporter
from clocksvc.celery.application import build
from clocksvc.dev.child_server import LOOPBACK
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import StoreUnavailable
from clocksvc.service.bootstrap import open_store, open_store_server
from clocksvc.settings import Settings
from tests.interfaces.store_examples import CLOCK, GROUP, LOG, RECENTLY, ROSTER, lead
from tests.system.security.certificates import Authority, Pair
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers


class TlsServers:
    """A Valkey behind three proxies: `strict` wants a client's certificate, `elsewhere` has one for another host."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.authority, self.other = Authority(folder, "authority"), Authority(folder, "other")
        self.client: Pair = self.authority.sign("client")
        self.server = stack.enter_context(ValkeyServer())
        ours, elsewhere = self.authority.sign("redis"), self.authority.sign("elsewhere", "DNS:redis.example.com")
        contexts = (ours.server_context(), ours.server_context(self.authority.certificate), elsewhere.server_context())
        self.usual, self.strict, self.elsewhere = (
            stack.enter_context(TcpProxy(self.server.port, tls=context)).port for context in contexts
        )

    def settings(self, port: int, **redis: Any) -> Settings:
        """A configuration that trusts the authority unless `redis` overrides it."""
        section = {"url": f"rediss://{LOOPBACK}:{port}/0", "ssl_ca_file": str(self.authority.certificate), **redis}
        clocks = {CLOCK: {"topics": ["orders"], "group": GROUP}}
        return Settings.model_validate({"redis": section, "clocks": clocks})


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServers]:
    """Shared by this module."""
    with ExitStack() as stack:
        yield TlsServers(tmp_path_factory.mktemp("tls"), stack)


def store_error(settings: Settings) -> str:
    """The error of the store, as a hold's detail and `clocksvc check` show it."""
    with pytest.raises(StoreUnavailable) as raised:
        open_store(settings, settings.clock_specs()[CLOCK]).now_ms()
    return str(raised.value)


def test_service_and_reporter_over_tls(servers: TlsServers) -> None:
    """Both trust the authority, and a report is accepted."""
    settings = servers.settings(servers.usual)
    store = open_store(settings, settings.clock_specs()[CLOCK])
    lead(store, open_store_server(settings).leases(LOG))
    url = f"rediss://{LOOPBACK}:{servers.usual}/0?ssl_ca_certs={servers.authority.certificate}"
    with Reporter(url, CLOCK, group=GROUP, topic="orders") as reporter:
        reporter.observe(0, RECENTLY)
        assert reporter.flush(10)

    assert {line.raw_ms for line in store.partitions(None, 10)} == {None, RECENTLY}
    assert len(ROSTER.topics) == 2


def test_a_client_certificate_if_the_server_wants_one(servers: TlsServers) -> None:
    """It may be in two files or in one. Without it the server closes the connection, and the error names the cause."""
    files = {"ssl_cert_file": str(servers.client.certificate), "ssl_key_file": str(servers.client.key)}
    for given in (files, {"ssl_cert_file": str(servers.client.both)}):
        settings = servers.settings(servers.strict, **given)
        assert open_store(settings, settings.clock_specs()[CLOCK]).now_ms() > 0

    assert "may require rediss://, or a client certificate" in store_error(servers.settings(servers.strict))


def test_wrong_certificates_are_rejected(servers: TlsServers) -> None:
    """Signed by an unknown authority, or for another host; and a connection without TLS."""
    assert "certificate verify failed" in store_error(
        servers.settings(servers.usual, ssl_ca_file=str(servers.other.certificate))
    )
    assert "certificate verify failed" in store_error(servers.settings(servers.usual, ssl_ca_file=None))
    assert "mismatch" in store_error(servers.settings(servers.elsewhere))
    plain = f"redis://{LOOPBACK}:{servers.usual}/0"
    assert "may require rediss://" in store_error(servers.settings(servers.usual, url=plain, ssl_ca_file=None))


def test_a_reporter_logs_the_error(servers: TlsServers, caplog: pytest.LogCaptureFixture) -> None:
    """The consumer goes on."""
    url = f"rediss://{LOOPBACK}:{servers.usual}/0?ssl_ca_certs={servers.other.certificate}"
    reporter = Reporter(url, CLOCK, group=GROUP, topic="orders")
    with caplog.at_level(logging.WARNING):
        reporter.observe(0, RECENTLY)
        assert not reporter.flush(1)
    reporter.close(0.1)

    lines = [record.getMessage() for record in caplog.records if record.name == "clocksvc.reporter"]
    assert any("certificate verify failed" in line for line in lines), lines


@pytest.mark.filterwarnings("default")  # Celery leaves connections to the collector
def test_celery_over_tls(servers: TlsServers) -> None:
    """A broker URL made from the store's settings verifies the certificate as the store does."""
    sent = build(servers.settings(servers.usual))
    with sent.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=10)
        assert connection.connected

    refused = build(servers.settings(servers.usual, ssl_ca_file=str(servers.other.certificate)))
    with refused.connection_for_write() as connection, pytest.raises(Exception, match="certificate verify failed"):
        connection.connect()
