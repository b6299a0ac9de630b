"""The setups of a round, with one broker or three: started, run and checked."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.buffered_consumer import CONSUMER_PROTOCOL
from tests.system.outages.rounds.brokers import Brokers, cluster, single
from tests.system.outages.rounds.faults import IN_CLUSTER, KINDS, WITH_BUFFER, Kinds
from tests.system.outages.rounds.goals import Goals
from tests.system.outages.rounds.observed_clock import Plan
from tests.system.outages.rounds.report import Outcome, conclude
from tests.system.outages.rounds.runner import TOGETHER, run_round
from tests.system.outages.rounds.supervised_installation import REPLICAS, SupervisedInstallation

Enough = Callable[[Goals], bool]
Progress = Callable[[str], None]

STEADY, CROWD, FAST = "steady", "crowd", "fast"
CLASSIC, KIP_848 = "classic", "kip848"
SPEED = 100
CROWD_CLOCKS = 39
"""With the steady clock 40, over all 16 logs."""
CROWD_INTERVAL_S = 2


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
    crowd: int = CROWD_CLOCKS,
) -> Outcome:
    """Every kind of fault: one clock with many partitions that ticks each second, and a crowd of clocks in all logs."""
    plans = [Plan(STEADY, partitions, consumers), _crowd(crowd)]
    title = f"one broker, {crowd + 1} clocks, {partitions} partitions, {len(REPLICAS)} replicas, seed {seed}"
    with _started(folder, single(REPLICAS), plans) as target:
        done = run_round(target, seed, enough, goals, kinds, progress, together)
        return conclude(title, target, done)


def with_buffer(
    folder: Path,
    seed: int,
    enough: Enough,
    goals: Goals,
    progress: Progress,
    *,
    partitions: int = 8,
    consumers: int = 3,
    together: float = TOGETHER,
) -> Outcome:
    """BufferedConsumers of both rebalance protocols, whose sinks fail, are slow and hang; each topic has a clock."""
    plans = [
        Plan(CLASSIC, partitions, consumers, buffered="cooperative-sticky"),
        Plan(KIP_848, partitions, consumers, buffered=CONSUMER_PROTOCOL),
    ]
    title = f"BufferedConsumers, 2 clocks, {partitions} partitions each, {len(REPLICAS)} replicas, seed {seed}"
    with _started(folder, single(REPLICAS), plans) as target:
        done = run_round(target, seed, enough, goals, WITH_BUFFER, progress, together)
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
    crowd: int = CROWD_CLOCKS,
) -> Outcome:
    """The brokers that lead logs are killed. One clock ticks each second, one commits without a pause, and a crowd of
    clocks is in all logs."""
    plans = [Plan(STEADY, partitions, consumers), Plan(FAST, 2, 1, speed=SPEED), _crowd(crowd)]
    title = f"three brokers, {crowd + 2} clocks, {len(REPLICAS)} replicas, seed {seed}"
    with _started(folder, cluster(), plans) as target:
        done = run_round(target, seed, enough, goals, IN_CLUSTER, progress, 0.0)
        return conclude(title, target, done)


@contextmanager
def _started(
    folder: Path, brokers: AbstractContextManager[Brokers], plans: Sequence[Plan]
) -> Iterator[SupervisedInstallation]:
    with (
        ValkeyServer(data_dir=folder / "valkey") as valkey,
        brokers as started,
        SupervisedInstallation(folder, started, valkey, plans) as target,
    ):
        yield target


def _crowd(clocks: int) -> Plan:
    return Plan(CROWD, 4, 1, clocks=clocks, interval_s=CROWD_INTERVAL_S)
