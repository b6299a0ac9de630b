"""Topics that change, and metadata that lags."""

from tests.simulation.faults.fault_context import WHILES_S, FaultContext, for_a_while
from tests.simulation.faults.process_faults import crash_leader, crash_step_of_leader

MOST_PARTITIONS = 5


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
    """A partition is added and written at once; the group notices sooner or later."""
    name = context.some(context.environment.topic_names)
    if context.environment.topics.metadata(name).partitions < MOST_PARTITIONS:
        partition = context.environment.add_partition(name)
        for _ in range(context.rng.randrange(3)):
            context.environment.produce(partition)
        context.scheduler.later(context.rng.choice(WHILES_S), context.processes.rebalance)


def remake_topic(context: FaultContext) -> None:
    """A topic is deleted and recreated, with as many partitions or fewer, under another id."""
    name = context.some(context.environment.topic_names)
    context.environment.make_topic(
        name, context.rng.randrange(1, context.environment.topics.metadata(name).partitions + 1)
    )
    context.processes.rebalance()


def break_metadata(context: FaultContext) -> None:
    """Kafka does not answer metadata requests for a while."""
    for_a_while(context, context.environment.topics, "unavailable")


def cut_kafka(context: FaultContext) -> None:
    """Only the leader can't reach Kafka for a while."""
    name = context.leading()
    if name is not None:
        for_a_while(context, context.processes.replicas[name].link, "kafka_cut")


def lag_after_growth(context: FaultContext) -> None:
    """A partition is added; it is seen, and in half of the cases ticked with; then its consumer stops, metadata no
    longer shows it, and the leader's term ends."""
    environment, scheduler, name = context.environment, context.scheduler, context.some(context.environment.topic_names)
    if environment.topics.metadata(name).partitions >= MOST_PARTITIONS:
        return
    partition, read_at_first = environment.add_partition(name), context.rng.random() < 0.5
    environment.produce(partition)
    if read_at_first:
        context.processes.rebalance()
    else:
        environment.cut.add(partition)

    def hide() -> None:
        if partition not in environment.partitions():
            return
        environment.cut.add(partition)
        environment.owners.pop(partition, None)
        environment.topics.hide(name, partition.number)
        scheduler.later(context.rng.choice((3.0, 8.0)), show)
        if read_at_first or context.rng.random() < 0.4:
            crash_leader(context)
        else:
            context.rng.choice((crash_step_of_leader, cut_kafka, _end_the_term))(context)

    def show() -> None:
        environment.topics.hide(name, None)
        environment.cut.discard(partition)
        context.processes.rebalance()

    scheduler.later(context.rng.choice((0.3, 1.0, 1.5, 3.0)), hide)


def _end_the_term(context: FaultContext) -> None:
    """The lease is lost with all that the store had: the same process may lead again."""
    context.environment.wipe_store()
