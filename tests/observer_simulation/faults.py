"""Faults of a storm. Each respects the bounds of the plan: within them, no tick may be early."""

from collections.abc import Callable

from clocksvc.clock.partition import Partition
from tests.observer_simulation.world.log import PartitionLog, View
from tests.observer_simulation.world.world import World

SESSION_MS = 9_000
"""A broker that is suspended for this time is deposed."""
LEARNS_MS = 1_500
"""How long a broker that was resumed answers without knowing that it was deposed, at most."""
HOUR_MS = 3_600_000


def _any_log(world: World) -> PartitionLog:
    rng = world.timeline.rng
    logs = world.cluster.topics[rng.choice(sorted(world.cluster.topics))]
    return rng.choice(logs)


def stall(world: World) -> None:
    """A follower stops: what is appended stays above the high watermark."""
    if world.plan.stall_ms:
        world.cluster.stall(_any_log(world), world.timeline.rng.randint(1, world.plan.stall_ms))


def elect(world: World) -> None:
    """Another broker leads a partition, at once or after a time without a leader."""
    log = _any_log(world)
    if world.timeline.now_ms >= log.suspended_until_ms:
        world.cluster.elect(log, world.timeline.rng.choice((0, 0, 300, 4_000)))


def suspend(world: World) -> None:
    """The process of a partition's leader stops for a while. It is deposed meanwhile, and resumed."""
    timeline, log = world.timeline, _any_log(world)
    if timeline.now_ms < max(log.suspended_until_ms, log.available_from_ms, log.stalled_until_ms):
        return
    duration_ms = timeline.rng.choice((3_000, 8_000, 14_000, 20_000, 30_000, 40_000))
    log.suspended_until_ms = timeline.now_ms + duration_ms
    log.available_from_ms = log.suspended_until_ms
    if duration_ms <= SESSION_MS:
        return
    learns_ms = timeline.rng.choice((0, 200, LEARNS_MS))
    view = View(log, log.suspended_until_ms, log.suspended_until_ms + learns_ms, still_asked=timeline.chance(0.6))

    def depose() -> None:
        if log.suspended_until_ms:
            log.former = view
            world.cluster.elect(log, 0)
            if timeline.chance(0.6):
                _leave_unprocessed(world, log, int(timeline.rng.random() * 4_000), view.until_ms - timeline.now_ms)

    timeline.after(SESSION_MS, depose)


def _leave_unprocessed(world: World, log: PartitionLog, after_ms: int, duration_ms: int) -> None:
    """After a time, the group stops for a while, and records come."""
    members = [one for group in world.members.values() for one in group if one.partition == (log.topic, log.number)]
    producers = [one for one in world.producers if one.partition == (log.topic, log.number)]

    def leave() -> None:
        for member in members:
            member.paused_until_ms = world.timeline.now_ms + duration_ms
        for producer in producers:
            producer.produce_now()

    world.timeline.after(after_ms, leave)


def silent_coordinator(world: World) -> None:
    """The coordinator of a group does not answer."""
    group = world.timeline.rng.choice(sorted(world.members))
    world.cluster.unavailable_until_ms[group] = world.timeline.now_ms + world.timeline.rng.randint(1_000, 15_000)


def refused_group(world: World) -> None:
    """The observer may not read the offsets of a group for a while."""
    group = world.timeline.rng.choice(sorted(world.members))
    world.cluster.refused_until_ms[group] = world.timeline.now_ms + world.timeline.rng.randint(1_000, 15_000)


def slow_answers(world: World) -> None:
    """All calls of the observer are slow."""
    world.answers.slow_ms = world.timeline.rng.choice((200, 1_500, 4_000))
    world.answers.slow_until_ms = world.timeline.now_ms + world.timeline.rng.randint(1_000, 12_000)


def kill_observer(world: World) -> None:
    """The observer's process dies in one of its next calls."""
    if not world.calm and world.plan.without != kill_observer.__name__:
        world.answers.killed_in = world.timeline.rng.randint(0, 12)


def hand_over(world: World) -> None:
    """Another replica begins to observe, while the former one still does."""
    world.hand_over(world.timeline.now_ms + world.timeline.rng.randint(0, 15_000))


def lossy_store(world: World) -> None:
    """Calls of the store are lost, or take effect later."""
    world.store_faults.lossy_until_ms = world.timeline.now_ms + world.timeline.rng.randint(1_000, 12_000)


def flush(world: World) -> None:
    """The store loses everything."""
    world.access.content.clocks.clear()


def crash_member(world: World) -> None:
    """A consumer dies between processing and commit."""
    world.any_member().crash(world.timeline.rng.choice((100, 3_000, 20_000)))


def pause_group(world: World) -> None:
    """A group stops for a while."""
    group = world.timeline.rng.choice(sorted(world.members))
    until_ms = world.timeline.now_ms + world.timeline.rng.choice((3_000, 15_000, 30_000))
    for member in world.members[group]:
        member.paused_until_ms = until_ms


