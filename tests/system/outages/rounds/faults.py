"""Faults by kind. Each brings one upon a world, mends what it broke, and returns; a new tick need not have come yet."""

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import redis

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.rounds.brokers import (
    Cluster,
    Single,
)
from tests.system.outages.rounds.wire import Wire
from tests.system.outages.rounds.world import (
    REPLICAS,
    World,
)
from tests.waiting import eventually

LEASE_S = 3.0
WHOLE_WITHIN_S = 60.0
SLOW_S = 0.1
IN_FLIGHT_S = 2.0
"""What is shown so soon after a broker's end may have been written before."""
WITHOUT_IT_S = 40.0
AT_THE_LEADER = 0.75
"""How often a wire that fails is the leader's."""

Bring = Callable[[World, random.Random], None]
Kinds = Mapping[str, tuple[Bring, int]]
"""Each with its weight."""


def kill_leader(world: World, rng: random.Random) -> None:
    """SIGKILL of the replica that leads."""
    _kill(world, world.until_leader(), rng)


def kill_standby(world: World, rng: random.Random) -> None:
    """SIGKILL of the replica that does not lead."""
    leader = world.until_leader()
    _kill(world, next(each for each in REPLICAS if each != leader), rng)


def kill_consumer(world: World, rng: random.Random) -> None:
    """SIGKILL of a consumer; its partitions go to the others."""
    _kill(world, rng.choice(sorted(world.consumers)), rng)


def kill_worker(world: World, rng: random.Random) -> None:
    """SIGKILL of the Celery worker."""
    _kill(world, "worker", rng)


def kill_beat(world: World, rng: random.Random) -> None:
    """SIGKILL of Celery's beat."""
    _kill(world, "beat", rng)


def end_leader(world: World, _: random.Random) -> None:
    """SIGTERM of the replica that leads."""
    name = world.until_leader()
    world.strike()
    world.end(name)
    world.restart(name)


def stop_leader(world: World, rng: random.Random) -> None:
    """SIGSTOP of the leader for longer than its lease, then SIGCONT: somebody else leads by then."""
    leader = world.until_leader()
    world.strike()
    pid = world.freeze(leader)
    try:
        world.pause(LEASE_S + rng.uniform(0.5, 3.0))
    finally:
        world.thaw(pid)


def flush_store(world: World, _: random.Random) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(world.valkey.url) as client:
        client.flushall()


def restart_store_empty(world: World, rng: random.Random) -> None:
    """Redis is killed and comes back with nothing."""
    _restart_store(world, rng, None)


def roll_store_back(world: World, rng: random.Random) -> None:
    """Redis is killed and comes back from a snapshot some seconds old."""
    with redis.Redis.from_url(world.valkey.url) as client:
        client.save()
    kept = _snapshot(world.valkey).with_suffix(".kept")
    shutil.copy(_snapshot(world.valkey), kept)
    world.pause(rng.uniform(1.0, 6.0))
    _restart_store(world, rng, kept)


def kill_broker(world: World, rng: random.Random) -> None:
    """SIGKILL of the one broker, and a restart on its data."""
    assert isinstance(world.kafka, Single)
    world.kafka.node.kill()
    world.pause(rng.choice([0.0, rng.uniform(0.5, 3.0)]))
    world.kafka.node.start()
    world.kafka.node.wait_ready()


def kill_leading_broker(world: World, rng: random.Random) -> None:
    """SIGKILL of the broker that leads a clock's tick log, in a cluster of three that is whole. It comes back
    once every clock ticks without it."""
    brokers, tick_log = world.kafka, rng.choice(world.clocks).tick_log
    assert isinstance(brokers, Cluster)
    eventually(brokers.whole, within=WHOLE_WITHIN_S, what="the cluster to be whole")
    node = brokers.nodes[eventually(lambda: brokers.leader_of(tick_log), within=WHOLE_WITHIN_S) or 0]
    world.pause(rng.uniform(0.0, 1.0))  # anywhere between two ticks
    world.strike()
    node.kill()
    world.until_ticked(world.faults[-1].at + IN_FLIGHT_S, within=WITHOUT_IT_S)
    node.start()
    node.wait_ready()


def _kill(world: World, name: str, rng: random.Random) -> None:
    """Some supervisors start a process anew at once, some after a while."""
    world.strike()
    world.kill(name)
    world.pause(rng.choice([0.0, rng.uniform(0.0, 1.5)]))
    world.restart(name)


def _restart_store(world: World, rng: random.Random, snapshot: Path | None) -> None:
    world.strike()
    world.valkey.kill()
    _snapshot(world.valkey).unlink(missing_ok=True)
    if snapshot is not None:
        shutil.copy(snapshot, _snapshot(world.valkey))
    world.pause(rng.choice([0.0, rng.uniform(0.0, LEASE_S + 1)]))
    world.valkey.start()
    world.valkey.wait_ready()


def _snapshot(valkey: ValkeyServer) -> Path:
    return valkey.directory / "dump.rdb"


def _through(wires: str, spoil: Callable[[Wire], None]) -> Bring:
    """One replica's way to the store, or to Kafka, is spoilt for a while; the other one's is not."""

    def bring(world: World, rng: random.Random) -> None:
        leader = world.until_leader()
        other = next(each for each in REPLICAS if each != leader)
        name = leader if rng.random() < AT_THE_LEADER else other
        wire = world.store_wires[name] if wires == "store" else world.kafka.wires[name]
        world.strike()
        spoil(wire)
        world.pause(rng.uniform(0.5, 2 * LEASE_S))
        wire.heal()

    return bring


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
    "cut-store": (_through("store", Wire.cut), 1),
    "stall-store": (_through("store", Wire.stall), 1),
    "slow-store": (_through("store", lambda wire: wire.slow_down(SLOW_S)), 1),
    "half-close-store": (_through("store", Wire.half_close), 1),
    "cut-kafka": (_through("kafka", Wire.cut), 1),
    "stall-kafka": (_through("kafka", Wire.stall), 1),
    "slow-kafka": (_through("kafka", lambda wire: wire.slow_down(SLOW_S)), 1),
    "half-close-kafka": (_through("kafka", Wire.half_close), 1),
}

IN_CLUSTER: Kinds = {"kill-leading-broker": (kill_leading_broker, 1)}

GROUPS: dict[str, tuple[str, ...]] = {
    "kill": ("kill-leader", "kill-standby", "kill-consumer", "kill-worker", "kill-beat"),
    "stop": ("stop-leader",),
    "term": ("end-leader",),
    "redis": ("restart-store-empty", "roll-store-back"),
    "broker": ("kill-broker", "kill-leading-broker"),
    "wire": tuple(name for name in KINDS if name.endswith(("-store", "-kafka"))),
}
"""Short words for goals."""
