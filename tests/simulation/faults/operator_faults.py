"""Operators who send requests, reconfigure, and run `clocksvc init` at the wrong time."""

from dataclasses import replace
from functools import partial

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind
from tests.simulation.faults.fault_context import FaultContext


def run_init(context: FaultContext) -> None:
    """`clocksvc init` is run, often at the wrong time."""
    interval_ms = context.environment.spec.interval_ms
    about_ms = (context.oracle.last or context.scheduler.now_ms) + context.rng.choice((-20_000, 0, 0, 0, 1_000, 5_000))
    off_ms = 300 if context.rng.random() < 0.1 else 0
    context.processes.init(about_ms // interval_ms * interval_ms + off_ms)


def ask_the_leader(context: FaultContext) -> None:
    """A partition is excluded or included, the clock is paused or resumed."""
    kind, standing = context.rng.choice((*RequestKind, RequestKind.EXCLUDE)), context.oracle.standing
    if standing.paused and context.rng.random() < 0.6:
        kind = RequestKind.RESUME
    partition = context.some(standing.excluded) if kind is RequestKind.INCLUDE else None
    if kind in (RequestKind.EXCLUDE, RequestKind.INCLUDE):
        context.processes.ask(kind, Partition(*(partition or context.some(context.environment.partitions()))))
    else:
        context.processes.ask(kind)


def reconfigure(context: FaultContext) -> None:
    """A rolling change of the interval, replica by replica: for a while they disagree."""
    environment, processes = context.environment, context.processes
    environment.spec = replace(environment.spec, interval_ms=5_000 if environment.spec.interval_ms == 1_000 else 1_000)
    delay_s = 0.0
    for name in sorted(processes.replicas):
        delay_s += context.rng.choice((0.1, 1.0, 4.0))
        context.scheduler.later(delay_s, partial(_restart_replica, context, name))


def _restart_replica(context: FaultContext, name: str) -> None:
    if name in context.processes.replicas:
        context.processes.kill_replica(name)
        context.processes.start_replica()
