"""`clocksvc dev` on a Kafka and Redis with other data: it works, changes no other data, and removes its own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka.admin import AdminClient

from clocksvc.dev.child_server import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests.unit.dev.test_demo_run import running
from tests.waiting import eventually

pytestmark = pytest.mark.path


@pytest.fixture
def own_redis() -> Iterator[ValkeyServer]:
    """A Redis with other data."""
    with ValkeyServer() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("clocksvc:{checkins}:state", "theirs")
        yield server


def keys(server: ValkeyServer) -> set[str]:
    """All keys of the database."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        return set(client.scan_iter())


def demo_names(bootstrap: str) -> set[str]:
    """The demo's topics and consumer groups."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    groups = admin.list_consumer_groups().result(10).valid
    names = {*admin.list_topics(timeout=10).topics, *(group.group_id for group in groups)}
    return {name for name in names if "clocksvc-demo-" in name}


def test_a_guest_leaves_no_trace(tmp_path: Path, bootstrap: str, own_redis: ValkeyServer) -> None:
    """It uses its own names; afterwards its topics, groups and keys are gone, and other data is unchanged."""
    before = demo_names(bootstrap)
    port = str(free_ports(1)[0])
    with running(tmp_path, "--kafka", bootstrap, "--redis", own_redis.url, "--port", port) as run:
        eventually(lambda: run.told("is processed"), within=60, what="the first tick")
        eventually(lambda: len(demo_names(bootstrap) - before) == 7, within=60, what="topics and groups")
        ours = demo_names(bootstrap) - before
        topic = min(name for name in ours if name.startswith("clocksvc-demo-"))
        log = f"{topic}-ticks"
        second = {f"{topic}-handled", f"{topic}-warehouse"}
        assert ours == {topic, log, f"{topic}-consumers", f"{log}-checkpoints", f"clocksvc.{log}:demo:jobs"} | second
        assert any(key.startswith("clocksvc-demo-") for key in keys(own_redis))
        run.process.send_signal(signal.SIGINT)

        assert run.process.wait(30) == 0, run.output()
        run.check_nothing_is_left()
    # Kombu shares this key among all queues of a database; it has expired deadlines, and no message.
    assert keys(own_redis) - {"_kombu.binding_deadlines"} == {"clocksvc:{checkins}:state"}
    eventually(lambda: demo_names(bootstrap) == before, what="topics and groups to go")


def test_another_installations_queue_is_left_alone(tmp_path: Path, bootstrap: str, own_redis: ValkeyServer) -> None:
    """A demo would take heartbeats of a worker on the same queue: it refuses and says what to do."""
    with redis.Redis.from_url(own_redis.url) as client:
        client.sadd("_kombu.binding.clocksvc", "a worker's")
    with running(tmp_path, "--kafka", bootstrap, "--redis", own_redis.url) as run:
        assert run.process.wait(30) == 1

        assert "uses, or has used, the queue 'clocksvc'" in run.output()
        assert "--redis redis://HOST:PORT/9" in run.output()
    assert keys(own_redis) == {"clocksvc:{checkins}:state", "_kombu.binding.clocksvc"}
