"""Faults of consumers, producers, heartbeats and clocks."""

from tests.simulation.environment import MINUTES_MS
from tests.simulation.faults.fault_context import WHILES_S, FaultContext, for_a_while


def delay_reports(context: FaultContext) -> None:
    """Reports come later, or twice, or after those that were sent after them."""
    postman = context.processes.consumers[context.some(context.processes.consumers)].postman
    postman.next += context.rng.choices(("late", "twice", ""), k=context.rng.randrange(1, 6))


def watch_from_the_end(context: FaultContext) -> None:
    """A canary of another group reads from the end and reports."""
    if not context.scheduler.alive("canary"):
        context.processes.start_canary()


def poison(context: FaultContext) -> None:
    """A record with a timestamp far ahead, or with none, among good ones; its reader may have a wrong clock too."""
    partition = context.some(context.environment.partitions())
    ahead_ms = context.rng.choice((70_000, 120_000, 200_000, 340_000, 1_800_000, 10**9))
    context.environment.poison(partition, -1 if context.rng.random() < 0.15 else context.scheduler.now_ms + ahead_ms)
    owner = context.environment.owners.get(partition)
    if owner in context.processes.consumers and context.rng.random() < 0.4:
        context.processes.consumers[owner].time.skew(max(MINUTES_MS))


def mute(context: FaultContext) -> None:
    """A partition gets no more records, or gets records again."""
    context.environment.muted ^= {context.some(context.environment.partitions())}


def cut_partition(context: FaultContext) -> None:
    """A partition has no reader for a while."""
    environment, partition = context.environment, context.some(context.environment.partitions())
    environment.cut.add(partition)
    environment.owners.pop(partition, None)

    def heal() -> None:
        environment.cut.discard(partition)
        if partition in environment.partitions():
            environment.owners[partition] = context.some(context.processes.consumers)

    context.scheduler.later(context.rng.choice(WHILES_S), heal)


def lose_heartbeats(context: FaultContext) -> None:
    """Heartbeats are not delivered for a while."""
    for_a_while(context, context.processes.beat_link, "kafka_cut")


def skew(context: FaultContext) -> None:
    """A clock is wrong by minutes. The store's only jumps ahead: what it stored with a TTL must not last for ever."""
    processes, rng = context.processes, context.rng
    whose = rng.choice(("leader", "leader", "store", "consumer", "beat"))
    if whose == "leader" and processes.replicas:
        processes.replicas[context.some(processes.replicas)].time.skew(rng.choice((0, *MINUTES_MS)))
    elif whose == "store":
        context.environment.time.skew(max(MINUTES_MS))
        processes.announcements_expired()
    elif whose == "consumer":
        processes.consumers[context.some(processes.consumers)].time.skew(rng.choice((0, *MINUTES_MS)))
    else:
        processes.beat_time.skew(rng.choice((0, *MINUTES_MS)))
