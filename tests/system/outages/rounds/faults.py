"""Faults by kind. Each injects one, repairs what it broke, and returns; a new tick need not have come yet."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import redis

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.rounds.brokers import Cluster, Single
from tests.system.outages.rounds.supervised_installation import REPLICAS, SupervisedInstallation
from tests.tcp_proxy import TcpProxy
from tests.waiting import eventually

LEASE_S = 3.0
SESSION_S = 6.0
"""The session timeout of consumers."""
IN_SYNC_WITHIN_S = 60.0
SLOW_S = 0.1
IN_FLIGHT_S = 2.0
"""Ticks shown so soon after a broker's end may have been written before it."""
WITHOUT_IT_S = 40.0
AT_THE_LEADER = 0.75
"""How often the proxy that fails is the leader's."""

Inject = Callable[[SupervisedInstallation, random.Random], None]
Kinds = Mapping[str, tuple[Inject, int]]
"""Each with its weight."""


def kill_leader(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of the replica that leads a clock."""
    _kill(target, target.until_leader(rng.choice(target.clocks).log), rng)


def kill_standby(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of the replica that does not lead a clock."""
    leader = target.until_leader(rng.choice(target.clocks).log)
    _kill(target, next(each for each in REPLICAS if each != leader), rng)


def kill_consumer(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of a consumer; its partitions go to the others."""
    _kill(target, rng.choice(sorted(target.consumers)), rng)


def end_consumer(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGTERM of a consumer: it flushes and commits, and leaves its group."""
    name = rng.choice(sorted(target.consumers))
    target.strike(name)
    target.end(name, and_while_starting=True)
    target.pause(rng.uniform(0.0, 1.5))
    target.restart(name)


def stop_consumer(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGSTOP of a consumer for about as long as its session: its partitions may go to others without its knowledge."""
    name = rng.choice(sorted(target.consumers))
    target.strike(name)
    with target.stopped(name):
        target.pause(SESSION_S + rng.uniform(-2.0, 3.0))


def kill_worker(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of the Celery worker."""
    _kill(target, "worker", rng)


def kill_beat(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of Celery's beat."""
    _kill(target, "beat", rng)


def end_leader(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGTERM of the replica that leads a clock."""
    name = target.until_leader(rng.choice(target.clocks).log)
    target.strike(name)
    target.end(name)
    target.restart(name)


def stop_leader(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGSTOP of a leader for longer than its lease, then SIGCONT: the other replica leads by then."""
    leader = target.until_leader(rng.choice(target.clocks).log)
    target.strike(leader)
    with target.stopped(leader):
        target.pause(LEASE_S + rng.uniform(0.5, 3.0))


def flush_store(target: SupervisedInstallation, _: random.Random) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(target.valkey.url) as client:
        client.flushall()


def restart_store_empty(target: SupervisedInstallation, rng: random.Random) -> None:
    """Redis is killed and restarts empty."""
    _restart_store(target, rng, None)


def roll_store_back(target: SupervisedInstallation, rng: random.Random) -> None:
    """Redis is killed and restarts from a snapshot some seconds old."""
    with redis.Redis.from_url(target.valkey.url) as client:
        client.save()
    kept = _snapshot(target.valkey).with_suffix(".kept")
    shutil.copy(_snapshot(target.valkey), kept)
    target.pause(rng.uniform(1.0, 6.0))
    _restart_store(target, rng, kept)


def kill_broker(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of the one broker, and a restart on its data."""
    assert isinstance(target.kafka, Single)
    target.kafka.node.kill()
    target.pause(rng.choice([0.0, rng.uniform(0.5, 3.0)]))
    target.kafka.node.start()
    target.kafka.node.wait_ready()
    target.server_is_back()


def kill_leading_broker(target: SupervisedInstallation, rng: random.Random) -> None:
    """SIGKILL of the broker that leads a clock's log, in a cluster of three that is in sync. It is restarted once every
    clock ticks without it."""
    brokers, tick_log, log = target.kafka, target.installation.tick_log, rng.choice(target.clocks).log
    assert isinstance(brokers, Cluster)
    eventually(brokers.in_sync, within=IN_SYNC_WITHIN_S, what="the cluster to be in sync")
    node = brokers.nodes[eventually(lambda: brokers.leader_of(tick_log, log), within=IN_SYNC_WITHIN_S) or 0]
    target.pause(rng.uniform(0.0, 1.0))  # anywhere between two ticks
    target.strike()
    node.kill()
    target.until_ticked(target.faults[-1].at + IN_FLIGHT_S, within=WITHOUT_IT_S)
    node.start()
    node.wait_ready()


def _kill(target: SupervisedInstallation, name: str, rng: random.Random) -> None:
    """Some supervisors restart a process at once, some after a while."""
    target.strike(name)
    target.kill(name)
    target.pause(rng.choice([0.0, rng.uniform(0.0, 1.5)]))
    target.restart(name)


def _restart_store(target: SupervisedInstallation, rng: random.Random, snapshot: Path | None) -> None:
    target.strike()
    target.valkey.kill()
    _snapshot(target.valkey).unlink(missing_ok=True)
    if snapshot is not None:
        shutil.copy(snapshot, _snapshot(target.valkey))
    target.pause(rng.choice([0.0, rng.uniform(0.0, LEASE_S + 1)]))
    target.valkey.start()
    target.valkey.wait_ready()
    target.server_is_back()


def _snapshot(valkey: ValkeyServer) -> Path:
    return valkey.directory / "dump.rdb"


def _through(proxies: str, fail: Callable[[TcpProxy], None]) -> Inject:
    """One replica's connections to Redis, or to Kafka, fail for a while."""

    def inject(target: SupervisedInstallation, rng: random.Random) -> None:
        leader = target.until_leader()
        other = next(each for each in REPLICAS if each != leader)
        name = leader if rng.random() < AT_THE_LEADER else other
        proxy = target.store_proxies[name] if proxies == "store" else target.kafka.proxies[name]
        target.strike()
        fail(proxy)
        target.pause(rng.uniform(0.5, 2 * LEASE_S))
        proxy.heal()

    return inject


KINDS: Kinds = {
    "kill-leader": (kill_leader, 8),
    "kill-standby": (kill_standby, 4),
    "kill-consumer": (kill_consumer, 4),
    "kill-worker": (kill_worker, 3),
    "kill-beat": (kill_beat, 3),
    "end-leader": (end_leader, 2),
    "stop-leader": (stop_leader, 2),
    "flush": (flush_store, 2),
    "restart-store-empty": (restart_store_empty, 1),
    "roll-store-back": (roll_store_back, 1),
    "kill-broker": (kill_broker, 1),
    "cut-store": (_through("store", TcpProxy.cut), 1),
    "stall-store": (_through("store", TcpProxy.stall), 1),
    "slow-store": (_through("store", lambda proxy: proxy.slow_down(SLOW_S)), 1),
    "half-close-store": (_through("store", TcpProxy.half_close), 1),
    "cut-kafka": (_through("kafka", TcpProxy.cut), 1),
    "stall-kafka": (_through("kafka", TcpProxy.stall), 1),
    "slow-kafka": (_through("kafka", lambda proxy: proxy.slow_down(SLOW_S)), 1),
    "half-close-kafka": (_through("kafka", TcpProxy.half_close), 1),
}

WITH_BUFFER: Kinds = {
    "kill-consumer": (kill_consumer, 14),
    "end-consumer": (end_consumer, 3),
    "stop-consumer": (stop_consumer, 2),
    "kill-broker": (kill_broker, 2),
    "kill-leader": (kill_leader, 2),
    "flush": (flush_store, 1),
    "restart-store-empty": (restart_store_empty, 1),
}
"""For BufferedConsumers."""

IN_CLUSTER: Kinds = {"kill-leading-broker": (kill_leading_broker, 1)}

GROUPS: dict[str, tuple[str, ...]] = {
    "kill": ("kill-leader", "kill-standby", "kill-consumer", "kill-worker", "kill-beat"),
    "stop": ("stop-leader",),
    "term": ("end-leader",),
    "redis": ("restart-store-empty", "roll-store-back"),
    "broker": ("kill-broker", "kill-leading-broker"),
    "wire": tuple(name for name in KINDS if name.endswith(("-store", "-kafka"))),
}
"""Names of groups for goals."""
