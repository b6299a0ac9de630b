"""A store that loses data, or can't be reached."""

from typing import Any

from tests.simulation.faults.fault_context import FaultContext, for_a_while
from tests.simulation.faults.kafka_faults import add_partition
from tests.simulation.scheduler import Task


def wipe_store(context: FaultContext) -> None:
    """FLUSHALL."""
    context.environment.wipe_store()


def roll_store_back(context: FaultContext) -> None:
    """The store is rolled back to an old snapshot."""
    snapshots = context.environment.snapshots
    if snapshots:
        context.oracle.standing.store_forgot()
        context.environment.roll_store_back(
            snapshots[-1] if context.rng.random() < 0.6 else context.rng.choice(snapshots)
        )


def roll_store_back_soon(context: FaultContext) -> None:
    """The store loses its last moments: a replica that lagged takes over, while the lease is still valid."""
    state = context.environment.store.copy_state()

    def roll_back() -> None:
        context.oracle.standing.store_forgot()
        context.environment.roll_store_back(state)

    context.scheduler.later(context.rng.choice((0.02, 0.1, 0.4, 1.0, 2.5)), roll_back)
    if context.rng.random() < 0.4:
        add_partition(context)


def lose_a_tick_before_the_next(context: FaultContext) -> None:
    """The store loses a tick right before the next one is published; the lease is still valid."""
    scheduler, environment = context.scheduler, context.environment
    environment.snapshot_before_publish = True

    def lose(task: Task) -> None:
        environment.snapshot_before_publish = False
        scheduler.say(f"{task.process} is hit: the tick before is lost")
        context.oracle.standing.store_forgot()
        environment.roll_store_back(environment.snapshots[-1])

    def arm(task: Task) -> None:
        scheduler.traps["store.publish"] = lose

    scheduler.traps["store.publish done"] = arm


def break_store(context: FaultContext) -> None:
    """The store does not answer for a while."""
    for_a_while(context, context.environment.store, "broken")


def cut_store(context: FaultContext) -> None:
    """One replica, or one consumer, can't reach the store for a while."""
    for_a_while(context, someones_link(context), "store_cut")


def lose_answers(context: FaultContext) -> None:
    """The store executes a call of one process, and its answer is lost."""
    someones_link(context).answers_lost += context.rng.randrange(1, 3)


def lose_wake_up(context: FaultContext) -> None:
    """The notification of the leader is lost."""
    context.environment.store._state.notified = False


def someones_link(context: FaultContext) -> Any:
    if context.rng.random() < 0.25:
        return context.processes.consumers[context.some(context.processes.consumers)].link
    name = context.leading()
    return context.processes.beat_link if name is None else context.processes.replicas[name].link
