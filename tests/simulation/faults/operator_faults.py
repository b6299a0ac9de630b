"""Operators who send requests, change the configuration, and run `clocksvc init` at the wrong time."""

from dataclasses import replace
from functools import partial

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.tick_log_faults import kill_guests


def run_init(context: FaultContext) -> None:
    """`clocksvc init` is run, often at the wrong time."""
    clock = context.clock()
    interval_ms, last = context.environment.clocks[clock].spec.interval_ms, context.judge.clock(clock).last
    about_ms = (last or context.scheduler.now_ms) + context.rng.choice((-20_000, 0, 0, 0, 1_000, 5_000))
    off_ms = 300 if context.rng.random() < 0.1 else 0
    last_tick_ms = about_ms // interval_ms * interval_ms + off_ms
    context.processes.run_init(clock, last_tick_ms)


def skip_ticks(context: FaultContext) -> None:
    """`clocksvc init --skip-ticks` on a clock with ticks, often while it catches up. Sometimes it is repeated at once
    with another time, or taken back with the last tick."""
    clock, rng = context.clock(), context.rng
    interval_ms, ticks = context.environment.clocks[clock].spec.interval_ms, context.judge.clock(clock).ticks
    if not ticks:
        return
    if rng.random() < 0.5:
        context.scheduler.now_ms += rng.choice((5_000, 25_000))
    now_ms = context.scheduler.now_ms

    def to(back_ms: int) -> int:
        return (now_ms - back_ms) // interval_ms * interval_ms

    context.processes.run_init(clock, to(rng.choice((1_000, 3_000, 10_000))), skip_ticks=True)
    if rng.random() < 0.5:
        again_ms = rng.choice((to(2_000), to(15_000), ticks[-1]))
        delay_s = rng.choice((0.0, 0.2, 1.0))
        context.scheduler.later(
            delay_s, lambda: context.processes.run_init(clock, again_ms, skip_ticks=rng.random() < 0.7)
        )


def run_init_alone(context: FaultContext) -> None:
    """All replicas are stopped, the log lost its records, and operators run `clocksvc init` before they start them."""
    processes, environment = context.processes, context.environment
    clock = context.clock()
    count, interval_ms = len(processes.replicas), environment.clocks[clock].spec.interval_ms
    for name in list(processes.replicas):
        processes.kill_replica(name)
    log = environment.log_of(clock)
    if log._own is None and log._foreign is None and log.entries:
        kill_guests(context)
        log.truncate_before(log.end)
        context.judge.log_lost(context.judge.log(clock).number)
    known_ms = max(context.judge.clock(clock).last or 0, context.scheduler.now_ms - 5_000)
    last_tick_ms = known_ms // interval_ms * interval_ms

    def init() -> None:
        context.processes.run_init(clock, last_tick_ms)

    def start() -> None:
        for _ in range(max(1, count)):
            processes.start_replica()

    context.scheduler.later(4.0, init)
    context.scheduler.later(context.rng.choice((6.0, 12.0)), start)


def ask_the_leader(context: FaultContext) -> None:
    """A partition is excluded or included, the clock is paused or resumed."""
    clock = context.clock()
    kinds = (RequestKind.EXCLUDE, RequestKind.EXCLUDE, RequestKind.INCLUDE, RequestKind.PAUSE, RequestKind.RESUME)
    kind, standing = context.rng.choice(kinds), context.judge.clock(clock).standing
    if standing.paused and context.rng.random() < 0.6:
        kind = RequestKind.RESUME
    partition = context.some(standing.excluded) if kind is RequestKind.INCLUDE else None
    if kind in (RequestKind.EXCLUDE, RequestKind.INCLUDE):
        context.processes.ask(clock, kind, Partition(*(partition or context.partition(clock))))
    else:
        context.processes.ask(clock, kind)


def change_interval(context: FaultContext) -> None:
    """A rolling change of a clock's interval, replica by replica: for a while they disagree."""
    plan = context.environment.clocks[context.clock()]
    plan.spec = replace(plan.spec, interval_ms=5_000 if plan.spec.interval_ms < 5_000 else 1_000)
    _roll(context)


