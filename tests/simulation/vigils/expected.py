"""What must come of a condition that lasts, and what several of them need."""

from collections.abc import Callable
from dataclasses import dataclass

from clocksvc.clock.partition import Partition
from tests.simulation.faults.stage import Stage

Named = set[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a condition.

    Attributes:
        reasons: the holds that may be shown; none for a clock that must go on.
        partitions: the ones that must be named; None where it does not matter.
        missing: what is not yet as it must become, in words; "" once it is. In the place of a hold.
        flickers: each repeat of what was accepted before is the newest report for a moment.
        word: what a failure begins with.
        end: makes it good again.
    """

    reasons: frozenset[str]
    end: Callable[[], None]
    partitions: Named | None = None
    word: str = "silent"
    missing: Callable[[], str] | None = None
    flickers: bool = False


Vigil = Callable[[Stage], Expected]


def holds(*reasons: str, end: Callable[[], None], partitions: Named | None = None, word: str = "silent") -> Expected:
    """The clock must hold, for one of these reasons."""
    return Expected(frozenset(reasons), end, partitions, word)


def goes_on(end: Callable[[], None]) -> Expected:
    """The clock must go on."""
    return Expected(frozenset(), end, word="dead")


def restart(stage: Stage) -> None:
    """All replicas at once: no leader goes on with what it has in hand."""
    for name in sorted(stage.processes.replicas):
        stage.processes.kill_replica(name)
    start_replicas(stage)


def start_replicas(stage: Stage) -> None:
    """Two new ones."""
    for _ in range(2):
        stage.processes.start_replica()


def some_waited_for(stage: Stage) -> Partition:
    """A partition that is not excluded."""
    partition: Partition = stage.some(set(stage.world.partitions()) - set(stage.oracle.standing.excluded))
    return partition


def bring_consumers_back(stage: Stage) -> None:
    """Every partition is read again."""
    stage.world.cut.clear()
    stage.processes.rebalance()
