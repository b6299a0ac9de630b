"""Redis loses what it held, all or some of it: the clock says why it holds, and goes on where it was."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from clocksvc.dev.ports import LOOPBACK, free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.loss import (
    Loss,
    WatchedScene,
)
from tests.system.path.installation import (
    Installation,
    create_topic,
    wall_ms,
)
from tests.waiting import eventually

pytestmark = pytest.mark.path

CLOCK = "kept"
AWAY_MS = 7_000
"""Stands for minutes: longer than a lease, than an announcement's life, and than each time-out on the way."""
BUILT_AGAIN = ["state", "roster", "ticks", "lease"]
SHOWN_ONLY = ["reported", "counters", "verdict"]


@dataclass
class Store:
    """A clock on a Valkey of its own; `redis` is whoever may do anything there."""

    loss: Loss
    valkey: ValkeyServer
    redis: redis.Redis

    @property
    def snapshot(self) -> Path:
        """Where Valkey saves what it holds."""
        return self.valkey.directory / "dump.rdb"

    def key(self, name: str) -> str:
        """One of the clock's keys."""
        return f"{self.loss.scene.installation.prefix}:{{{CLOCK}}}:{name}"

    def configure(self, **settings: str | int) -> None:
        """CONFIG SET; an underscore stands for a dash."""
        for name, value in settings.items():
            self.redis.config_set(name.replace("_", "-"), value)


def last_tick_s(client: redis.Redis, stream: str) -> int:
    """The last tick in a stream; 0 without one."""
    found: Any = client.xrevrange(stream, count=1)
    return int(found[0][0].partition("-")[0]) if found else 0


def link_of(replica: redis.Redis) -> str:
    """Whether a replica hears its master."""
    found: Any = replica.info("replication")
    return str(found["master_link_status"])