def change_group(context: FaultContext) -> None:
    """A clock's group is changed, on all replicas at once, or replica by replica.

    The consumers of the new group start before or after that, and those of the old one go on for a while, or stay.
    """
    rng, processes, environment = context.rng, context.processes, context.environment
    clock = context.clock()
    plan = environment.clocks[clock]
    old = plan.spec.group
    group = plan.change_group()
    environment.add_groups()

    def start() -> None:
        if not any(consumer.group == group for consumer in processes.consumers.values()):
            processes.start_consumer(clock, group)

    def stop() -> None:
        if plan.spec.group != old:
            for name in [name for name, consumer in processes.consumers.items() if consumer.group == old]:
                if len(processes.consumers) > 1:
                    processes.kill_consumer(name)

    context.scheduler.later(rng.choice((0.0, 0.5, 3.0)), start)
    if rng.random() < 0.7:
        context.scheduler.later(rng.choice((0.0, 2.0, 6.0)), stop)
    if rng.random() < 0.4:
        for name in sorted(processes.replicas):
            _restart_replica(context, name)
    else:
        _roll(context)


def change_topics(context: FaultContext) -> None:
    """A topic is added to a clock, or removed from it. Consumers that know the new topic start, old ones go on."""
    rng, environment = context.rng, context.environment
    clock = context.clock()
    plan = environment.clocks[clock]
    others = sorted(set(environment.topic_names) - set(plan.spec.topics))
    if len(plan.spec.topics) > 1 and (not others or rng.random() < 0.5):
        removed = rng.choice(plan.spec.topics)
        topics = tuple(topic for topic in plan.spec.topics if topic != removed)
    elif others and environment.append_time(added := rng.choice(others)) is environment.append_time(
        plan.spec.topics[0]
    ):
        topics = (*plan.spec.topics, added)
    else:
        return
    plan.spec = replace(plan.spec, topics=topics)
    environment.add_groups()
    context.scheduler.later(rng.choice((0.0, 0.5, 3.0)), partial(_start_consumer, context, clock))
    _roll(context)


def _start_consumer(context: FaultContext, clock: str) -> None:
    context.processes.start_consumer(clock)


def widen_configuration(context: FaultContext) -> None:
    """A clock is added to the configuration, replica by replica: for a while only some know it."""
    if not context.processes.widened:
        context.processes.widened = True
        _roll(context)
    else:
        context.processes.start_replica()


def narrow_configuration(context: FaultContext) -> None:
    """A replica starts with a configuration that lacks a clock, and stays for a while, beside others or alone."""
    processes = context.processes
    specs = processes.present_specs()
    if len(specs) < 2:
        return
    specs.pop(context.some(specs))
    alone = context.rng.random() < 0.5
    for name in list(processes.replicas) if alone else ():
        processes.kill_replica(name)
    narrow = processes.start_replica(specs)

    def end() -> None:
        processes.kill_replica(narrow)
        if alone:
            processes.start_replica()

    context.scheduler.later(context.rng.choice((4.0, 14.0)), end)


def start_second_installation(context: FaultContext) -> None:
    """Another installation is configured with the same tick log, for a while."""
    if context.processes.guests or any(log.installation is None for log in context.judge.logs.values()):
        return
    name = context.processes.start_guest()
    context.scheduler.later(context.rng.choice((3.0, 12.0)), lambda: context.processes.kill_replica(name))


def _roll(context: FaultContext) -> None:
    delay_s = 0.0
    for name in sorted(context.processes.replicas):
        delay_s += context.rng.choice((0.1, 1.0, 4.0))
        context.scheduler.later(delay_s, partial(_restart_replica, context, name))


def _restart_replica(context: FaultContext, name: str) -> None:
    if name in context.processes.replicas:
        context.processes.kill_replica(name)
        context.processes.start_replica()
