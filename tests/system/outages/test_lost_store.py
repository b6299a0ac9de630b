"""Redis loses some or all of its data: the clock shows a hold with a reason, and continues where it was."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.process import stopped
from tests.system.clock_fixture import ClockFixture, running
from tests.system.evidence import partition_of
from tests.system.installation import wall_ms
from tests.system.outages.recovery import PARTITIONS, Recovery
from tests.waiting import eventually

pytestmark = pytest.mark.path

CLOCK = "kept"
AWAY_MS = 7_000
"""Long enough for minutes: longer than a lease, the TTL of an announcement, and each time-out involved."""
LOG_KEYS = ["lease", "holder", "replicas", "configs", "notices"]
BUILT_AGAIN = ["state", "parameters", "roster", "ticks", *LOG_KEYS]
SHOWN_ONLY = ["reported", "counters", "status"]


@dataclass
class Store:
    """A clock on a Valkey of its own. `redis` is an administrator's client."""

    recovery: Recovery
    valkey: ValkeyServer
    redis: redis.Redis

    @property
    def snapshot(self) -> Path:
        """Valkey's snapshot file."""
        return self.valkey.directory / "dump.rdb"

    def key(self, name: str) -> str:
        """One of the clock's keys, or of its log's."""
        clock = "" if name in LOG_KEYS else f"{CLOCK}:"
        return f"{self.recovery.clock.installation.prefix}:{{{partition_of(CLOCK)}}}:{clock}{name}"

    def configure(self, **settings: str | int) -> None:
        """CONFIG SET; an underscore replaces a dash."""
        for name, value in settings.items():
            self.redis.config_set(name.replace("_", "-"), value)


def last_tick_s(client: redis.Redis, stream: str) -> int:
    """The last tick in a stream; 0 without one."""
    found: Any = client.xrevrange(stream, count=1)
    return int(found[0][0].partition("-")[0]) if found else 0


def link_of(replica: redis.Redis) -> str:
    """`up` if a Redis replica is connected to its master."""
    found: Any = replica.info("replication")
    return str(found["master_link_status"])


@pytest.fixture(scope="module")
def recovering(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Store]:
    """The clock runs; each test leaves it running."""
    run = f"store{wall_ms() % 10**8}"
    folder = tmp_path_factory.mktemp("store")
    clock = ClockFixture(run, CLOCK, len(PARTITIONS))
    with (
        ValkeyServer(data_dir=folder / "valkey", options={"shutdown-on-sigterm": "nosave"}) as valkey,
        running(folder, bootstrap, valkey.url, run, clock),
        clock,
        closing(redis.Redis.from_url(valkey.url, decode_responses=True)) as client,
    ):
        recovery = Recovery(clock)
        recovery.begin()
        yield Store(recovery, valkey, client)


@pytest.fixture
def store(recovering: Store) -> Store:
    """The store of a clock that runs."""
    recovering.recovery.clock.until_running()
    return recovering


def test_restarted_empty(store: Store) -> None:
    """Redis restarts empty: a hold store_unavailable while it is away, then the store is rebuilt."""
    store.valkey.kill()
    assert not store.snapshot.exists()

    held = store.recovery.clock.until_held("store_unavailable")
    store.valkey.start()

    assert held["hold"]["detail"].startswith("Redis can't be reached")
    store.recovery.check()


def test_restarted_from_an_old_snapshot(store: Store) -> None:
    """Redis restarts from a snapshot some ticks old: the tick log has what is missing, and no tick is shown twice."""
    clock, ticks = store.recovery.clock, store.key("ticks")
    store.redis.save()
    saved_s = last_tick_s(store.redis, ticks)
    shown_s = clock.until_reached(saved_s + 3)["timestamp_seconds"]
    store.valkey.kill()
    clock.until_held("store_unavailable")

    with stopped(clock.installation.processes["serve"].pid):
        store.valkey.start()
        store.valkey.wait_ready()
        assert last_tick_s(store.redis, ticks) < shown_s
    store.snapshot.unlink()

    store.recovery.check()


def test_unreachable_for_minutes(store: Store) -> None:
    """Redis does not answer: consumers go on, the clock is held as store_unavailable, and it catches up once Redis
    answers again."""
    clock, begun_ms = store.recovery.clock, wall_ms()
    with stopped(store.valkey.pid):
        held = clock.until_held("store_unavailable")
        store.recovery.until_processed(begun_ms + AWAY_MS)
        later = clock.state()

    assert held["hold"]["detail"].startswith("Redis does not answer in time")
    assert later["hold"] == held["hold"]
    assert later["timestamp_seconds"] == held["timestamp_seconds"]
    store.recovery.check()


