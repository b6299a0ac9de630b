"""`celery -A clocksvc beat` sends one task of each tick to the task platform, and one to Celery."""

import uuid
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from confluent_kafka import Consumer, TopicPartition
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.beat_installation import CLOCK, MINUTE_MS, WITHIN_S, BeatInstallation, parse_ms
from tests.system.beat.run import BEGIN
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.path

TASKS: list[dict[str, Any]] = [
    {"task": "platform.errors", "name": "ingest.errors.close", "max_attempts": 2, "arguments": {"region": "eu"}},
    {"task": "shop.billing", "name": "billing.tick"},
]


class Pool:
    """Reads the topic of a processing pool."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "taskbroker"})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(2)])
        self._got: list[TaskActivation] = []

    def received(self) -> list[TaskActivation]:
        """All activations until now, by due time."""
        for record in self._consumer.consume(100, 0.2):
            assert record.error() is None
            assert record.key() is None
            self._got.append(TaskActivation.FromString(record.value() or b""))
        return sorted(self._got, key=lambda one: one.headers["clocksvc-due"])


@pytest.fixture
def beats(tmp_path_factory: pytest.TempPathFactory, bootstrap: str, key_prefix: str) -> Iterator[BeatInstallation]:
    """One task goes to a topic, one to a queue with a worker."""
    create_topic(bootstrap, key_prefix, 2, "CreateTime")
    routes = {
        "namespaces": {"ingest": {"topic": "elsewhere", "expires": "1h"}, "billing": {"queue": "billing"}},
        "route_overrides": {"ingest.errors": key_prefix},
        "taskbroker": {"application": "shop", "replicas": {key_prefix: 3}},
        "tracing": {"task_headers": True},
    }
    start_ms = int(BEGIN.timestamp() * 1000)
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("platform")
        with BeatInstallation(
            folder, bootstrap, valkey.url, start_ms, "tests.system.beat.routed_app", TASKS, routes
        ) as opened:
            yield opened


def test_each_tick_becomes_an_activation(beats: BeatInstallation, bootstrap: str, key_prefix: str) -> None:
    """Only with a valid number of partitions: until then all tasks wait, and the error is in the log."""
    beats.start_worker("billing-worker", "billing")
    beats.start_tick_tasks()
    begun_ms = beats.at_ms
    eventually(
        lambda: '"dispatching"' in beats.installation.output("dispatchers"),
        within=WITHIN_S,
        what="the dispatcher's assignment",
    )
    beats.advance(2)
    wanted = f"(taskbroker.replicas.{key_prefix}"
    eventually(lambda: wanted in beats.installation.output("dispatchers"), within=WITHIN_S, what="the error")
    pool = Pool(bootstrap, key_prefix)
    assert pool.received() == []

    beats.installation.end("dispatchers")
    settings = {"application": "shop", "replicas": {key_prefix: 2}}
    beats.configure(taskbroker=settings)
    beats.start_tick_tasks()
    beats.advance(5)
    beats.wait_for_ticks()

    ticks = [tick for tick in beats.ticks() if tick.at_ms > begun_ms]
    received = eventually(
        lambda: found if len(found := pool.received()) >= len(ticks) else [],
        within=WITHIN_S,
        what=f"{len(ticks)} activations; {beats.installation.output('dispatchers')}",
    )
    for one, tick in zip(received, ticks, strict=True):
        arguments = msgpack.unpackb(one.parameters_bytes)
        (given,) = arguments.pop("args")
        assert arguments == {"kwargs": {"region": "eu"}}
        assert given == {name: tick.wire[name] for name in given}
        assert given["time"] == one.headers["clocksvc-tick"]
    assert [parse_ms(one.headers["clocksvc-due"]) for one in received] == [
        begun_ms + minute * MINUTE_MS for minute in range(1, 8)
    ]
    assert len(ticks) == 7
    assert [one.id for one in received] == [_id(beats, tick.at_ms) for tick in ticks]
    assert {one.retry_state.max_attempts for one in received} == {2}
    assert {(one.application, one.namespace, one.taskname, one.expires) for one in received} == {
        ("shop", "ingest.errors", "platform.errors", 3600)
    }
    assert len({one.headers["traceparent"] for one in received}) == len(ticks)
    beats.wait_for_task("shop.billing", beats.at_ms)
    assert {one.due_ms for one in beats.received()} == {tick.at_ms for tick in ticks}


def _id(beats: BeatInstallation, due_ms: int) -> str:
    """The documented parts of an id: installation, clock, dispatcher, namespace, task and due time."""
    name = f"{beats.installation.prefix}/{CLOCK}/clocksvc/ingest.errors:platform.errors/{due_ms}"
    return uuid.uuid5(uuid.UUID("6e0c1f0e-7f2f-4bd5-9d0c-5f0e6f0f5c11"), name).hex
