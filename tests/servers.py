"""Fixtures with real servers: a pytest plugin. A server that can't be had is an error, never a skip.

The servers live as long as the session and are shared: a test that kills, flushes or reconfigures one starts its own.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A Kafka of this session's own; a test that needs only its address takes `bootstrap`."""
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of this session's own; a test that needs only its address takes `redis_url`."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest) -> str:
    """The address of a Kafka: the one in `KAFKA_BOOTSTRAP`, else this session's own."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        return given
    server: KafkaServer = request.getfixturevalue("kafka")
    return server.bootstrap


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
