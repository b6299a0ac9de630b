"""A store that loses data, or can't be reached."""

from typing import Any

from tests.simulation.faults.fault_context import FaultContext, for_a_while
from tests.simulation.faults.kafka_faults import add_partition
from tests.simulation.faults.process_faults import crash_leader, lose_store
from tests.simulation.world.scheduler import Task


def wipe_store(context: FaultContext) -> None:
    """FLUSHALL."""
    lose_store(context)


def wipe_store_twice(context: FaultContext) -> None:
    """FLUSHALL, and once more while the history is restored; or the leader dies in the middle of it."""
    lose_store(context)
    scheduler, again = context.scheduler, context.rng.random() < 0.5

    def hit(task: Task) -> None:
        scheduler.say(f"{task.process} is hit while it restores")
        if again:
            lose_store(context)
        else:
            crash_leader(context)

    scheduler.traps["leader.finish_restoring"] = hit


def roll_store_back(context: FaultContext) -> None:
    """The store is rolled back to an old snapshot: by a restart, or by a failover to a replica that lagged."""
    snapshots = context.environment.access.snapshots
    if snapshots:
        state = snapshots[-1] if context.rng.random() < 0.6 else context.rng.choice(snapshots)
        roll_back_to(context, state, failover=context.rng.random() < 0.5)


def roll_back_to(context: FaultContext, state: Any, *, failover: bool = False) -> None:
    """Replace the store's content by an older one."""
    context.environment.roll_store_back(state, failover=failover)
    context.judge.store_lost()


def roll_store_back_soon(context: FaultContext) -> None:
    """The store loses its last moments: a replica that lagged takes over, while the leases are still valid."""
    state = context.environment.access.copy()
    seconds = context.rng.choice((0.02, 0.1, 0.4, 1.0, 2.5))
    context.scheduler.later(seconds, lambda: roll_back_to(context, state, failover=True))
    if context.rng.random() < 0.4:
        add_partition(context)


def lose_a_tick_before_the_next(context: FaultContext) -> None:
    """The store loses a tick right before the next one is published; the lease is still valid."""
    scheduler, access = context.scheduler, context.environment.access
    access.snapshot_before.add("publish")

    def lose(task: Task) -> None:
        access.snapshot_before.discard("publish")
        scheduler.say(f"{task.process} is hit: the tick before is lost")
        if access.snapshots:
            roll_back_to(context, access.snapshots[-1], failover=True)

    def arm(task: Task) -> None:
        scheduler.traps["leader.publish"] = lose

    scheduler.traps["leader.publish done"] = arm


def trim_notices(context: FaultContext) -> None:
    """Notices are trimmed before all replicas have read them."""
    access, log = context.environment.access, context.log()
    name = context.some(context.processes.replicas)
    if name is not None and context.rng.random() < 0.7:
        context.scheduler.stop(name, context.scheduler.now_ms + 4_000)
    context.scheduler.later(3.0, lambda: access.trim_notices(log))


def break_store(context: FaultContext) -> None:
    """The store does not answer for a while."""
    for_a_while(context, context.environment.access, "broken")


def cut_store(context: FaultContext) -> None:
    """One replica, or one consumer, can't reach the store for a while."""
    for_a_while(context, someones_link(context), "store_cut")


def lose_answers(context: FaultContext) -> None:
    """The store executes a call of one process, and its answer is lost."""
    someones_link(context).answers_lost += context.rng.randrange(1, 3)


def lose_notification(context: FaultContext) -> None:
    """The notification of a leader is lost."""
    context.environment.access.lose_notification(context.log())


def someones_link(context: FaultContext) -> Any:
    """The link of a consumer, of a leader, or of the heartbeats' worker."""
    if context.rng.random() < 0.25:
        return context.processes.consumers[context.some(context.processes.consumers)].link
    return context.leaders_link(context.log()) or context.processes.heartbeat_link
