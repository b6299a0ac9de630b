"""The keepers that the suites of this folder run over."""

from collections.abc import Iterator

import pytest

from clocksvc.interfaces.store import Store
from tests.interfaces.faulty_kafka import faulty_kafka as faulty_kafka
from tests.interfaces.store_keepers import (
    MemoryKeeper,
    RedisKeeper,
    StoreKeeper,
    redis_keeper,
)
from tests.interfaces.ticklog_keepers import KafkaLogKeeper


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def keeper(request: pytest.FixtureRequest) -> Iterator[StoreKeeper]:
    """Each keeper of the store's promise in turn."""
    if request.param == "memory":
        yield MemoryKeeper()
    else:
        yield request.getfixturevalue("on_redis")


@pytest.fixture
def on_redis(redis_url: str, key_prefix: str) -> Iterator[RedisKeeper]:
    """The Redis keeper alone; its keys are audited afterwards."""
    yield from redis_keeper(redis_url, key_prefix)


@pytest.fixture
def on_kafka(bootstrap: str) -> Iterator[KafkaLogKeeper]:
    """The Kafka keeper of the tick log alone, for what only a broker has."""
    made = KafkaLogKeeper(bootstrap)
    yield made
    made.free()


@pytest.fixture
def store(keeper: StoreKeeper) -> Store:
    """The store of each keeper in turn."""
    return keeper.store
