"""The two setups of a round, one broker or three: started, run and checked."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.outages.rounds.brokers import cluster, single
from tests.system.outages.rounds.faults import IN_CLUSTER, KINDS, Kinds
from tests.system.outages.rounds.goals import Goals
from tests.system.outages.rounds.observed_clock import Plan
from tests.system.outages.rounds.report import Outcome, conclude
from tests.system.outages.rounds.runner import TOGETHER, run_round
from tests.system.outages.rounds.supervised_installation import REPLICAS, SupervisedInstallation

Enough = Callable[[Goals], bool]
Progress = Callable[[str], None]

STEADY, FAST = "steady", "fast"
SPEED = 100


def one_broker(
    folder: Path,
    seed: int,
    enough: Enough,
    goals: Goals,
    progress: Progress,
    *,
    partitions: int = 32,
    consumers: int = 4,
    kinds: Kinds = KINDS,
    together: float = TOGETHER,
) -> Outcome:
    """Every kind of fault, and one clock that ticks each second."""
    plans = [Plan(STEADY, partitions, consumers)]
    title = f"one broker, {partitions} partitions, {consumers} consumers, {len(REPLICAS)} replicas, seed {seed}"
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer(data_dir=folder / "valkey"))
        brokers = stack.enter_context(single(REPLICAS))
        target = stack.enter_context(SupervisedInstallation(folder, brokers, valkey, plans))
        done = run_round(target, seed, enough, goals, kinds, progress, together)
        return conclude(title, target, done)


def three_brokers(
    folder: Path,
    seed: int,
    enough: Enough,
    goals: Goals,
    progress: Progress,
    *,
    partitions: int = 12,
    consumers: int = 2,
) -> Outcome:
    """The brokers that lead the tick logs are killed. One clock ticks each second, one commits without a pause."""
    plans = [Plan(STEADY, partitions, consumers), Plan(FAST, 2, 1, speed=SPEED)]
    title = f"three brokers, {partitions} and 2 partitions, {len(REPLICAS)} replicas, seed {seed}"
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer(data_dir=folder / "valkey"))
        brokers = stack.enter_context(cluster())
        target = stack.enter_context(SupervisedInstallation(folder, brokers, valkey, plans))
        done = run_round(target, seed, enough, goals, IN_CLUSTER, progress, 0.0)
        return conclude(title, target, done)
