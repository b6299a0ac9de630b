"""Lost data must come back."""

from clocksvc.clock.partition import Partition
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.process_faults import lose_store
from tests.simulation.faults.store_faults import roll_back_to
from tests.simulation.liveness.expectation import (
    Expectation,
    bring_consumers_back,
    group_of,
    required_partition,
)


def wiped_while_quiet(context: FaultContext) -> Expectation:
    """No record comes in any partition, and the store is emptied: consumers repeat what they have seen."""
    environment, clock = context.environment, context.clock()
    environment.muted.update(environment.partitions())
    context.processes.heartbeat_link.kafka_cut = True
    group, before = group_of(context, clock), dict[Partition, int]()
    wiped = False

    def wipe() -> None:
        nonlocal wiped
        wiped = True
        for (owning, partition), owner in environment.owners.items():
            if owning != group or environment.truth(group, partition).lies:
                continue  # a number that was rejected may have taken good ones with it, until the next record
            known_ms = environment.access.clocks(clock).get(partition) or 0
            before[partition] = min(known_ms, context.processes.consumers[owner].seen.get(partition, 0))
        lose_store(context)

    def missing() -> str:
        now = environment.access.clocks(clock)
        lost = [f"{one} at {known_ms}" for one, known_ms in before.items() if (now.get(one) or 0) < known_ms]
        if not wiped:
            return "the store is not emptied yet"
        return f"the store had {', '.join(lost)}" if lost else ""

    def end() -> None:
        environment.muted.clear()
        context.processes.heartbeat_link.heal()

    context.scheduler.later(2.0, wipe)
    return Expectation((clock,), frozenset(), end, word="unreported", missing=missing)


def rolled_back_while_holding(context: FaultContext) -> Expectation:
    """A clock holds, and the store loses the last tick but not the lease: its stream must end with it again."""
    environment, clock, access = context.environment, context.clock(), context.environment.access
    partition, group, judge = required_partition(context, clock), group_of(context, clock), context.judge.clock(clock)
    access.snapshot_before.add("publish")
    access.snapshots.clear()
    rolled_back = False

    def hold() -> None:
        if not access.snapshots:
            context.scheduler.later(0.2, hold)  # no tick has come since: there is none to lose yet
            return
        environment.cut.add((group, partition))
        context.processes.rebalance()
        look()

    def look() -> None:
        nonlocal rolled_back
        if context.scheduler.now_ms - judge.committed_at_ms < 1_400:
            context.scheduler.later(0.2, look)
        else:
            roll_back_to(context, access.snapshots[-1], failover=context.rng.random() < 0.5)
            rolled_back = True

    def missing() -> str:
        stream = access.ticks(clock)
        if not rolled_back:
            return "the store is not rolled back yet"
        return "" if stream and stream[-1].at_ms == judge.last else f"the store's stream ends with {stream[-1:]}"

    def end() -> None:
        access.snapshot_before.discard("publish")
        bring_consumers_back(context)

    context.scheduler.later(2.5, hold)
    return Expectation((clock,), frozenset(), end, word="lost", missing=missing)


def history_restored(context: FaultContext) -> Expectation:
    """The store is emptied: the history of every clock comes back, while the clocks go on."""
    access, lost = context.environment.access, False
    context.environment.access.snapshots.clear()

    def lose() -> None:
        nonlocal lost
        lost = True
        lose_store(context)

    def missing() -> str:
        if not lost:
            return "the store is not emptied yet"
        restoring = [name for name in context.environment.clocks if access.clock(name).restoring]
        absent = [name for name in context.environment.clocks if not access.ticks(name)]
        return f"restoring {restoring}, without ticks {absent}" if restoring or absent else ""

    context.scheduler.later(1.0, lose)
    clocks = tuple(context.environment.clocks)
    return Expectation(clocks, frozenset(), lambda: None, word="lost", missing=missing)
