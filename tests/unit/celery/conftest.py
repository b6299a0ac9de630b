"""A broker for Celery alone, and its programs over a real Kafka: every test here shares the queue `clocksvc`."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.dev.valkey_server import ValkeyServer
from tests.unit.celery.programs import (
    Programs,
    clock,
    create_topic,
)


@pytest.fixture(scope="module")
def broker() -> Iterator[ValkeyServer]:
    """A Valkey that no other module's queue lives in."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def prefix() -> str:
    """What this module's topics and keys begin with."""
    return f"celery-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def programs(
    tmp_path_factory: pytest.TempPathFactory, bootstrap: str, broker: ValkeyServer, prefix: str
) -> Iterator[Programs]:
    """Three clocks: `steady` with a heartbeat each second, `manual` and `missing` with one a day.

    The topic of `missing` does not exist.
    """
    create_topic(bootstrap, f"{prefix}-steady", 3)
    create_topic(bootstrap, f"{prefix}-manual", 2)
    made = Programs(
        directory=Path(tmp_path_factory.mktemp("celery")),
        bootstrap=bootstrap,
        redis_url=broker.url,
        prefix=prefix,
        clocks={
            "steady": clock(f"{prefix}-steady", interval="1s", every="1s"),
            "manual": clock(f"{prefix}-manual", interval="1d", every="1d"),
            "missing": clock(f"{prefix}-missing", interval="1d", every="1d"),
            "quiet": clock(f"{prefix}-quiet", interval="1s", every=None),
        },
    )
    yield made
    made.close()
