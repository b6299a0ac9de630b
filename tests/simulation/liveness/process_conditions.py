"""Conditions under which the clocks must go on."""

from dataclasses import replace

from clocksvc.clock.request import RequestKind
from tests.faulty.commits import TornTransaction
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.liveness.expectation import (
    Expectation,
    bring_consumers_back,
    goes_on,
    group_of,
    required_partition,
)


def leader_without_kafka(context: FaultContext) -> Expectation:
    """Only the leader can't reach Kafka: another replica must take over."""
    return _without(context, "kafka_cut")


def leader_without_store(context: FaultContext) -> Expectation:
    """Only the leader can't reach the store: another replica must take over."""
    return _without(context, "store_cut")


def _without(context: FaultContext, what: str) -> Expectation:
    link = context.leaders_link(context.log())
    assert link is not None
    setattr(link, what, True)
    return goes_on(context, link.heal)


def leader_asleep(context: FaultContext) -> Expectation:
    """The leader is stopped and does not come back."""
    name = context.leading(context.log())
    assert name is not None
    context.scheduler.stop(name, context.scheduler.now_ms + 3_600_000)
    return goes_on(context, lambda: context.scheduler.stop(name, 0))


def partition_excluded(context: FaultContext) -> Expectation:
    """A partition's consumer never comes back, and operators exclude it, unless it is the only one."""
    clock = context.clock()
    standing, partition = context.judge.clock(clock).standing, required_partition(context, clock)
    if len(set(context.environment.clock_partitions(clock)) - set(standing.excluded)) < 2:
        return goes_on(context, lambda: None)
    context.environment.cut.add((group_of(context, clock), partition))
    context.processes.rebalance()
    context.scheduler.later(5.0, lambda: context.processes.ask(clock, RequestKind.EXCLUDE, partition))

    def include() -> None:
        bring_consumers_back(context)
        context.processes.ask(clock, RequestKind.INCLUDE, partition)

    return goes_on(context, include)


def second_installation(context: FaultContext) -> Expectation:
    """Another installation is configured with the same tick log, and stays: it holds, this one goes on."""
    name = context.processes.start_guest()
    return goes_on(context, lambda: context.processes.kill_replica(name))


def narrower_replica(context: FaultContext) -> Expectation:
    """A replica that lacks a clock stays. It must not keep the log from the replicas that know the clock."""
    specs = context.processes.present_specs()
    if len(specs) < 2:
        return leader_asleep(context)
    specs.pop(context.some(specs))
    name = context.processes.start_replica(specs)
    return goes_on(context, lambda: context.processes.kill_replica(name))


def transactions_torn(context: FaultContext) -> Expectation:
    """Several transactions are torn, one after the other."""
    log = context.faulty_log()
    log.torn += [TornTransaction(1), TornTransaction(2, committed=False), TornTransaction(1, answered=True)]
    return goes_on(context, log.torn.clear)


def stale_ends(context: FaultContext) -> Expectation:
    """Each of the next recoveries gets a stale end first."""
    log, name = context.faulty_log(), context.leading(context.log())
    log.stale_ends += [1, 2, 0, 3]
    if name is not None:
        specs = context.processes.replicas[name].specs
        context.processes.kill_replica(name)
        context.processes.start_replica(specs)
    return goes_on(context, log.stale_ends.clear)


def timestamp_type_changed(context: FaultContext) -> Expectation:
    """Producers set the timestamps of a topic from now on. The clock subtracts 10 s at once, and goes on."""
    environment = context.environment
    topics = sorted(
        topic
        for plan in environment.clocks.values()
        if plan.spec.max_out_of_orderness_ms is None and all(map(environment.append_time, plan.spec.topics))
        for topic in plan.spec.topics
    )
    if not topics:
        return leader_asleep(context)
    name = context.rng.choice(topics)
    environment.change_timestamp_type(name)
    context.judge.timestamp_type_changed(name)
    return goes_on(context, lambda: None)


def better_replica(context: FaultContext) -> Expectation:
    """More replicas come, and the log may move to one of them by a hand-over."""
    names = [context.processes.start_replica() for _ in range(3)]

    def end() -> None:
        for name in names[:2]:
            context.processes.kill_replica(name)

    return replace(goes_on(context, end), within_ms=30_000)