def expire_offsets(world: World) -> None:
    """The group is empty, and its offsets expire or are deleted."""
    group = world.timeline.rng.choice(sorted(world.members))
    for member in world.members[group]:
        member.crash(world.timeline.rng.choice((1_000, 12_000)))
    world.cluster.offsets.pop(group, None)


def reset_back(world: World) -> None:
    """An operator sets the group's offset back."""
    member = world.any_member()
    log = world.cluster.log(member.partition)
    if log is not None and log.high > log.low:
        member.jump(world.timeline.rng.randint(log.low, log.high))


def jump_ahead(world: World) -> None:
    """An operator sets the group's offset to the end."""
    member = world.any_member()
    log = world.cluster.log(member.partition)
    if log is not None:
        member.jump(log.high)


def retention(world: World) -> None:
    """Old records are removed, processed or not."""
    log = _any_log(world)
    low = world.timeline.rng.randint(log.low, log.last_stable)
    for record in log.records[log.low : low]:
        log.remove(record)
    log.low = max(log.low, low)


def compact(world: World) -> None:
    """Some records are removed, also the last ones."""
    log = _any_log(world)
    for record in log.records[log.low : log.last_stable]:
        if world.timeline.chance(0.5):
            log.remove(record)


def poison(world: World) -> None:
    """A producer sends a timestamp that lies far ahead."""
    producer = world.timeline.rng.choice(world.producers)
    ahead_ms = world.plan.max_future_ms + world.timeline.rng.choice((15_000, 40_000, HOUR_MS))
    producer.next_timestamp_ms = world.timeline.now_ms + ahead_ms


def without_timestamp(world: World) -> None:
    """A producer sends a record without a timestamp."""
    world.timeline.rng.choice(world.producers).next_timestamp_ms = -1


def quiet(world: World) -> None:
    """A producer pauses."""
    producer = world.timeline.rng.choice(world.producers)
    producer.quiet_until_ms = world.timeline.now_ms + world.timeline.rng.choice((10_000, 40_000))


def recreate_topic(world: World) -> None:
    """A topic is deleted and created again, under running consumers. Its partitions can soon have as many records."""
    rng, topic = world.timeline.rng, world.timeline.rng.choice(sorted(world.cluster.topics))
    if rng.random() < 0.3:
        world.store_faults.lossy_until_ms = world.timeline.now_ms + 8_000
    before = [log.end for log in world.cluster.topics[topic]]

    def recreate() -> None:
        world.cluster.recreate(topic)
        if rng.random() < 0.4:
            kill_observer(world)
        if rng.random() < 0.6:
            for producer in world.producers:
                if producer.partition.topic == topic and producer.partition.number < len(before):
                    producer.refill(min(100, before[producer.partition.number]) + rng.choice((0, 1, 5)))

    world.timeline.after(rng.choice((0, 3_000)), recreate)


def add_partition(world: World) -> None:
    """The first topic gets one more partition."""
    if len(world.cluster.topics[world.topics[0]]) < world.plan.partitions + 2:
        world.add_partition()


def exclude(world: World) -> None:
    """An operator excludes a partition of the first clock, and includes it later. A later stage can be behind."""
    leader = world.leaders[0]
    logs = world.cluster.topics[world.topics[0]]
    leader.excluded = frozenset({Partition(world.topics[0], world.timeline.rng.randrange(len(logs)))})

    def include() -> None:
        leader.excluded = frozenset()
        if world.timeline.chance(0.4):
            kill_observer(world)

    duration_ms = world.timeline.rng.choice((5_000, 12_000, 40_000))
    world.timeline.after(duration_ms, include)
    for number, one in enumerate(world.leaders[1:]):
        if number == 0 and world.timeline.chance(0.7):
            for member in world.members[one.spec.group]:
                member.paused_until_ms = world.timeline.now_ms + duration_ms + 5_000


def change_out_of_orderness(world: World) -> None:
    """The out-of-orderness of the first clock becomes longer, and shorter later."""
    world.leaders[0].change_out_of_orderness(10_000)
    world.timeline.after(world.timeline.rng.randint(1_000, 20_000), lambda: world.leaders[0].change_out_of_orderness(0))


def unreadable_upstream(world: World) -> None:
    """An upstream clock can't be read."""
    leader = world.timeline.rng.choice(world.leaders)
    leader.unreadable_until_ms = world.timeline.now_ms + world.timeline.rng.randint(1_000, 20_000)


WEIGHTS: dict[Callable[[World], None], int] = {
    stall: 4,
    elect: 4,
    suspend: 5,
    silent_coordinator: 2,
    refused_group: 1,
    slow_answers: 3,
    kill_observer: 3,
    hand_over: 2,
    lossy_store: 3,
    flush: 2,
    crash_member: 4,
    pause_group: 4,
    expire_offsets: 2,
    reset_back: 3,
    jump_ahead: 1,
    retention: 2,
    compact: 2,
    poison: 3,
    without_timestamp: 1,
    quiet: 3,
    recreate_topic: 4,
    add_partition: 1,
    exclude: 4,
    change_out_of_orderness: 2,
    unreadable_upstream: 2,
}
