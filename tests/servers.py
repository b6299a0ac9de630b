"""Fixtures with real servers: a pytest plugin. A server that can't be started is an error, never a skip.

The servers live as long as the session and are shared: a test that kills, flushes or reconfigures one starts its own.
The processes of a parallel run share one Kafka. Each has its own Valkey: Celery's queues have no prefix.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.postgres_server import PostgresServer
from tests.shared_server import shared

_SERVERS = pytest.StashKey[ExitStack]()
"""Ended after the last test, not by a fixture: the wait for other processes must not count as time of a test."""


@contextmanager
def _kafka() -> Iterator[str]:
    # The cleaner looks for work each 0.2 s instead of each 15 s. Records with old timestamps are not deleted.
    properties = {"log.cleaner.backoff.ms": "200", "log.retention.check.interval.ms": str(86_400_000)}
    with KafkaServer(properties=properties) as server:
        yield server.bootstrap


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the servers."""
    if (servers := session.config.stash.get(_SERVERS, None)) is not None:
        servers.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of this session's own; a test that needs only its address takes `redis_url`."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this session's own; a test that needs only a database takes `postgres_dsn`."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database in this session's PostgreSQL. It is emptied after the test."""
    yield postgres.dsn
    postgres.empty()


@pytest.fixture(scope="session")
def bootstrap(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a Kafka: `KAFKA_BOOTSTRAP`, else that of this test run."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        return given
    servers = pytestconfig.stash[_SERVERS] = ExitStack()
    parallel = hasattr(pytestconfig, "workerinput")
    folder = tmp_path_factory.getbasetemp().parent / "kafka"
    return servers.enter_context(shared(folder, _kafka) if parallel else _kafka())


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of a Redis or Valkey: `REDIS_URL`, else this session's own. Never flush it: use `key_prefix`."""
    given = os.environ.get("REDIS_URL")
    if given:
        return given
    server: ValkeyServer = request.getfixturevalue("valkey")
    return server.url


@pytest.fixture
def key_prefix() -> str:
    """A prefix for keys, topics and groups that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"
