"""Processes that are killed, stopped, or rebalanced."""

from tests.simulation.faults.fault_context import PAUSES_S, FaultContext

JUMPS_MS = (2_000, 5_000, 25_000, 61_000)


def crash_leader(context: FaultContext) -> None:
    """SIGKILL of a replica, and a new one in its place."""
    name = context.leading() if context.rng.random() < 0.7 else context.some(context.processes.replicas)
    if name is not None:
        replace_replica(context, name)


def replace_replica(context: FaultContext, name: str) -> None:
    """SIGKILL of a replica, and a new one with the same configuration."""
    spec = context.processes.replicas[name].spec
    context.processes.kill_replica(name)
    context.processes.start_replica(spec, context.rng.choice((0, 0, -300, 300)))


def terminate_leader(context: FaultContext) -> None:
    """SIGTERM: it finishes its step and leaves; a new one takes its place."""
    name = context.leading()
    if name is not None:
        context.processes.replicas[name].leaving = True
        context.processes.start_replica(context.processes.replicas[name].spec)


def pause_leader(context: FaultContext) -> None:
    """SIGSTOP for longer than a lease, or shorter; SIGCONT."""
    name = context.leading()
    if name is not None:
        context.scheduler.stop(name, context.scheduler.now_ms + int(context.rng.choice(PAUSES_S) * 1000))


def crash_step_of_leader(context: FaultContext) -> None:
    """A bug in the middle of a step."""
    name = context.leading()
    if name is not None:
        context.processes.replicas[name].link.crash = True


def crash_consumer(context: FaultContext) -> None:
    """SIGKILL, and a new one in its place."""
    name = context.some(context.processes.consumers)
    context.processes.start_consumer(context.rng.choice((0, 0, -1_000, 1_000)))
    context.processes.kill_consumer(name)


def pause_consumer(context: FaultContext) -> None:
    """SIGSTOP: the group reassigns its partitions, and it goes on as a zombie."""
    name = context.some(context.processes.consumers)
    context.scheduler.stop(name, context.scheduler.now_ms + int(context.rng.choice(PAUSES_S) * 1000))
    for partition, owner in context.environment.owners.items():
        if owner == name:
            context.environment.owners[partition] = context.some(context.processes.consumers)


def rebalance(context: FaultContext) -> None:
    """A rebalance without a dead consumer."""
    context.processes.rebalance()


def jump(context: FaultContext) -> None:
    """No process runs for a while, but time passes."""
    context.scheduler.now_ms += context.rng.choice(JUMPS_MS)


def lose_a_long_night(context: FaultContext) -> None:
    """No process runs for a quarter of an hour and more, and the store is lost after the catch-up: rebuilding its
    stream takes more than one batch."""
    context.scheduler.now_ms += 1_100_000
    context.scheduler.later(context.rng.uniform(1.0, 4.0), context.environment.wipe_store)