def test_full(store: Store) -> None:
    """maxmemory with noeviction: readers are served, and the hold names the reason, until there is memory."""
    clock = store.recovery.clock
    store.configure(maxmemory=1)

    held = clock.until_held("store_unavailable")
    store.recovery.until_processed(wall_ms())
    url = f"{clock.installation.url}/v1/clocks/{CLOCK}/ticks"
    listed = http_client.get(url, timeout=10).json()["ticks"]
    report = {"topic": clock.topic, "partition": 0, "timestamp_ms": 0}
    body = {"group": clock.group, "reports": [report]}
    refused = http_client.post(url.replace("ticks", "reports"), json=body, timeout=10)
    store.configure(maxmemory=0)

    assert held["hold"]["detail"].startswith("Redis is out of memory (maxmemory)")
    assert held["hold"]["since"] == held["last_tick"]["emitted_at"]
    assert listed[-1]["timestamp_seconds"] == held["timestamp_seconds"]
    assert (refused.status_code, "out of memory" in refused.text) == (503, True), refused.text
    store.recovery.check()


def test_evicting(store: Store) -> None:
    """maxmemory with allkeys-lru evicts every key: the time shown does not go back, and the store is rebuilt."""
    before: Any = store.redis.info("stats")
    store.configure(maxmemory_policy="allkeys-lru", maxmemory=1)
    eventually(lambda: store.redis.dbsize() == 0, what="all to be evicted")

    held = store.recovery.clock.until_held("store_unavailable")
    store.configure(maxmemory=0, maxmemory_policy="noeviction")

    after: Any = store.redis.info("stats")
    assert after["evicted_keys"] >= before["evicted_keys"] + len(BUILT_AGAIN)
    assert held["timestamp_seconds"] == store.recovery.clock.shown[store.recovery.clock.installation.url][-1]
    store.recovery.check()


def test_one_key_evicted(store: Store) -> None:
    """Each key that the clock needs may be evicted alone, at any moment: this is noticed, and the key is rebuilt."""
    oldest = store.redis.xrange(store.key("ticks"), count=1)
    for name in BUILT_AGAIN:
        assert store.redis.delete(store.key(name)) == 1, name
        store.recovery.until_ticking()
    eventually(lambda: store.redis.xrange(store.key("ticks"), count=1) == oldest, what="the older ticks to be restored")
    assert store.redis.delete(*(store.key(name) for name in SHOWN_ONLY)) >= 1

    store.recovery.check()


def test_another_environments(store: Store) -> None:
    """A store of another Kafka cluster is not written, and the hold names it. Once its keys are gone it is rebuilt."""
    with store.redis.pipeline(transaction=True) as together:
        together.hset(store.key("state"), "cluster_id", "another-cluster")
        together.delete(store.key("lease"))
        together.execute()

    held = store.recovery.clock.until_held("store_mismatch")
    left = store.redis.hgetall(store.key("state"))
    store.recovery.until_processed(wall_ms())
    later = store.recovery.clock.time_s()
    store.redis.delete(*store.redis.keys(store.key("*")))

    assert "belongs to cluster another-cluster" in held["hold"]["detail"]
    assert "its own redis.url or redis.prefix" in held["hold"]["detail"]
    assert left["cluster_id"] == "another-cluster"
    assert later == held["timestamp_seconds"]
    store.recovery.check()


def test_failed_over_to_a_replica_that_lags(store: Store) -> None:
    """The store's address moves to a replica that missed the last ticks. The last test: it ends the server."""
    clock, ticks, port = store.recovery.clock, store.key("ticks"), store.valkey.port
    with (
        ValkeyServer(options={"replicaof": f"{LOOPBACK} {port}"}) as replica,
        closing(redis.Redis.from_url(replica.url, decode_responses=True)) as client,
    ):
        eventually(lambda: link_of(client) == "up", what="the replica to follow")
        client.replicaof(LOOPBACK, free_ports(1)[0])  # it can no longer reach its master
        missed_s = last_tick_s(client, ticks) + 1
        clock.until_reached(missed_s + 1)
        store.valkey.kill()
        client.replicaof("NO", "ONE")
        assert last_tick_s(client, ticks) < missed_s
        client.config_set("port", port)

        store.recovery.check()
