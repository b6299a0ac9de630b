"""People who ask, reconfigure, and run `clocksvc init` when it is not the time for it."""

from dataclasses import replace
from functools import partial

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind
from tests.simulation.faults.stage import Stage


def run_init(stage: Stage) -> None:
    """Somebody runs `clocksvc init`, often when it is not the time for it."""
    interval_ms = stage.world.spec.interval_ms
    about_ms = (stage.oracle.last or stage.hub.now_ms) + stage.rng.choice((-20_000, 0, 0, 0, 1_000, 5_000))
    off_ms = 300 if stage.rng.random() < 0.1 else 0
    stage.processes.init(about_ms // interval_ms * interval_ms + off_ms)


def ask_the_leader(stage: Stage) -> None:
    """Somebody excludes a partition, takes one back in, pauses the clock or lets it go on."""
    kind, standing = stage.rng.choice((*RequestKind, RequestKind.EXCLUDE)), stage.oracle.standing
    if standing.paused and stage.rng.random() < 0.6:
        kind = RequestKind.RESUME
    partition = stage.some(standing.excluded) if kind is RequestKind.INCLUDE else None
    if kind in (RequestKind.EXCLUDE, RequestKind.INCLUDE):
        stage.processes.ask(kind, Partition(*(partition or stage.some(stage.world.partitions()))))
    else:
        stage.processes.ask(kind)


def reconfigure(stage: Stage) -> None:
    """A rolling change of the interval, replica by replica: for a while they disagree."""
    world, processes = stage.world, stage.processes
    world.spec = replace(world.spec, interval_ms=5_000 if world.spec.interval_ms == 1_000 else 1_000)
    delay_s = 0.0
    for name in sorted(processes.replicas):
        delay_s += stage.rng.choice((0.1, 1.0, 4.0))
        stage.hub.later(delay_s, partial(_restart_anew, stage, name))


def _restart_anew(stage: Stage, name: str) -> None:
    if name in stage.processes.replicas:
        stage.processes.kill_replica(name)
        stage.processes.start_replica()
