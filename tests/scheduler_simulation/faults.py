"""What happens to replicas, topics, store and clock during a storm. Each fault is a function of the world."""

from collections.abc import Callable

from tests.faulty.commits import CommitFault, TornTransaction
from tests.scheduler_simulation.sometimes import Path
from tests.scheduler_simulation.world.due_log import SKEW_MS
from tests.scheduler_simulation.world.environment import Environment
from tests.scheduler_simulation.world.replicas import Replica
from tests.simulation.world.scheduler import Scheduler, Task

HOUR_MS = 3_600_000
STEPS_TO_TRAP = (
    *("due.half", "due.position", "due.commit", "due.append done", "due.fence done", "due.torn"),
    *("table.inspect done", "ticks.after", "writer.sent", "writer.fence done", "store.acquire done"),
)
MOST_REPLICAS = 4


class World:
    """The environment and the replicas.

    Attributes:
        replicas: those that live, by name.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment) -> None:
        self.scheduler, self.environment = scheduler, environment
        self.replicas: dict[str, Replica] = {}
        self._number = 0

    def start_replica(self) -> Replica:
        """Start one more process."""
        self._number += 1
        replica = Replica(self.environment, self._number, self._owners)
        self.replicas[replica.name] = replica
        self.scheduler.say(f"{replica.name} starts")
        return replica

    def kill(self, name: str) -> None:
        """SIGKILL."""
        replica = self.replicas.pop(name, None)
        if replica is not None:
            self.scheduler.say(f"{name} is killed")
            if any(replica.owns(log.number) for log in self.environment.logs):
                self.environment.sometimes.took(Path.OWNER_KILLED)
            if any(log.own is not None and replica.owns(log.number) for log in self.environment.logs):
                self.environment.sometimes.took(Path.KILLED_WITHIN_APPEND)
            self.scheduler.kill(name)

    def collect(self) -> None:
        """Forget replicas that have left."""
        for name in [name for name in self.replicas if not self.scheduler.runs(name)]:
            del self.replicas[name]

    def some(self) -> Replica:
        """Return one of the replicas, more often an owner; start one if there is none."""
        self.collect()
        rng = self.scheduler.rng
        owners = [one for one in self.replicas.values() if any(one.owns(log.number) for log in self.environment.logs)]
        found = owners if owners and rng.random() < 0.6 else list(self.replicas.values())
        return rng.choice(found) if found else self.start_replica()

    def _owners(self, number: int) -> int:
        return sum(one.owns(number) for one in self.replicas.values())

    def pass_time(self, duration_ms: int) -> None:
        """Time passes while all processes are stopped."""
        self.scheduler.now_ms += duration_ms


Fault = Callable[[World], None]


def kill_replica(world: World) -> None:
    """SIGKILL; often another one is started."""
    world.kill(world.some().name)
    if world.scheduler.rng.random() < 0.7 or not world.replicas:
        world.start_replica()


def start_replica(world: World) -> None:
    """One more."""
    world.collect()
    if len(world.replicas) < MOST_REPLICAS:
        world.start_replica()


def stop_replica(world: World) -> None:
    """SIGSTOP for a while."""
    rng = world.scheduler.rng
    world.scheduler.stop(world.some().name, world.scheduler.now_ms + rng.choice((500, 2_000, 8_000, 30_000)))


def leave(world: World) -> None:
    """SIGTERM, as in a rolling change."""
    world.some().leave()
    if world.scheduler.rng.random() < 0.8:
        world.start_replica()


def trap(world: World) -> None:
    """The next process that comes to a step is killed there, or stopped for longer than its lease."""
    scheduler = world.scheduler
    kills, duration_ms = scheduler.rng.random() < 0.6, scheduler.rng.choice((4_000, 20_000))

    def spring(task: Task) -> None:
        if task.process not in world.replicas:
            return
        if kills:
            world.kill(task.process)
            world.start_replica()
        else:
            scheduler.stop(task.process, scheduler.now_ms + duration_ms)

    scheduler.traps[scheduler.rng.choice(STEPS_TO_TRAP)] = spring


def empty_store(world: World) -> None:
    """FLUSHALL."""
    world.environment.store.wipe()
    world.environment.emptied = True


def break_store(world: World) -> None:
    """The store answers no replica for a while."""
    world.environment.store_broken = True

    def heal() -> None:
        world.environment.store_broken = False

    world.scheduler.later(world.scheduler.rng.choice((0.5, 5.0, 20.0)), heal)


def restore_store(world: World) -> None:
    """The store goes back to how it was some seconds ago."""
    world.environment.store.restore(world.environment.store_copy or world.environment.store.copy_state())
    world.environment.store_copy = world.environment.store.copy_state()


def cut_store(world: World) -> None:
    """One replica does not reach the store for a while."""
    link = world.some().link
    link.store_cut = True
    world.scheduler.later(world.scheduler.rng.choice((1.0, 5.0, 20.0)), lambda: setattr(link, "store_cut", False))


def lose_answers(world: World) -> None:
    """The store executes the next calls of a replica, and the answers are lost."""
    world.some().link.answers_lost += world.scheduler.rng.choice((1, 1, 2, 5))


def cut_kafka(world: World) -> None:
    """One replica does not reach Kafka for a while."""
    link = world.some().link
    link.kafka_cut = True
    world.scheduler.later(world.scheduler.rng.choice((0.5, 3.0, 15.0)), lambda: setattr(link, "kafka_cut", False))


def break_due_log(world: World) -> None:
    """No broker answers for a partition of due records."""
    log = world.scheduler.rng.choice(world.environment.logs)
    log.unavailable = True
    world.scheduler.later(world.scheduler.rng.choice((0.5, 3.0, 15.0)), lambda: setattr(log, "unavailable", False))


def lose_commits(world: World) -> None:
    """The answers of the next commits are lost."""
    rng = world.scheduler.rng
    faults = rng.choices(list(CommitFault), k=rng.choice((1, 1, 2)))
    rng.choice(world.environment.logs).commit_faults += faults


def lose_commits_of_schedules(world: World) -> None:
    """The answers of the next commits of schedules are lost."""
    rng = world.scheduler.rng
    rng.choice(world.environment.writers).commit_faults.append(rng.choice(list(CommitFault)))


def tear(world: World) -> None:
    """A delayed EndTxn ends a part of one of the next transactions."""
    rng = world.scheduler.rng
    torn = TornTransaction(rng.choice((0, 1, 1, 2, 3, 5)), rng.random() < 0.8, rng.random() < 0.5)
    rng.choice(world.environment.logs).torn.append(torn)


def tear_schedules(world: World) -> None:
    """A delayed EndTxn lets one of the next transactions of schedules hang."""
    world.scheduler.rng.choice(world.environment.writers).torn += 1


def give_stale_ends(world: World) -> None:
    """The next fence finds a deposed leader of the partition."""
    rng = world.scheduler.rng
    rng.choice(world.environment.logs).stale_ends += rng.choice(([1], [2], [1, 1], [0, 1]))
    if rng.random() < 0.5:
        kill_replica(world)


def compact(world: World) -> None:
    """Older records of schedules go, and often tombstones too."""
    rng = world.scheduler.rng
    for number in range(world.environment.spec.partitions):
        loading = any(
            one.partitions[number].state.value == "loading"
            for one in world.replicas.values()
            if number in one.partitions
        )
        if loading:
            world.environment.sometimes.took(Path.COMPACTED_WHILE_LOADING)
        world.environment.topic.compact(number, tombstones=rng.random() < 0.7)


def slow_down(world: World) -> None:
    """A replica reads the schedules slowly."""
    world.some().link.slow_s = world.scheduler.rng.choice((0.0, 0.3, 1.0))


def burst(world: World) -> None:
    """The clock catches up by many ticks at once."""
    world.environment.tick(world.scheduler.rng.choice((2, 10, 60)))


def pause_clock(world: World) -> None:
    """No ticks for a while: a backlog."""
    world.environment.paused_until_ms = world.scheduler.now_ms + world.scheduler.rng.choice((2_000, 10_000, 40_000))


def skip_ticks(world: World) -> None:
    """An operator runs `init`."""
    world.environment.clock.skip(world.scheduler.rng.choice((1, 3, 20)))


def delay_ticks(world: World) -> None:
    """A replica gets ticks late."""
    link, rng = world.some().link, world.scheduler.rng
    link.ticks_upto = len(world.environment.clock.ticks)
    world.scheduler.later(rng.choice((0.5, 3.0, 10.0)), lambda: setattr(link, "ticks_upto", None))


def change_interval(world: World) -> None:
    """The clock's interval is changed."""
    world.environment.clock.change_interval()


