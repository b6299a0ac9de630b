"""Partitions and topics that nobody reads, that metadata hides, or that are new."""

from tests.simulation.faults.stage import Stage
from tests.simulation.vigils.expected import (
    Expected,
    bring_consumers_back,
    goes_on,
    holds,
    restart,
    some_waited_for,
)


def partition_cut(stage: Stage) -> Expected:
    """A partition's consumer never comes back."""
    partition = some_waited_for(stage)
    stage.world.cut.add(partition)
    stage.processes.rebalance()
    reasons = ["partition_unreported"]
    if stage.rng.random() < 0.3:
        stage.hub.later(2.5, stage.world.wipe_store)
    else:
        reasons += ["partition_behind", "reports_rejected"]  # its last record may have been one that was refused
    named = {(partition.topic, partition.number)}
    return holds(*reasons, end=lambda: bring_consumers_back(stage), partitions=named)


def nobody_reads(stage: Stage) -> Expected:
    """No consumer at all, and a store that was emptied."""
    stage.world.cut.update(stage.world.partitions())
    stage.processes.rebalance()
    stage.hub.later(2.5, stage.world.wipe_store)
    everything = {(topic, number) for topic, number in stage.world.partitions()} - stage.oracle.standing.excluded
    return holds("partition_unreported", end=lambda: bring_consumers_back(stage), partitions=everything)


def topic_hidden(stage: Stage) -> Expected:
    """Kafka does not list a configured topic."""
    name = stage.some(stage.world.topic_names)
    stage.world.topics.hide(name, 0)
    return holds("topic_missing", end=lambda: stage.world.topics.hide(name, None))


def partition_forgotten(stage: Stage) -> Expected:
    """A partition that was ticked with loses its consumer, metadata no longer shows it, and all leaders are new ones:
    only the tick log knows that it is there."""
    world, name = stage.world, stage.some(stage.world.topic_names)
    partition = world.add_partition(name)
    if (partition.topic, partition.number) in stage.oracle.standing.excluded:
        return partition_cut(stage)
    stage.processes.rebalance()

    def forget() -> None:
        if stage.oracle.ticks[-1] != world.truth(partition).waited_ms:
            stage.hub.later(0.5, forget)
            return
        world.cut.add(partition)
        stage.processes.rebalance()
        world.topics.hide(name, partition.number)
        restart(stage)

    def end() -> None:
        world.topics.hide(name, None)
        bring_consumers_back(stage)

    stage.hub.later(1.0, forget)
    named = {(partition.topic, partition.number)}
    return holds("partition_behind", "partition_unreported", end=end, partitions=named, word="early")


def roster_rolled_back(stage: Stage) -> Expected:
    """A partition is new and unread, and the store comes back from right before it was on the roster; the lease with
    it."""
    world, name = stage.world, stage.some(stage.world.topic_names)
    world.snapshot_before_roster = True
    partition = world.add_partition(name)
    if (partition.topic, partition.number) in stage.oracle.standing.excluded:
        return partition_cut(stage)
    world.cut.add(partition)

    def roll_back() -> None:
        if partition not in world.store._state.clocks:
            stage.hub.later(0.1, roll_back)
        elif world.snapshots and partition not in world.snapshots[-1].clocks:
            world.roll_store_back(world.snapshots[-1])

    stage.hub.later(0.1, roll_back)
    named = {(partition.topic, partition.number)}
    return holds("partition_unreported", end=lambda: bring_consumers_back(stage), partitions=named, word="early")


def topic_made_anew(stage: Stage) -> Expected:
    """A topic is made anew and nothing is in it yet, while its consumers may still repeat how far they were in the old
    one: further than the clock, which another topic had held."""
    world = stage.world
    if len(world.topic_names) < 2:
        return partition_cut(stage)
    slow, anew = stage.rng.sample(world.topic_names, 2)
    world.cut.update(partition for partition in world.partitions() if partition.topic == slow)
    stage.processes.rebalance()

    def make_anew() -> None:
        if _somebody_is_yet_to_tell(stage, anew):
            stage.hub.later(0.05, make_anew)  # what is told for the first time can't be told from the new topic's own
            return
        world.make_topic(anew, world.topics.shape(anew).partitions)
        world.muted.update(partition for partition in world.partitions() if partition.topic == anew)
        stage.processes.beat_link.kafka_cut = True
        bring_consumers_back(stage)

    def end() -> None:
        world.muted.clear()
        stage.processes.beat_link.heal()

    stage.hub.later(4.0, make_anew)
    named = {(topic, number) for topic, number in world.partitions() if topic == anew} - stage.oracle.standing.excluded
    return holds("partition_unreported", end=end, partitions=named, word="early") if named else goes_on(end)


def _somebody_is_yet_to_tell(stage: Stage, topic: str) -> bool:
    """Whether a topic was processed past a boundary that the store does not know it to have reached."""
    world, late_ms, interval_ms = stage.world, stage.world.out_of_orderness_ms or 0, stage.world.spec.interval_ms
    partitions = [partition for partition in world.partitions() if partition.topic == topic]
    known_ms = max(world.store._state.clocks.get(partition) or 0 for partition in partitions)
    processed_ms = max(world.truth(partition).processed_ms or 0 for partition in partitions)
    return (processed_ms - late_ms) // interval_ms > (known_ms - late_ms) // interval_ms
