"""Topics that change, and metadata that lags."""

from tests.simulation.faults.of_processes import blow_leader_up, crash_leader
from tests.simulation.faults.stage import WHILES_S, Stage, for_a_while

MOST_PARTITIONS = 5


def hide_topic(stage: Stage) -> None:
    """Metadata lags, for all or for one process: it shows none of a topic, or less than before, or all again."""
    world, name = stage.world, stage.some(stage.world.topic_names)
    fewer = max(0, world.topics.shape(name).partitions - 1)
    shown = stage.rng.choice((0, fewer, fewer))
    replica = stage.some(stage.processes.replicas)
    if replica is not None and stage.rng.random() < 0.5:
        link = stage.processes.replicas[replica].link
        link.hidden[name] = shown
        stage.hub.later(stage.rng.choice(WHILES_S), link.hidden.clear)
    else:
        world.topics.hide(name, shown)
        stage.hub.later(stage.rng.choice(WHILES_S), lambda: world.topics.hide(name, None))


def add_partition(stage: Stage) -> None:
    """A topic grows, and somebody writes there at once; the group notices, sooner or later."""
    name = stage.some(stage.world.topic_names)
    if stage.world.topics.shape(name).partitions < MOST_PARTITIONS:
        partition = stage.world.add_partition(name)
        for _ in range(stage.rng.randrange(3)):
            stage.world.produce(partition)
        stage.hub.later(stage.rng.choice(WHILES_S), stage.processes.rebalance)


def remake_topic(stage: Stage) -> None:
    """A topic is deleted and made anew, with as many partitions or fewer, under another id."""
    name = stage.some(stage.world.topic_names)
    stage.world.make_topic(name, stage.rng.randrange(1, stage.world.topics.shape(name).partitions + 1))
    stage.processes.rebalance()


def break_metadata(stage: Stage) -> None:
    """Kafka does not answer about topics for a while."""
    for_a_while(stage, stage.world.topics, "unavailable")


def cut_kafka(stage: Stage) -> None:
    """The leader alone does not reach Kafka for a while."""
    name = stage.leading()
    if name is not None:
        for_a_while(stage, stage.processes.replicas[name].link, "kafka_cut")


def lag_after_growth(stage: Stage) -> None:
    """A topic grows; the new partition is seen, and in half of the cases ticked with; then its consumer stops, metadata
    no longer shows it, and the leader's term ends."""
    world, hub, name = stage.world, stage.hub, stage.some(stage.world.topic_names)
    if world.topics.shape(name).partitions >= MOST_PARTITIONS:
        return
    partition, read_at_first = world.add_partition(name), stage.rng.random() < 0.5
    world.produce(partition)
    if read_at_first:
        stage.processes.rebalance()
    else:
        world.cut.add(partition)

    def hide() -> None:
        if partition not in world.partitions():
            return
        world.cut.add(partition)
        world.owners.pop(partition, None)
        world.topics.hide(name, partition.number)
        hub.later(stage.rng.choice((3.0, 8.0)), show)
        if read_at_first or stage.rng.random() < 0.4:
            crash_leader(stage)
        else:
            stage.rng.choice((blow_leader_up, cut_kafka, _end_the_term))(stage)

    def show() -> None:
        world.topics.hide(name, None)
        world.cut.discard(partition)
        stage.processes.rebalance()

    hub.later(stage.rng.choice((0.3, 1.0, 1.5, 3.0)), hide)


def _end_the_term(stage: Stage) -> None:
    """The lease is gone with all that the store had: the same process may lead on."""
    stage.world.wipe_store()
