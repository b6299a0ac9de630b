"""Processes that are killed, stopped, or rebalanced."""

from tests.simulation.faults.fault_context import PAUSES_S, FaultContext

JUMPS_MS = (2_000, 5_000, 25_000, 61_000)


def crash_leader(context: FaultContext) -> None:
    """SIGKILL of a replica, and a new one in its place."""
    name = context.leading(context.log()) if context.rng.random() < 0.7 else context.some(context.processes.replicas)
    if name is not None:
        replace_replica(context, name)


def replace_replica(context: FaultContext, name: str) -> None:
    """SIGKILL of a replica, and a new one with the same configuration."""
    specs = context.processes.replicas[name].specs
    context.processes.kill_replica(name)
    context.processes.start_replica(specs, context.rng.choice((0, 0, -300, 300)))


def terminate_leader(context: FaultContext) -> None:
    """SIGTERM: it finishes its step and leaves; a new one takes its place."""
    name = context.leading()
    if name is not None:
        context.processes.replicas[name].leaving = True
        context.processes.start_replica(context.processes.replicas[name].specs)


def add_replica(context: FaultContext) -> None:
    """One more replica: a log may move to it."""
    if len(context.processes.replicas) < 4:
        context.processes.start_replica()


def pause_leader(context: FaultContext) -> None:
    """SIGSTOP for longer than a lease, or shorter; SIGCONT."""
    name = context.leading(context.log())
    if name is not None:
        context.scheduler.stop(name, context.scheduler.now_ms + int(context.rng.choice(PAUSES_S) * 1000))


def crash_step_of_leader(context: FaultContext) -> None:
    """A bug in the middle of a step."""
    link = context.leaders_link(context.log())
    if link is not None:
        link.crash = True


def crash_consumer(context: FaultContext) -> None:
    """SIGKILL, and a new one in its place."""
    consumer = context.processes.consumers[context.some(context.processes.consumers)]
    skew_ms = context.rng.choice((0, 0, -1_000, 1_000))
    context.processes.start_consumer(consumer.clock, consumer.group, skew_ms)
    context.processes.kill_consumer(consumer.name)


def pause_consumer(context: FaultContext) -> None:
    """SIGSTOP: the group reassigns its partitions, and it goes on as a zombie."""
    consumer = context.processes.consumers[context.some(context.processes.consumers)]
    context.scheduler.stop(consumer.name, context.scheduler.now_ms + int(context.rng.choice(PAUSES_S) * 1000))
    others = [one for one in context.processes.consumers.values() if one.group == consumer.group]
    for owned, owner in context.environment.owners.items():
        if owner == consumer.name:
            context.environment.owners[owned] = context.some(one.name for one in others if owned[1].topic in one.topics)


def rebalance(context: FaultContext) -> None:
    """A rebalance without a dead consumer."""
    context.processes.rebalance()


def jump(context: FaultContext) -> None:
    """No process runs for a while, but time passes."""
    context.scheduler.now_ms += context.rng.choice(JUMPS_MS)


def lose_a_long_night(context: FaultContext) -> None:
    """No process runs for a quarter of an hour and more, and the store is lost after the catch-up: restoring its
    streams takes more than one pass."""
    context.scheduler.now_ms += context.rng.choice((1_100_000, 1_700_000))
    context.scheduler.later(context.rng.uniform(1.0, 4.0), lambda: lose_store(context))


def lose_store(context: FaultContext) -> None:
    """FLUSHALL."""
    context.environment.wipe_store()
    context.judge.store_lost()
