"""Lost data must come back."""

from clocksvc.clock.partition import Partition
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.liveness.expectation import Expectation, bring_consumers_back, some_waited_for


def wiped_while_quiet(context: FaultContext) -> Expectation:
    """No record comes in any partition, and the store is emptied: consumers repeat what they have seen."""
    environment = context.environment
    environment.muted.update(environment.partitions())
    context.processes.beat_link.kafka_cut = True
    before: dict[Partition, int] = {}
    wiped = False

    def wipe() -> None:
        nonlocal wiped
        wiped = True
        for partition, owner in environment.owners.items():
            if environment.truth(partition).lies:
                continue  # a number that was rejected may have taken good ones with it, until the next record
            known_ms = environment.store._state.clocks.get(partition) or 0
            before[partition] = min(known_ms, context.processes.consumers[owner].seen.get(partition, 0))
        environment.wipe_store()

    def missing() -> str:
        now = environment.store._state.clocks
        lost = [f"{one} at {known_ms}" for one, known_ms in before.items() if (now.get(one) or 0) < known_ms]
        if not wiped:
            return "the store is not emptied yet"
        return f"the store had {', '.join(lost)}" if lost else ""

    def end() -> None:
        environment.muted.clear()
        context.processes.beat_link.heal()

    context.scheduler.later(2.0, wipe)
    return Expectation(frozenset(), end, word="untold", missing=missing)


def rolled_back_while_holding(context: FaultContext) -> Expectation:
    """The clock holds, and the store loses the last tick but not the lease: its stream must end with it again."""
    environment, partition = context.environment, some_waited_for(context)
    environment.snapshot_before_publish = True
    environment.snapshots.clear()
    rolled_back = False

    def hold() -> None:
        if not environment.snapshots:
            context.scheduler.later(0.2, hold)  # no tick has come since: there is none to lose yet
            return
        environment.cut.add(partition)
        context.processes.rebalance()
        look()

    def look() -> None:
        nonlocal rolled_back
        if context.scheduler.now_ms - context.oracle.committed_at_ms < 1_400:
            context.scheduler.later(0.2, look)
        else:
            environment.roll_store_back(environment.snapshots[-1])
            rolled_back = True

    def missing() -> str:
        stream = environment.store._state.ticks
        if not rolled_back:
            return "the store is not rolled back yet"
        return (
            "" if stream and stream[-1].at_ms == context.oracle.last else f"the store's stream ends with {stream[-1:]}"
        )

    def end() -> None:
        environment.snapshot_before_publish = False
        bring_consumers_back(context)

    context.scheduler.later(2.5, hold)
    return Expectation(frozenset(), end, word="lost", missing=missing)
