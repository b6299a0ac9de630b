"""Partitions and topics without a reader, hidden by metadata, or new."""

from collections.abc import Callable
from functools import partial

from clocksvc.clock.partition import Partition
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.kafka_faults import cut
from tests.simulation.faults.process_faults import lose_store
from tests.simulation.faults.store_faults import roll_back_to
from tests.simulation.liveness.expectation import (
    Expectation,
    all_clocks,
    bring_consumers_back,
    goes_on,
    group_of,
    holds,
    others,
    required_partition,
    restart,
)


def partition_cut(context: FaultContext) -> Expectation:
    """A partition's consumer never comes back. The other clocks go on, also those that watch the partition."""
    clock = context.clock()
    partition = required_partition(context, clock)
    cut(context, partition, group_of(context, clock))
    context.processes.rebalance()
    reasons = ["partition_unreported"]
    if context.rng.random() < 0.3:
        context.scheduler.later(2.5, lambda: lose_store(context))
    else:
        reasons += ["partition_behind", "reports_rejected"]  # its last record may have been a rejected one
    named = {clock: {(partition.topic, partition.number)}}
    return holds(
        (clock,),
        *reasons,
        end=lambda: bring_consumers_back(context),
        partitions=named,
        others=others(context, clock),
    )


def reported_in_seconds(context: FaultContext) -> Expectation:
    """A new version of a clock's consumers reports seconds: the hold names the cause. Other clocks go on."""
    environment, clock = context.environment, context.clock()
    group = group_of(context, clock)
    for name in [name for name, consumer in context.processes.consumers.items() if consumer.group == group]:
        context.processes.kill_consumer(name)
    environment.in_seconds.add(group)
    context.processes.start_consumer(clock)
    end = partial(environment.in_seconds.discard, group)
    return holds((clock,), "reports_rejected", end=end, others=others(context, clock))


def no_consumers(context: FaultContext) -> Expectation:
    """No consumer of any group, and an emptied store."""
    environment = context.environment
    for clock in environment.clocks:
        group = group_of(context, clock)
        environment.cut.update((group, partition) for partition in environment.clock_partitions(clock))
    context.processes.rebalance()
    context.scheduler.later(2.5, lambda: lose_store(context))
    named = {
        clock: {(topic, number) for topic, number in environment.clock_partitions(clock)}
        - context.judge.clock(clock).standing.excluded
        for clock in environment.clocks
    }
    return holds(
        all_clocks(context),
        "partition_unreported",
        end=lambda: bring_consumers_back(context),
        partitions=named,
    )


def topic_hidden(context: FaultContext) -> Expectation:
    """Kafka does not list a configured topic. Clocks without it go on."""
    name = context.some(topic for plan in context.environment.clocks.values() for topic in plan.spec.topics)
    context.environment.topics.hide(name, 0)
    concerned = tuple(context.environment.clocks_of(name))
    return holds(
        concerned,
        "topic_missing",
        end=lambda: context.environment.topics.hide(name, None),
        others=others(context, *concerned),
    )


def topics_without_ids(context: FaultContext) -> Expectation:
    """Brokers give no topic ids any more."""
    context.environment.topics.without_ids = True

    def end() -> None:
        context.environment.topics.without_ids = False

    return holds(all_clocks(context), "metadata_unavailable", end=end)


def partition_forgotten(context: FaultContext) -> Expectation:
    """A partition that was ticked with loses its consumers, metadata no longer shows it, the store is lost or not, and
    all leaders are new: only the log knows that it exists."""
    environment, clock = context.environment, context.clock()
    name = context.some(environment.clocks[clock].spec.topics)
    partition = environment.add_partition(name)
    concerned = tuple(environment.clocks_of(name))
    if any((partition.topic, partition.number) in context.judge.clock(one).standing.excluded for one in concerned):
        return partition_cut(context)
    context.processes.rebalance()
    group, loses = group_of(context, clock), context.rng.random() < 0.5

    def forget() -> None:
        ticks = context.judge.clock(clock).ticks
        if not ticks or ticks[-1] != environment.truth(group, partition).waited_ms:
            context.scheduler.later(0.5, forget)
            return
        cut(context, partition, group)
        context.processes.rebalance()
        environment.topics.hide(name, partition.number)
        if loses:
            lose_store(context)
        restart(context)

    def end() -> None:
        environment.topics.hide(name, None)
        bring_consumers_back(context)

    context.scheduler.later(1.0, forget)
    named = {clock: {(partition.topic, partition.number)}}
    reasons = ("partition_behind", "partition_unreported", "reports_rejected")  # its last record may be a rejected one
    return holds((clock,), *reasons, end=end, partitions=named, word="early")


