"""Faults of consumers, producers, heartbeats and clocks."""

from tests.simulation.faults.fault_context import WHILES_S, FaultContext, for_a_while
from tests.simulation.world.environment import MINUTES_MS


def delay_reports(context: FaultContext) -> None:
    """Reports come later, or twice, or after those that were sent after them."""
    postman = context.processes.consumers[context.some(context.processes.consumers)].postman
    postman.next += context.rng.choices(("late", "twice", ""), k=context.rng.randrange(1, 6))


def watch_from_the_end(context: FaultContext) -> None:
    """A canary of another group reads from the end and reports."""
    if not context.scheduler.alive("canary"):
        context.processes.start_canary(context.clock())


def poison(context: FaultContext) -> None:
    """A record with a timestamp far ahead, in another unit, or with none, among good ones; its reader may have a wrong
    clock too."""
    partition, now_ms = context.partition(), context.scheduler.now_ms
    ahead_ms = context.rng.choice((70_000, 120_000, 200_000, 340_000, 1_800_000, 10**9))
    draw = context.rng.random()
    wrong_ms = -1 if draw < 0.15 else now_ms // 1_000 if draw < 0.25 else now_ms * 1_000 if draw < 0.3 else None
    context.environment.poison(partition, now_ms + ahead_ms if wrong_ms is None else wrong_ms)
    owners = sorted(owner for (_, one), owner in context.environment.owners.items() if one == partition)
    for owner in owners:
        if owner in context.processes.consumers and context.rng.random() < 0.4:
            context.processes.consumers[owner].time.skew(max(MINUTES_MS))


def mute(context: FaultContext) -> None:
    """A partition gets no more records, or gets records again."""
    context.environment.muted ^= {context.partition()}


def cut_partition(context: FaultContext) -> None:
    """A partition has no reader in one group for a while."""
    environment, clock = context.environment, context.clock()
    owned = (environment.clocks[clock].spec.group, context.partition(clock))
    environment.cut.add(owned)
    environment.owners.pop(owned, None)

    def heal() -> None:
        environment.cut.discard(owned)
        if owned[1] in environment.partitions():
            context.processes.rebalance(owned[0])

    context.scheduler.later(context.rng.choice(WHILES_S), heal)


def lose_heartbeats(context: FaultContext) -> None:
    """Heartbeats are not delivered for a while."""
    for_a_while(context, context.processes.heartbeat_link, "kafka_cut")


def skew(context: FaultContext) -> None:
    """A clock is wrong by minutes. The store's only jumps ahead: what it stored with a TTL must not last for ever."""
    processes, rng = context.processes, context.rng
    which = rng.choice(("leader", "leader", "store", "consumer", "beat"))
    if which == "leader" and processes.replicas:
        processes.replicas[context.some(processes.replicas)].time.skew(rng.choice((0, *MINUTES_MS)))
    elif which == "store":
        context.environment.time.skew(max(MINUTES_MS))
        context.judge.announcements_expired()
    elif which == "consumer":
        processes.consumers[context.some(processes.consumers)].time.skew(rng.choice((0, *MINUTES_MS)))
    else:
        processes.heartbeat_time.skew(rng.choice((0, *MINUTES_MS)))