def set_clock(world: World) -> None:
    """A replica's wall clock is set."""
    world.some().time.skew(world.scheduler.rng.randrange(-SKEW_MS, SKEW_MS + 1))


def pass_hours(world: World) -> None:
    """Nothing runs for an hour or more: a holiday of all processes. Then the retention removes due records."""
    environment, rng = world.environment, world.scheduler.rng
    interval_ms = environment.clock.interval_ms
    world.pass_time(
        rng.choice((HOUR_MS, 3 * HOUR_MS, 3 * HOUR_MS)) if interval_ms >= 60_000 else rng.choice((61_000, 200_000))
    )
    while world.replicas and rng.random() < 0.5:
        kill_replica(world)
    for log in environment.logs:
        log.retain()


WEIGHTS: dict[Fault, float] = {
    kill_replica: 3,
    start_replica: 1,
    stop_replica: 2,
    leave: 1.5,
    trap: 4,
    empty_store: 1.5,
    break_store: 1,
    restore_store: 0.5,
    cut_store: 1,
    lose_answers: 1,
    cut_kafka: 1.5,
    break_due_log: 1,
    lose_commits: 3,
    lose_commits_of_schedules: 1,
    tear: 4,
    tear_schedules: 1.5,
    give_stale_ends: 1.5,
    compact: 1.5,
    slow_down: 0.5,
    burst: 1,
    pause_clock: 1,
    skip_ticks: 0.7,
    change_interval: 0.4,
    delay_ticks: 1,
    set_clock: 0.5,
    pass_hours: 1,
}
"""How often each fault is chosen, relative to the others."""
