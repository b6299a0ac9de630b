"""What must follow from a condition that lasts, and what several conditions need."""

from collections.abc import Callable
from dataclasses import dataclass

from clocksvc.clock.partition import Partition
from tests.simulation.faults.fault_context import FaultContext

Named = set[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must follow from a condition.

    Attributes:
        reasons: the holds that may be shown; none for a clock that must go on.
        partitions: the ones that must be named; None for any.
        missing: instead of a hold: what is not yet as it must be, as text; "" once it is.
        flickers: each repeated report is the newest one for a moment, and hides the hold.
        word: what a failure begins with.
        end: ends the condition.
    """

    reasons: frozenset[str]
    end: Callable[[], None]
    partitions: Named | None = None
    word: str = "silent"
    missing: Callable[[], str] | None = None
    flickers: bool = False


LivenessCondition = Callable[[FaultContext], Expectation]


def holds(*reasons: str, end: Callable[[], None], partitions: Named | None = None, word: str = "silent") -> Expectation:
    """The clock must hold, for one of these reasons."""
    return Expectation(frozenset(reasons), end, partitions, word)


def goes_on(end: Callable[[], None]) -> Expectation:
    """The clock must go on."""
    return Expectation(frozenset(), end, word="dead")


def restart(context: FaultContext) -> None:
    """Replace all replicas at once: no leader keeps anything in memory."""
    for name in sorted(context.processes.replicas):
        context.processes.kill_replica(name)
    start_replicas(context)


def start_replicas(context: FaultContext) -> None:
    """Start two replicas."""
    for _ in range(2):
        context.processes.start_replica()


def some_waited_for(context: FaultContext) -> Partition:
    """A partition that is not excluded."""
    partition: Partition = context.some(set(context.environment.partitions()) - set(context.oracle.standing.excluded))
    return partition


def bring_consumers_back(context: FaultContext) -> None:
    """Every partition is read again."""
    context.environment.cut.clear()
    context.processes.rebalance()
