"""What consumers, producers and heartbeats do wrong, and clocks that are."""

from tests.simulation.faults.stage import WHILES_S, Stage, for_a_while
from tests.simulation.world import MINUTES_MS


def delay_reports(stage: Stage) -> None:
    """Reports come later, or twice, or after those that were sent after them."""
    postman = stage.processes.consumers[stage.some(stage.processes.consumers)].postman
    postman.next += stage.rng.choices(("late", "twice", ""), k=stage.rng.randrange(1, 6))


def watch_from_the_end(stage: Stage) -> None:
    """A canary of another group reads from the end and reports."""
    if not stage.hub.alive("canary"):
        stage.processes.start_canary()


def poison(stage: Stage) -> None:
    """A record with a timestamp far ahead, or with none, among good ones; who reads it may have a wrong clock too."""
    partition = stage.some(stage.world.partitions())
    ahead_ms = stage.rng.choice((70_000, 120_000, 200_000, 340_000, 1_800_000, 10**9))
    stage.world.poison(partition, -1 if stage.rng.random() < 0.15 else stage.hub.now_ms + ahead_ms)
    owner = stage.world.owners.get(partition)
    if owner in stage.processes.consumers and stage.rng.random() < 0.4:
        stage.processes.consumers[owner].time.skew(max(MINUTES_MS))


def mute(stage: Stage) -> None:
    """A partition falls silent, or speaks again."""
    stage.world.muted ^= {stage.some(stage.world.partitions())}


def cut_partition(stage: Stage) -> None:
    """Nobody reads a partition for a while."""
    world, partition = stage.world, stage.some(stage.world.partitions())
    world.cut.add(partition)
    world.owners.pop(partition, None)

    def heal() -> None:
        world.cut.discard(partition)
        if partition in world.partitions():
            world.owners[partition] = stage.some(stage.processes.consumers)

    stage.hub.later(stage.rng.choice(WHILES_S), heal)


def lose_heartbeats(stage: Stage) -> None:
    """Heartbeats don't get through for a while."""
    for_a_while(stage, stage.processes.beat_link, "kafka_cut")


def skew(stage: Stage) -> None:
    """A clock is wrong by minutes. The store's only jumps ahead: what it gave for a time must not last for ever."""
    processes, rng = stage.processes, stage.rng
    whose = rng.choice(("leader", "leader", "store", "consumer", "beat"))
    if whose == "leader" and processes.replicas:
        processes.replicas[stage.some(processes.replicas)].time.skew(rng.choice((0, *MINUTES_MS)))
    elif whose == "store":
        stage.world.time.skew(max(MINUTES_MS))
        processes.announcements_expired()
    elif whose == "consumer":
        processes.consumers[stage.some(processes.consumers)].time.skew(rng.choice((0, *MINUTES_MS)))
    else:
        processes.beat_time.skew(rng.choice((0, *MINUTES_MS)))
