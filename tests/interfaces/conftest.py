"""The implementations that the suites of this folder run over."""

from collections.abc import Iterator

import pytest

from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from tests.interfaces.faulty_kafka import faulty_kafka as faulty_kafka
from tests.interfaces.redis_servers import one_node_cluster
from tests.interfaces.store_implementations import (
    MemoryStoreImplementation,
    RedisStoreImplementation,
    StoreImplementation,
    redis_implementation,
)
from tests.interfaces.tick_log_implementations import KafkaTickLogImplementation


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=pytest.mark.servers),
        pytest.param("cluster", marks=pytest.mark.servers),
    ]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[StoreImplementation]:
    """Each implementation of the store."""
    if request.param == "memory":
        yield MemoryStoreImplementation()
    else:
        yield request.getfixturevalue(f"on_{request.param}")


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """The URL of a cluster of one node."""
    with one_node_cluster() as node:
        yield node.url.replace("redis://", "redis+cluster://")


@pytest.fixture
def on_cluster(cluster_url: str, key_prefix: str) -> Iterator[RedisStoreImplementation]:
    """The Redis implementation with a cluster; its keys are audited afterwards."""
    yield from redis_implementation(cluster_url, key_prefix)


@pytest.fixture
def on_redis(redis_url: str, key_prefix: str) -> Iterator[RedisStoreImplementation]:
    """The Redis implementation only; its keys are audited afterwards."""
    yield from redis_implementation(redis_url, key_prefix)


@pytest.fixture
def on_kafka(bootstrap: str) -> Iterator[KafkaTickLogImplementation]:
    """The Kafka implementation of the tick log only, for what only brokers have."""
    made = KafkaTickLogImplementation(bootstrap)
    yield made
    made.free()


@pytest.fixture
def store(implementation: StoreImplementation) -> Store:
    """The store of each implementation."""
    return implementation.store


@pytest.fixture
def leases(implementation: StoreImplementation) -> Leases:
    """The leases of the log of `store`'s clock."""
    return implementation.leases
