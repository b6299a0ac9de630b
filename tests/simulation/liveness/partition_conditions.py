"""Partitions and topics without a reader, hidden by metadata, or new."""

from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.liveness.expectation import (
    Expectation,
    bring_consumers_back,
    goes_on,
    holds,
    restart,
    some_waited_for,
)


def partition_cut(context: FaultContext) -> Expectation:
    """A partition's consumer never comes back."""
    partition = some_waited_for(context)
    context.environment.cut.add(partition)
    context.processes.rebalance()
    reasons = ["partition_unreported"]
    if context.rng.random() < 0.3:
        context.scheduler.later(2.5, context.environment.wipe_store)
    else:
        reasons += ["partition_behind", "reports_rejected"]  # its last record may have been a rejected one
    named = {(partition.topic, partition.number)}
    return holds(*reasons, end=lambda: bring_consumers_back(context), partitions=named)


def no_consumers(context: FaultContext) -> Expectation:
    """No consumer at all, and an emptied store."""
    context.environment.cut.update(context.environment.partitions())
    context.processes.rebalance()
    context.scheduler.later(2.5, context.environment.wipe_store)
    everything = {
        (topic, number) for topic, number in context.environment.partitions()
    } - context.oracle.standing.excluded
    return holds("partition_unreported", end=lambda: bring_consumers_back(context), partitions=everything)


def topic_hidden(context: FaultContext) -> Expectation:
    """Kafka does not list a configured topic."""
    name = context.some(context.environment.topic_names)
    context.environment.topics.hide(name, 0)
    return holds("topic_missing", end=lambda: context.environment.topics.hide(name, None))


def partition_forgotten(context: FaultContext) -> Expectation:
    """A partition that was ticked with loses its consumer, metadata no longer shows it, and all leaders are new: only
    the tick log knows that it exists."""
    environment, name = context.environment, context.some(context.environment.topic_names)
    partition = environment.add_partition(name)
    if (partition.topic, partition.number) in context.oracle.standing.excluded:
        return partition_cut(context)
    context.processes.rebalance()

    def forget() -> None:
        if context.oracle.ticks[-1] != environment.truth(partition).waited_ms:
            context.scheduler.later(0.5, forget)
            return
        environment.cut.add(partition)
        context.processes.rebalance()
        environment.topics.hide(name, partition.number)
        restart(context)

    def end() -> None:
        environment.topics.hide(name, None)
        bring_consumers_back(context)

    context.scheduler.later(1.0, forget)
    named = {(partition.topic, partition.number)}
    return holds("partition_behind", "partition_unreported", end=end, partitions=named, word="early")


def roster_rolled_back(context: FaultContext) -> Expectation:
    """A partition is new and unread, and the store is rolled back to right before it was on the roster, with the
    lease."""
    environment, name = context.environment, context.some(context.environment.topic_names)
    environment.snapshot_before_roster = True
    partition = environment.add_partition(name)
    if (partition.topic, partition.number) in context.oracle.standing.excluded:
        return partition_cut(context)
    environment.cut.add(partition)

    def roll_back() -> None:
        if partition not in environment.store._state.clocks:
            context.scheduler.later(0.1, roll_back)
        elif environment.snapshots and partition not in environment.snapshots[-1].clocks:
            environment.roll_store_back(environment.snapshots[-1])

    context.scheduler.later(0.1, roll_back)
    named = {(partition.topic, partition.number)}
    return holds("partition_unreported", end=lambda: bring_consumers_back(context), partitions=named, word="early")


def topic_recreated(context: FaultContext) -> Expectation:
    """A topic is recreated and still empty, while its consumers may still repeat their positions in the old one:
    further than the clock, which another topic had held back."""
    environment = context.environment
    if len(environment.topic_names) < 2:
        return partition_cut(context)
    slow, recreated = context.rng.sample(environment.topic_names, 2)
    environment.cut.update(partition for partition in environment.partitions() if partition.topic == slow)
    context.processes.rebalance()

    def recreate() -> None:
        if _a_report_is_pending(context, recreated):
            context.scheduler.later(0.05, recreate)  # a first report can't be told from one on the new topic
            return
        environment.make_topic(recreated, environment.topics.metadata(recreated).partitions)
        environment.muted.update(partition for partition in environment.partitions() if partition.topic == recreated)
        context.processes.beat_link.kafka_cut = True
        bring_consumers_back(context)

    def end() -> None:
        environment.muted.clear()
        context.processes.beat_link.heal()

    context.scheduler.later(4.0, recreate)
    named = {
        (topic, number) for topic, number in environment.partitions() if topic == recreated
    } - context.oracle.standing.excluded
    return holds("partition_unreported", end=end, partitions=named, word="early") if named else goes_on(end)


def _a_report_is_pending(context: FaultContext, topic: str) -> bool:
    """Whether a topic was processed past a boundary that the store does not know it to have reached."""
    environment, late_ms, interval_ms = (
        context.environment,
        context.environment.out_of_orderness_ms or 0,
        context.environment.spec.interval_ms,
    )
    partitions = [partition for partition in environment.partitions() if partition.topic == topic]
    known_ms = max(environment.store._state.clocks.get(partition) or 0 for partition in partitions)
    processed_ms = max(environment.truth(partition).processed_ms or 0 for partition in partitions)
    return (processed_ms - late_ms) // interval_ms > (known_ms - late_ms) // interval_ms