@contextmanager
def asleep(pid: int | None) -> Iterator[None]:
    """A process does nothing meanwhile."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Store]:
    """The clock runs; each test leaves it running."""
    run = f"store{wall_ms() % 10**8}"
    folder = tmp_path_factory.mktemp("store")
    scene = WatchedScene(run, CLOCK)
    create_topic(bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
    with ValkeyServer(data_dir=folder / "valkey", options={"shutdown-on-sigterm": "nosave"}) as valkey:
        installation = Installation(folder, bootstrap, valkey.url, run, {CLOCK: scene.settings()})
        try:
            installation.start_service()
            with scene.of(installation), closing(redis.Redis.from_url(valkey.url, decode_responses=True)) as client:
                loss = Loss(scene)
                loss.begin()
                yield Store(loss, valkey, client)
        finally:
            installation.close()


@pytest.fixture
def store(running: Store) -> Store:
    """The store of a clock that runs."""
    running.loss.scene.until_running()
    return running


def test_restarted_empty(store: Store) -> None:
    """A Redis that comes back with nothing: held as store_unavailable while it is away, then built again."""
    store.valkey.kill()
    assert not store.snapshot.exists()

    held = store.loss.scene.until_held("store_unavailable")
    store.valkey.start()

    assert held["hold"]["detail"].startswith("Redis can't be reached")
    store.loss.goes_on()


def test_restarted_from_an_old_snapshot(store: Store) -> None:
    """A Redis that comes back as it was some ticks ago: the log has what it misses, and nothing is shown again."""
    scene, ticks = store.loss.scene, store.key("ticks")
    store.redis.save()
    saved_s = last_tick_s(store.redis, ticks)
    shown_s = scene.until_reached(saved_s + 3)["timestamp_seconds"]
    store.valkey.kill()
    scene.until_held("store_unavailable")

    with asleep(scene.installation.processes["serve"].pid):
        store.valkey.start()
        store.valkey.wait_ready()
        assert last_tick_s(store.redis, ticks) < shown_s
    store.snapshot.unlink()

    store.loss.goes_on()


def test_unreachable_for_minutes(store: Store) -> None:
    """A Redis that answers nobody: consumers go on, the clock is held as store_unavailable at what it showed last, and
    catches up as soon as there are answers again."""
    scene, begun_ms = store.loss.scene, wall_ms()
    with asleep(store.valkey.pid):
        held = scene.until_held("store_unavailable")
        store.loss.until_processed(begun_ms + AWAY_MS)
        later = scene.state()

    assert held["hold"]["detail"].startswith("Redis does not answer in time")
    assert later["hold"] == held["hold"]
    assert later["timestamp_seconds"] == held["timestamp_seconds"]
    store.loss.goes_on()


def test_full(store: Store) -> None:
    """maxmemory with noeviction: readers are served and told why no tick comes, until there is room."""
    scene = store.loss.scene
    store.configure(maxmemory=1)

    held = scene.until_held("store_unavailable")
    store.loss.until_processed(wall_ms())
    url = f"{scene.installation.url}/v1/clocks/{CLOCK}/ticks"
    listed = httpx2.get(url, timeout=10).json()["ticks"]
    report = {"topic": scene.topic, "partition": 0, "timestamp_ms": 0}
    body = {"group": scene.group, "reports": [report]}
    refused = httpx2.post(url.replace("ticks", "reports"), json=body, timeout=10)
    store.configure(maxmemory=0)

    assert held["hold"]["detail"].startswith("Redis is out of memory (maxmemory)")
    assert held["hold"]["since"] == held["last_tick"]["emitted_at"]
    assert listed[-1]["timestamp_seconds"] == held["timestamp_seconds"]
    assert (refused.status_code, "out of memory" in refused.text) == (503, True), refused.text
    store.loss.goes_on()


def test_evicting(store: Store) -> None:
    """maxmemory with allkeys-lru takes every key: nothing lower is shown meanwhile, and all is built again."""
    before: Any = store.redis.info("stats")
    store.configure(maxmemory_policy="allkeys-lru", maxmemory=1)
    eventually(lambda: store.redis.dbsize() == 0, what="all to be evicted")

    held = store.loss.scene.until_held("store_unavailable")
    store.configure(maxmemory=0, maxmemory_policy="noeviction")

    after: Any = store.redis.info("stats")
    assert after["evicted_keys"] >= before["evicted_keys"] + len(BUILT_AGAIN)
    assert held["timestamp_seconds"] == store.loss.scene.shown[-1]
    store.loss.goes_on()


def test_one_key_evicted(store: Store) -> None:
    """Each key that the clock needs may go alone, at any moment: it is noticed and built again."""
    oldest = store.redis.xrange(store.key("ticks"), count=1)
    for name in BUILT_AGAIN:
        assert store.redis.delete(store.key(name)) == 1, name
        store.loss.ticks_again()
    assert store.redis.xrange(store.key("ticks"), count=1) == oldest
    assert store.redis.delete(*(store.key(name) for name in SHOWN_ONLY)) >= 1

    store.loss.goes_on()


def test_another_environments(store: Store) -> None:
    """A store with another Kafka cluster's marks is not touched, and said; when its keys are gone it is built anew."""
    with store.redis.pipeline(transaction=True) as together:
        together.hset(store.key("state"), "cluster_id", "another-cluster")
        together.delete(store.key("lease"))
        together.execute()

    held = store.loss.scene.until_held("store_mismatch")
    left = store.redis.hgetall(store.key("state"))
    store.loss.until_processed(wall_ms())
    later = store.loss.scene.time_s()
    store.redis.delete(*store.redis.keys(store.key("*")))

    assert "belongs to cluster another-cluster" in held["hold"]["detail"]
    assert "redis.prefix of its own" in held["hold"]["detail"]
    assert left["cluster_id"] == "another-cluster"
    assert later == held["timestamp_seconds"]
    store.loss.goes_on()


def test_failed_over_to_a_replica_that_lags(store: Store) -> None:
    """The address of the store moves to a replica that missed the last ticks. (The last test: its server is gone.)"""
    scene, ticks, port = store.loss.scene, store.key("ticks"), store.valkey.port
    with (
        ValkeyServer(options={"replicaof": f"{LOOPBACK} {port}"}) as replica,
        closing(redis.Redis.from_url(replica.url, decode_responses=True)) as client,
    ):
        eventually(lambda: link_of(client) == "up", what="the replica to follow")
        client.replicaof(LOOPBACK, free_ports(1)[0])  # its master is out of its reach from now on
        missed_s = last_tick_s(client, ticks) + 1
        scene.until_reached(missed_s + 1)
        store.valkey.kill()
        client.replicaof("NO", "ONE")
        assert last_tick_s(client, ticks) < missed_s
        client.config_set("port", port)

        store.loss.goes_on()
