"""What was lost must come back."""

from clocksvc.clock.partition import Partition
from tests.simulation.faults.stage import Stage
from tests.simulation.vigils.expected import Expected, bring_consumers_back, some_waited_for


def wiped_while_quiet(stage: Stage) -> Expected:
    """No record comes anywhere, and the store is emptied: consumers repeat what they have seen."""
    world = stage.world
    world.muted.update(world.partitions())
    stage.processes.beat_link.kafka_cut = True
    before: dict[Partition, int] = {}
    wiped = False

    def wipe() -> None:
        nonlocal wiped
        wiped = True
        for partition, owner in world.owners.items():
            if world.truth(partition).lies:
                continue  # a number that was refused may have taken good ones with it, until the next record
            known_ms = world.store._state.clocks.get(partition) or 0
            before[partition] = min(known_ms, stage.processes.consumers[owner].seen.get(partition, 0))
        world.wipe_store()

    def missing() -> str:
        now = world.store._state.clocks
        lost = [f"{one} at {known_ms}" for one, known_ms in before.items() if (now.get(one) or 0) < known_ms]
        if not wiped:
            return "the store is not emptied yet"
        return f"the store had {', '.join(lost)}" if lost else ""

    def end() -> None:
        world.muted.clear()
        stage.processes.beat_link.heal()

    stage.hub.later(2.0, wipe)
    return Expected(frozenset(), end, word="untold", missing=missing)


def rolled_back_while_holding(stage: Stage) -> Expected:
    """The clock holds, and the store loses the last tick but not the lease: its stream must end with it again."""
    world, partition = stage.world, some_waited_for(stage)
    world.snapshot_before_publish = True
    world.snapshots.clear()
    rolled_back = False

    def hold() -> None:
        if not world.snapshots:
            stage.hub.later(0.2, hold)  # no tick has come since: there is none yet to lose
            return
        world.cut.add(partition)
        stage.processes.rebalance()
        look()

    def look() -> None:
        nonlocal rolled_back
        if stage.hub.now_ms - stage.oracle.committed_at_ms < 1_400:
            stage.hub.later(0.2, look)
        else:
            world.roll_store_back(world.snapshots[-1])
            rolled_back = True

    def missing() -> str:
        stream = world.store._state.ticks
        if not rolled_back:
            return "the store is not rolled back yet"
        return "" if stream and stream[-1].at_ms == stage.oracle.last else f"the store's stream ends with {stream[-1:]}"

    def end() -> None:
        world.snapshot_before_publish = False
        bring_consumers_back(stage)

    stage.hub.later(2.5, hold)
    return Expected(frozenset(), end, word="lost", missing=missing)