def roster_rolled_back(context: FaultContext) -> Expectation:
    """A partition is new and unread, and the store is rolled back to right before it was on the roster, with the
    lease."""
    environment, clock, access = context.environment, context.clock(), context.environment.access
    name = context.some(environment.clocks[clock].spec.topics)
    access.snapshot_before.add("write_roster")
    partition = environment.add_partition(name)
    if (partition.topic, partition.number) in context.judge.clock(clock).standing.excluded:
        return partition_cut(context)
    group = group_of(context, clock)
    environment.cut.add((group, partition))

    def roll_back() -> None:
        if partition not in access.clocks(clock):
            context.scheduler.later(0.1, roll_back)
            return
        older = [state for state in access.snapshots if partition not in state.clock(clock).clocks]
        if older:
            roll_back_to(context, older[-1], failover=True)

    context.scheduler.later(0.1, roll_back)
    named = {clock: {(partition.topic, partition.number)}}
    return holds(
        (clock,), "partition_unreported", end=lambda: bring_consumers_back(context), partitions=named, word="early"
    )


def topic_recreated(context: FaultContext) -> Expectation:
    """A topic is recreated and still empty, while its consumers may still repeat their positions in the old one:
    further than the clock, which another topic had held back."""
    environment, clock = context.environment, context.clock()
    topics = environment.clocks[clock].spec.topics
    if len(topics) < 2:
        return partition_cut(context)
    slow, recreated = context.rng.sample(topics, 2)
    for partition in environment.clock_partitions(clock):
        if partition.topic == slow:
            cut(context, partition)
    context.processes.rebalance()
    concerned = tuple(environment.clocks_of(recreated))

    def recreate() -> None:
        if any(_a_report_is_pending(context, one, recreated) for one in concerned):
            context.scheduler.later(0.05, recreate)  # a first report can't be told from one on the new topic
            return
        environment.make_topic(
            recreated,
            environment.topics.metadata(recreated).partitions,
            append_time=environment.append_time(recreated),
        )
        environment.muted.update(_partitions_of(context, recreated))
        context.processes.heartbeat_link.kafka_cut = True
        bring_consumers_back(context)

    def end() -> None:
        environment.muted.clear()
        context.processes.heartbeat_link.heal()

    context.scheduler.later(4.0, recreate)
    return while_empty(context, recreated, end)


def while_empty(context: FaultContext, topic: str, end: Callable[[], None]) -> Expectation:
    """What must follow while no record comes to a recreated topic: each clock that watches it waits for all of its
    partitions that are not excluded. A clock that excludes all of them goes on."""
    named = {
        clock: {(partition.topic, partition.number) for partition in _partitions_of(context, topic)}
        - context.judge.clock(clock).standing.excluded
        for clock in context.environment.clocks_of(topic)
    }
    waiting = tuple(clock for clock, partitions in named.items() if partitions)
    if not waiting:
        return goes_on(context, end)
    return holds(
        waiting,
        "partition_unreported",
        end=end,
        partitions=named,
        others=tuple(clock for clock in named if clock not in waiting),
        word="early",
    )


def _partitions_of(context: FaultContext, topic: str) -> list[Partition]:
    return [partition for partition in context.environment.partitions() if partition.topic == topic]


def _a_report_is_pending(context: FaultContext, clock: str, topic: str) -> bool:
    """True if a topic was processed past a boundary that the store does not know it to have reached."""
    environment = context.environment
    spec = environment.clocks[clock].spec
    late_ms = context.judge.clock(clock).needed_out_of_orderness_ms()
    partitions = _partitions_of(context, topic)
    clocks = environment.access.clocks(clock)
    known_ms = max(clocks.get(partition) or 0 for partition in partitions)
    processed_ms = max(environment.truth(spec.group, partition).processed_ms or 0 for partition in partitions)
    return (processed_ms - late_ms) // spec.interval_ms > (known_ms - late_ms) // spec.interval_ms


def group_changed(context: FaultContext) -> Expectation:
    """The group of a clock is changed, and the new one has not processed one partition. The old one has, and goes
    on."""
    environment, clock = context.environment, context.clock()
    plan = environment.clocks[clock]
    partition = required_partition(context, clock)
    group = plan.change_group()
    environment.add_groups()
    environment.cut.add((group, partition))
    context.processes.start_consumer(clock, group)
    restart(context)
    named = {clock: {(partition.topic, partition.number)}}
    return holds(
        (clock,),
        "partition_unreported",
        "reports_rejected",  # the old group's
        end=lambda: bring_consumers_back(context),
        partitions=named,
        word="early",
    )
