"""Processes that die, sleep, or change hands."""

from tests.simulation.faults.stage import PAUSES_S, Stage

JUMPS_MS = (2_000, 5_000, 25_000, 61_000)


def crash_leader(stage: Stage) -> None:
    """SIGKILL of a replica, and a new one in its place."""
    name = stage.leading() if stage.rng.random() < 0.7 else stage.some(stage.processes.replicas)
    if name is not None:
        replace_replica(stage, name)


def replace_replica(stage: Stage, name: str) -> None:
    """SIGKILL of one, and a new one of the same configuration."""
    spec = stage.processes.replicas[name].spec
    stage.processes.kill_replica(name)
    stage.processes.start_replica(spec, stage.rng.choice((0, 0, -300, 300)))


def terminate_leader(stage: Stage) -> None:
    """SIGTERM: it finishes its step and leaves; a new one takes its place."""
    name = stage.leading()
    if name is not None:
        stage.processes.replicas[name].leaving = True
        stage.processes.start_replica(stage.processes.replicas[name].spec)


def pause_leader(stage: Stage) -> None:
    """SIGSTOP for longer than a lease, or shorter; SIGCONT."""
    name = stage.leading()
    if name is not None:
        stage.hub.stop(name, stage.hub.now_ms + int(stage.rng.choice(PAUSES_S) * 1000))


def blow_leader_up(stage: Stage) -> None:
    """A defect of ours in the middle of a step."""
    name = stage.leading()
    if name is not None:
        stage.processes.replicas[name].link.blow_up = True


def crash_consumer(stage: Stage) -> None:
    """SIGKILL, and a new one in its place."""
    name = stage.some(stage.processes.consumers)
    stage.processes.start_consumer(stage.rng.choice((0, 0, -1_000, 1_000)))
    stage.processes.kill_consumer(name)


def pause_consumer(stage: Stage) -> None:
    """SIGSTOP: the group gives its partitions away, and it wakes as a zombie."""
    name = stage.some(stage.processes.consumers)
    stage.hub.stop(name, stage.hub.now_ms + int(stage.rng.choice(PAUSES_S) * 1000))
    for partition, owner in stage.world.owners.items():
        if owner == name:
            stage.world.owners[partition] = stage.some(stage.processes.consumers)


def rebalance(stage: Stage) -> None:
    """Partitions change hands with nobody dead."""
    stage.processes.rebalance()


def jump(stage: Stage) -> None:
    """Nobody runs for a while; time does not wait."""
    stage.hub.now_ms += stage.rng.choice(JUMPS_MS)


def lose_a_long_night(stage: Stage) -> None:
    """Nobody runs for a quarter of an hour and more, and what is caught up then is lost with the store: rebuilding its
    stream takes more than one batch."""
    stage.hub.now_ms += 1_100_000
    stage.hub.later(stage.rng.uniform(1.0, 4.0), stage.world.wipe_store)
