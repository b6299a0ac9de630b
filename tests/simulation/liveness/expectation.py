"""What must follow from a condition that lasts, and what several conditions need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from tests.simulation.faults.fault_context import FaultContext

Named = set[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must follow from a condition.

    Attributes:
        clocks: the clocks that the condition concerns.
        reasons: the holds that may be shown; none for clocks that must go on.
        partitions: by clock, the ones that must be named; a clock that is absent may name any.
        others: clocks that must go on meanwhile.
        missing: instead of a hold: what is not yet as it must be, as text; "" once it is.
        flickers: each repeated report is the newest one for a moment, and hides the hold.
        within_ms: the time after which the hold must be shown.
        word: what a failure begins with.
        end: ends the condition.
    """

    clocks: tuple[str, ...]
    reasons: frozenset[str]
    end: Callable[[], None]
    partitions: Mapping[str, Named] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    word: str = "silent"
    missing: Callable[[], str] | None = None
    flickers: bool = False
    within_ms: int | None = None


LivenessCondition = Callable[[FaultContext], Expectation]


def holds(
    clocks: tuple[str, ...],
    *reasons: str,
    end: Callable[[], None],
    partitions: Mapping[str, Named] | None = None,
    others: tuple[str, ...] = (),
    word: str = "silent",
) -> Expectation:
    """Clocks must hold, for one of these reasons."""
    return Expectation(clocks, frozenset(reasons), end, partitions or {}, others, word)


def goes_on(context: FaultContext, end: Callable[[], None]) -> Expectation:
    """All clocks must go on."""
    return Expectation(all_clocks(context), frozenset(), end, word="dead")


def all_clocks(context: FaultContext) -> tuple[str, ...]:
    """Return all clocks."""
    return tuple(context.environment.clocks)


def clocks_of_log(context: FaultContext, log: int) -> tuple[str, ...]:
    """Return the clocks of a log."""
    return tuple(name for name in context.environment.clocks if log_of(name) == log)


def others(context: FaultContext, *clocks: str) -> tuple[str, ...]:
    """Return all clocks but these."""
    return tuple(name for name in context.environment.clocks if name not in clocks)


def restart(context: FaultContext) -> None:
    """Replace all replicas at once: no leader keeps anything in memory."""
    for name in sorted(context.processes.replicas):
        context.processes.kill_replica(name)
    start_replicas(context)


def start_replicas(context: FaultContext) -> None:
    """Start two replicas."""
    for _ in range(2):
        context.processes.start_replica()


def group_of(context: FaultContext, clock: str) -> str:
    """Return the present group of a clock."""
    return context.environment.clocks[clock].spec.group


def required_partition(context: FaultContext, clock: str) -> Partition:
    """A partition of a clock that is not excluded."""
    present = set(context.environment.clock_partitions(clock))
    partition: Partition = context.some(present - set(context.judge.clock(clock).standing.excluded))
    return partition


def bring_consumers_back(context: FaultContext) -> None:
    """Every partition is read again."""
    context.environment.cut.clear()
    context.processes.rebalance()
