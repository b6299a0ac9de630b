"""Conditions under which the clock must go on."""

from clocksvc.clock.request import RequestKind
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.tick_log_faults import begin_foreign
from tests.simulation.liveness.expectation import Expectation, bring_consumers_back, goes_on, some_waited_for


def leader_without_kafka(context: FaultContext) -> Expectation:
    """Only the leader can't reach Kafka: another replica must take over."""
    return _without(context, "kafka_cut")


def leader_without_store(context: FaultContext) -> Expectation:
    """Only the leader can't reach the store: another replica must take over."""
    return _without(context, "store_cut")


def _without(context: FaultContext, what: str) -> Expectation:
    name = context.leading()
    assert name is not None
    link = context.processes.replicas[name].link
    setattr(link, what, True)
    return goes_on(link.heal)


def leader_asleep(context: FaultContext) -> Expectation:
    """The leader is stopped and does not come back."""
    name = context.leading()
    assert name is not None
    context.scheduler.stop(name, context.scheduler.now_ms + 3_600_000)
    return goes_on(lambda: context.scheduler.stop(name, 0))


def partition_excluded(context: FaultContext) -> Expectation:
    """A partition's consumer never comes back, and operators exclude it, unless it is the only one."""
    standing, partition = context.oracle.standing, some_waited_for(context)
    if len(set(context.environment.partitions()) - set(standing.excluded)) < 2:
        return goes_on(lambda: None)
    context.environment.cut.add(partition)
    context.processes.rebalance()
    context.scheduler.later(5.0, lambda: context.processes.ask(RequestKind.EXCLUDE, partition))

    def take_back_in() -> None:
        bring_consumers_back(context)
        context.processes.ask(RequestKind.INCLUDE, partition)

    return goes_on(take_back_in)


def transaction_of_others(context: FaultContext) -> Expectation:
    """Another client's transaction on the tick log is open, and the leader need not read it."""
    begin_foreign(context.environment)
    return goes_on(lambda: context.environment.log.end_foreign(committed=False))
