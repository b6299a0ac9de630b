"""The two worlds in which rounds are played, from start to judgement."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.rounds.brokers import (
    cluster,
    single,
)
from tests.system.outages.rounds.faults import (
    IN_CLUSTER,
    KINDS,
    Kinds,
)
from tests.system.outages.rounds.goals import Goals
from tests.system.outages.rounds.play import (
    TOGETHER,
    play,
)
from tests.system.outages.rounds.report import (
    Outcome,
    conclude,
)
from tests.system.outages.rounds.watched import Plan
from tests.system.outages.rounds.world import (
    REPLICAS,
    World,
)

Enough = Callable[[Goals], bool]
Say = Callable[[str], None]

STEADY, FAST = "steady", "fast"
SPEED = 100


def one_broker(
    folder: Path,
    seed: int,
    enough: Enough,
    goals: Goals,
    say: Say,
    *,
    partitions: int = 32,
    consumers: int = 4,
    kinds: Kinds = KINDS,
    together: float = TOGETHER,
) -> Outcome:
    """Every kind of fault, upon one clock that ticks each second."""
    plans = [Plan(STEADY, partitions, consumers)]
    title = f"one broker, {partitions} partitions, {consumers} consumers, {len(REPLICAS)} replicas, seed {seed}"
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer(data_dir=folder / "valkey"))
        brokers = stack.enter_context(single(REPLICAS))
        world = stack.enter_context(World(folder, brokers, valkey, plans))
        played = play(world, seed, enough, goals, kinds, say, together)
        return conclude(title, world, played)


def three_brokers(
    folder: Path, seed: int, enough: Enough, goals: Goals, say: Say, *, partitions: int = 12, consumers: int = 2
) -> Outcome:
    """A clock that ticks each second, and one that commits without a pause; the brokers that lead their logs die."""
    plans = [Plan(STEADY, partitions, consumers), Plan(FAST, 2, 1, speed=SPEED)]
    title = f"three brokers, {partitions} and 2 partitions, {len(REPLICAS)} replicas, seed {seed}"
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer(data_dir=folder / "valkey"))
        brokers = stack.enter_context(cluster())
        world = stack.enter_context(World(folder, brokers, valkey, plans))
        played = play(world, seed, enough, goals, IN_CLUSTER, say, 0.0)
        return conclude(title, world, played)
