"""A store that forgets, or is out of reach."""

from typing import Any

from tests.simulation.faults.of_kafka import add_partition
from tests.simulation.faults.stage import Stage, for_a_while
from tests.simulation.hub import Task


def wipe_store(stage: Stage) -> None:
    """FLUSHALL."""
    stage.world.wipe_store()


def roll_store_back(stage: Stage) -> None:
    """The store comes back from an old snapshot."""
    snapshots = stage.world.snapshots
    if snapshots:
        stage.oracle.standing.store_forgot()
        stage.world.roll_store_back(snapshots[-1] if stage.rng.random() < 0.6 else stage.rng.choice(snapshots))


def roll_store_back_soon(stage: Stage) -> None:
    """The store's last moments are lost: a replica that lagged takes over, while the lease is still good."""
    state = stage.world.store.copy_state()

    def roll_back() -> None:
        stage.oracle.standing.store_forgot()
        stage.world.roll_store_back(state)

    stage.hub.later(stage.rng.choice((0.02, 0.1, 0.4, 1.0, 2.5)), roll_back)
    if stage.rng.random() < 0.4:
        add_partition(stage)


def lose_a_tick_before_the_next(stage: Stage) -> None:
    """The store loses a tick that it had, right before it is given the one after it; the lease is still good."""
    hub, world = stage.hub, stage.world
    world.snapshot_before_publish = True

    def lose(task: Task) -> None:
        world.snapshot_before_publish = False
        hub.say(f"{task.process} is caught: the tick before is lost")
        stage.oracle.standing.store_forgot()
        world.roll_store_back(world.snapshots[-1])

    def arm(task: Task) -> None:
        hub.ambushes["store.publish"] = lose

    hub.ambushes["store.publish done"] = arm


def break_store(stage: Stage) -> None:
    """The store does not answer for a while."""
    for_a_while(stage, stage.world.store, "broken")


def cut_store(stage: Stage) -> None:
    """One replica, or one consumer, does not reach the store for a while."""
    for_a_while(stage, someones_link(stage), "store_cut")


def lose_answers(stage: Stage) -> None:
    """The store does what one process wants, and its answer never comes."""
    someones_link(stage).answers_lost += stage.rng.randrange(1, 3)


def lose_wake_up(stage: Stage) -> None:
    """The word that wakes the leader is gone."""
    stage.world.store._state.woken = False


def someones_link(stage: Stage) -> Any:
    if stage.rng.random() < 0.25:
        return stage.processes.consumers[stage.some(stage.processes.consumers)].link
    name = stage.leading()
    return stage.processes.beat_link if name is None else stage.processes.replicas[name].link
