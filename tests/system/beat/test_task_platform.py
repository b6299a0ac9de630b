"""A task for each tick on its way to the task platform, beside one of Celery's: sent by `celery -A clocksvc beat`."""

from collections.abc import Iterator

import msgpack
import pytest
from confluent_kafka import Consumer, TopicPartition
from sentry_protos.taskbroker.v1.taskbroker_pb2 import TaskActivation

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.run import BEGIN
from tests.system.beat.scene import (
    MINUTE_MS,
    WITHIN_S,
    Scene,
    parse_ms,
)
from tests.system.installation import create_topic
from tests.waiting import eventually

pytestmark = pytest.mark.path

TASKS = [{"task": "platform.errors", "name": "ingest.errors.close"}, {"task": "shop.billing", "name": "billing.tick"}]


class Pool:
    """What a processing pool gets from its topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "taskbroker"})
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(2)])
        self._got: list[TaskActivation] = []

    def got(self) -> list[TaskActivation]:
        """All activations until now, by time."""
        for record in self._consumer.consume(100, 0.2):
            assert record.error() is None
            assert record.key() is None
            self._got.append(TaskActivation.FromString(record.value() or b""))
        return sorted(self._got, key=lambda one: one.headers["clocksvc-due"])


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory, bootstrap: str, key_prefix: str) -> Iterator[Scene]:
    """One task to a topic, one to a queue with a worker."""
    create_topic(bootstrap, key_prefix, 2, "CreateTime")
    routes = {
        "namespaces": {"ingest": {"topic": "elsewhere", "expires": "1h"}, "billing": {"queue": "billing"}},
        "route_overrides": {"ingest.errors": key_prefix},
        "taskbroker": {"application": "shop", "replicas": {key_prefix: 3}},
    }
    start_ms = int(BEGIN.timestamp() * 1000)
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("platform")
        with Scene(folder, bootstrap, valkey.url, start_ms, "tests.system.beat.routed_app", TASKS, routes) as made:
            yield made


def test_each_tick_becomes_an_activation(scene: Scene, bootstrap: str, key_prefix: str) -> None:
    """Once the topic fits its brokers: until then all waits, and what is wrong is in the log."""
    scene.start_worker("billing-worker", "billing")
    scene.start_senders()
    begun_ms = scene.at_ms
    eventually(
        lambda: '"dispatching"' in scene.installation.output("dispatchers"),
        within=WITHIN_S,
        what="the dispatcher's turn",
    )
    scene.drive(2)
    wanted = f"wanted a multiple of taskbroker.replicas.{key_prefix}"
    eventually(lambda: wanted in scene.installation.output("dispatchers"), within=WITHIN_S, what="the error")
    pool = Pool(bootstrap, key_prefix)
    assert pool.got() == []

    scene.installation.end("dispatchers")
    settings = {"application": "shop", "replicas": {key_prefix: 2}}
    scene.configure(taskbroker=settings)
    scene.start_senders()
    scene.drive(5)
    scene.until_ticked()

    ticks = [tick for tick in scene.log() if tick.at_ms > begun_ms]
    got = eventually(
        lambda: found if len(found := pool.got()) >= len(ticks) else [],
        within=WITHIN_S,
        what=f"{len(ticks)} activations; {scene.installation.output('dispatchers')}",
    )
    for one, tick in zip(got, ticks, strict=True):
        arguments = msgpack.unpackb(one.parameters_bytes)
        (given,) = arguments.pop("args")
        assert arguments == {"kwargs": {}}
        assert given == {name: tick.wire[name] for name in given}
        assert given["time"] == one.headers["clocksvc-tick"]
    assert [parse_ms(one.headers["clocksvc-due"]) for one in got] == [
        begun_ms + minute * MINUTE_MS for minute in range(1, 8)
    ]
    assert len({one.id for one in got}) == len(ticks) == 7
    assert {(one.application, one.namespace, one.taskname, one.expires) for one in got} == {
        ("shop", "ingest.errors", "platform.errors", 3600)
    }
    scene.until_sent("shop.billing", scene.at_ms)
    assert {one.due_ms for one in scene.sent()} == {tick.at_ms for tick in ticks}
