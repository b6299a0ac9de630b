"""Topics that change, and metadata that lags."""

from clocksvc.clock.partition import Partition
from tests.simulation.faults.fault_context import WHILES_S, FaultContext, for_a_while
from tests.simulation.faults.process_faults import crash_leader, crash_step_of_leader, lose_store

MOST_PARTITIONS = 4


def hide_topic(context: FaultContext) -> None:
    """Metadata lags, for all or for one process: it shows none of a topic, or fewer partitions than before, or all
    again."""
    environment, name = context.environment, context.some(context.environment.topic_names)
    fewer = max(0, environment.topics.metadata(name).partitions - 1)
    shown = context.rng.choice((0, fewer, fewer))
    replica = context.some(context.processes.replicas)
    if replica is not None and context.rng.random() < 0.5:
        link = context.processes.replicas[replica].link
        link.hidden[name] = shown
        context.scheduler.later(context.rng.choice(WHILES_S), link.hidden.clear)
    else:
        environment.topics.hide(name, shown)
        context.scheduler.later(context.rng.choice(WHILES_S), lambda: environment.topics.hide(name, None))


def add_partition(context: FaultContext) -> None:
    """A partition is added and written at once; the groups notice sooner or later."""
    name = context.some(context.environment.topic_names)
    if context.environment.topics.metadata(name).partitions < MOST_PARTITIONS:
        partition = context.environment.add_partition(name)
        for _ in range(context.rng.randrange(3)):
            context.environment.produce(partition)
        context.scheduler.later(context.rng.choice(WHILES_S), context.processes.rebalance)


def recreate_topic(context: FaultContext) -> None:
    """A topic is deleted and recreated, with as many partitions or fewer, under another id."""
    environment, name = context.environment, context.some(context.environment.topic_names)
    environment.make_topic(
        name,
        context.rng.randrange(1, environment.topics.metadata(name).partitions + 1),
        append_time=environment.append_time(name),
    )
    context.processes.rebalance()


def recreate_topic_behind_a_broker(context: FaultContext) -> None:
    """A topic is recreated, perhaps with more partitions, and the broker of one replica gives the old topic for a
    while."""
    environment, name = context.environment, context.some(context.environment.topic_names)
    replica = context.some(context.processes.replicas)
    if replica is None:
        return
    link, old = context.processes.replicas[replica].link, environment.topics.metadata(name)
    link.outdated[name] = old
    environment.make_topic(
        name, context.rng.randrange(1, old.partitions + 2), append_time=environment.append_time(name)
    )
    context.processes.rebalance()
    context.scheduler.later(context.rng.choice((1.0, 3.0, 8.0)), link.outdated.clear)
    if context.rng.random() < 0.5:
        context.scheduler.later(context.rng.choice((0.3, 1.0, 2.0)), lambda: crash_leader(context))


def change_timestamp_type(context: FaultContext) -> None:
    """A topic's timestamp type is changed, preferably that of a topic whose clock depends on it."""
    plans = context.environment.clocks.values()
    depending = {name for plan in plans if plan.spec.max_out_of_orderness_ms is None for name in plan.spec.topics}
    name = context.some(depending or context.environment.topic_names)
    context.environment.change_timestamp_type(name)
    context.judge.timestamp_type_changed(name)


def lose_topic_ids(context: FaultContext) -> None:
    """Brokers give no topic ids for a while: all of them, or the broker of one process."""
    if context.rng.random() < 0.5:
        for_a_while(context, context.environment.topics, "without_ids")
        return
    link = context.leaders_link(context.log())
    if link is not None:
        for_a_while(context, link, "without_ids")


def break_metadata(context: FaultContext) -> None:
    """Kafka does not answer metadata requests for a while."""
    for_a_while(context, context.environment.topics, "unavailable")


def cut_kafka(context: FaultContext) -> None:
    """Only the leader can't reach Kafka for a while."""
    link = context.leaders_link(context.log())
    if link is not None:
        for_a_while(context, link, "kafka_cut")


def lag_after_growth(context: FaultContext) -> None:
    """A partition is added; it is seen, and in half of the cases ticked with; then its consumers stop, metadata no
    longer shows it, and the leader's term ends, or the store is lost."""
    environment, scheduler, name = context.environment, context.scheduler, context.some(context.environment.topic_names)
    if environment.topics.metadata(name).partitions >= MOST_PARTITIONS:
        return
    partition, read_at_first = environment.add_partition(name), context.rng.random() < 0.5
    environment.produce(partition)
    if read_at_first:
        context.processes.rebalance()
    else:
        cut(context, partition)

    def hide() -> None:
        if partition not in environment.partitions():
            return
        cut(context, partition)
        environment.topics.hide(name, partition.number)
        scheduler.later(context.rng.choice((3.0, 8.0)), show)
        if context.rng.random() < 0.5:
            lose_store(context)
        if read_at_first or context.rng.random() < 0.4:
            crash_leader(context)
        else:
            context.rng.choice((crash_step_of_leader, cut_kafka, lose_store))(context)

    def show() -> None:
        environment.topics.hide(name, None)
        bring_back(context, partition)

    scheduler.later(context.rng.choice((0.3, 1.0, 1.5, 3.0)), hide)


def cut(context: FaultContext, partition: Partition, group: str | None = None) -> None:
    """A partition loses the readers of all groups, or of one."""
    for each, _ in context.environment.all_groups():
        if group in (None, each):
            context.environment.cut.add((each, partition))
            context.environment.owners.pop((each, partition), None)


def bring_back(context: FaultContext, partition: Partition) -> None:
    """A partition is read again."""
    for each, _ in context.environment.all_groups():
        context.environment.cut.discard((each, partition))
    context.processes.rebalance()
