"""The simulated processes: replicas of the service, consumers, producers, heartbeats, clients, operators. Each runs the
product's code."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind
from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import StoreUnavailable
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.leader import Leader, Phase
from clocksvc.service import heartbeats as heartbeat
from clocksvc.service.tick_feed import TickFeed
from tests.faulty.tick_log import FaultyTickLog
from tests.simulation.consumer import Consumer
from tests.simulation.environment import CLOCK, Environment
from tests.simulation.intercepted import (
    InjectedCrash,
    InterceptedStore,
    InterceptedTickLog,
    InterceptedTopics,
    Link,
    Watcher,
)
from tests.simulation.operators import InitRun, OverrideRequest
from tests.simulation.oracle import Oracle, Witness
from tests.simulation.scheduler import Scheduler, SimulatedTime
from tests.simulation.subscriber import Subscriber
from tests.simulation.viewer import Viewer
from tests.simulation.violation import Violation

HEARD_MS = 2_300
"""How often a healthy replica announces itself."""


@dataclass
class Replica:
    """One process of the service: a leader and a feed."""

    name: str
    spec: ClockSpec
    time: SimulatedTime
    link: Link = field(default_factory=Link)
    leaving: bool = False
    leading: bool = False


class Processes:
    """Starts and ends the processes of one simulation.

    Attributes:
        replicas, consumers, feeds: those alive, by name.
        takeovers: how often another process led than before.
        told: the answers that operators got, with counts.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment, oracle: Oracle) -> None:
        self._scheduler, self._environment, self._oracle = scheduler, environment, oracle
        self.replicas: dict[str, Replica] = {}
        self.consumers: dict[str, Consumer] = {}
        self.feeds: dict[str, TickFeed] = {}
        self.subscribers: list[Subscriber] = []
        self.takeovers = self.heartbeats = 0
        self.told: Counter[str] = Counter()
        self._announced: dict[str, int] = {}
        self.beat_link, self.beat_time = Link(), SimulatedTime(scheduler)
        self._leads_now = ""
        self._shown: dict[str, int] = {}
        self._keep = scheduler.rng.choice((5, 2_000))
        self._count = 0
        self.viewer = Viewer(scheduler, environment, oracle)
        scheduler.spawn("viewer", self.viewer.live)

    # -- the service --------------------------------------------------------------------------------------------------

    def start_replica(self, spec: ClockSpec | None = None, skew_ms: int = 0) -> str:
        """Start a process of the service."""
        scheduler, environment = self._scheduler, self._environment
        replica = Replica(self._name("leader"), spec or environment.spec, SimulatedTime(scheduler, skew_ms))
        self.replicas[replica.name] = replica
        witness = Witness(replica.spec, replica.time, environment.out_of_orderness_ms or 0)
        self._oracle.witnesses[replica.name] = witness
        store = InterceptedStore(
            scheduler, environment.store, replica.link, "store", self._watchers(replica.name, witness)
        )
        topics = InterceptedTopics(scheduler, environment.topics, replica.link, witness.read)
        parts = LeaderDependencies(
            replica.spec, store, self._ticklog(replica.name, replica.link), topics, replica.time, self._new_id
        )
        leader = Leader(parts, replica.name, _Leading(self, replica))
        scheduler.spawn(replica.name, lambda: self._lead(replica, leader, store))
        self._start_feed(replica)
        return replica.name

    def kill_replica(self, name: str) -> None:
        """SIGKILL."""
        self._scheduler.kill(name)
        self.replicas.pop(name, None)
        self.feeds.pop(name, None)

    def leads(self) -> str | None:
        """The process that believes it leads; None if none does."""
        return next((name for name, replica in self.replicas.items() if replica.leading), None)

    def began(self, replica: Replica, yes: bool) -> None:
        """A leader reports that it begins or ceases to lead."""
        replica.leading = yes
        if yes and self._leads_now != replica.name:
            self.takeovers += bool(self._leads_now)
            self._leads_now = replica.name

    def _lead(self, replica: Replica, leader: Leader, store: InterceptedStore) -> None:
        """The body of a leader's thread."""
        scheduler = self._scheduler
        while not replica.leaving:
            try:
                wait_s = leader.step()
            except InjectedCrash:
                with suppress(InjectedCrash):
                    leader.start_over()
                wait_s = 1.0
            if leader.phase is not Phase.LEADING or wait_s <= 0:
                scheduler.wait(max(wait_s, 0.0), lambda: replica.leaving)
                continue
            try:
                store.wait_for_notification(wait_s)
            except (StoreUnavailable, InjectedCrash):
                scheduler.wait(wait_s)
        with suppress(InjectedCrash):
            leader.leave()
        self.replicas.pop(replica.name, None)
        self.feeds.pop(replica.name, None)
        scheduler.act(lambda: scheduler.kill(replica.name))

    def _ticklog(self, process: str, link: Link) -> FaultyTickLog:
        environment = self._environment

        def fenced() -> None:
            self._oracle.check()
            environment.fenced_by = process

        def wrote() -> None:
            environment.writing = process

        log = InterceptedTickLog(self._scheduler, environment.log, link, fenced, wrote)
        return FaultyTickLog(log.as_log(), CLOCK)

    def _watchers(self, name: str, witness: Witness) -> dict[str, Watcher]:
        store, scheduler, oracle = self._environment.store, self._scheduler, self._oracle

        def read_progress(call: Callable[[], object], args: tuple[object, ...]) -> object:
            minimum = call()
            witness.minimum_at = scheduler.moment()
            witness.store_ms = now_ms = self._environment.time.now_ms()
            announced = {told[0].digest for told in store._state.replicas.values() if now_ms < told[1]}
            witness.disagreed = len(announced) > 1 or self._another_replica_disagrees(witness.spec)
            return minimum

        def announce(call: Callable[[], object], args: tuple[object, ...]) -> object:
            answer = call()
            self._announced[str(args[0]).partition(" ")[0]] = scheduler.now_ms
            return answer

        def publish(call: Callable[[], object], args: tuple[object, ...]) -> object:
            self._maybe_take_snapshot(always=self._environment.snapshot_before_publish)
            return call()

        def write_roster(call: Callable[[], object], args: tuple[object, ...]) -> object:
            self._maybe_take_snapshot(always=self._environment.snapshot_before_roster)
            before, ids = dict(store._state.clocks), {name: shape.id for name, shape in store._state.topics.items()}
            answer = call()
            after = store._state
            self._environment.store_forgot(set(self._environment.topic_names) - set(after.topics))
            for partition, known_ms in before.items():
                shape = after.topics.get(partition.topic)
                same = shape is not None and shape.id == ids.get(partition.topic) and partition in after.clocks
                if same and after.clocks[partition] != known_ms:
                    raise Violation(f"back: a new roster took {known_ms} away from {partition}")
            return answer

        def write_request_results(call: Callable[[], object], args: tuple[Any, ...]) -> object:
            if self._environment.fenced_by != name:
                oracle.standing.answered_by_an_old_leader(args[1])
            return call()

        def last_tick(call: Callable[[], object], args: tuple[object, ...]) -> object:
            oracle.look_at_the_loss()
            return call()

        return {
            "announce": announce,
            "write_request_results": write_request_results,
            "publish": publish,
            "read_progress": read_progress,
            "write_roster": write_roster,
            "last_tick": last_tick,
        }

    def _start_feed(self, replica: Replica) -> None:
        scheduler, name, store = self._scheduler, replica.name, self._environment.store
        feed = TickFeed(
            CLOCK, InterceptedStore(scheduler, store, replica.link, "feed"), replica.time, buffer_size=self._keep
        )
        self.feeds[name] = feed
        shown = 0

        def beyond() -> bool:
            ticks = store._state.ticks
            return bool(ticks) and ticks[-1].at_ms > shown and not store.broken

        def follow() -> None:
            nonlocal shown
            while True:
                feed.step(0)
                last = feed.last
                if last is not None:
                    if last.at_ms < shown:
                        raise Violation(f"back: {name} showed {shown} and now {last.at_ms}")
                    if last.at_ms != shown:
                        self._oracle.judge_shown(last, name)
                    self._shown[name] = shown = last.at_ms
                elif shown:
                    raise Violation(f"back: {name} showed {shown} and now nothing")
                scheduler.wait(1.0, None if feed.rebuilding else beyond)

        scheduler.spawn(name, follow)

    # -- users of the service ------------------------------------------------------------------------------------------

    def start_consumer(self, skew_ms: int = 0) -> str:
        """Start a consumer of the group."""
        name = self._name("consumer")
        consumer = Consumer(
            name, self._scheduler, self._environment, self._oracle, SimulatedTime(self._scheduler, skew_ms)
        )
        self.consumers[name] = consumer
        consumer.start()
        self.rebalance()
        return name

    def start_canary(self) -> None:
        """Start a consumer of another group, which reads from the end."""
        name = self._name("canary")
        consumer = Consumer(
            name, self._scheduler, self._environment, self._oracle, SimulatedTime(self._scheduler), "canary"
        )
        consumer.watch_from_the_end(self._environment.partitions())

    def kill_consumer(self, name: str) -> None:
        """SIGKILL; the group reassigns its partitions."""
        self._scheduler.kill(name)
        self.consumers.pop(name, None)
        self.rebalance()

    def rebalance(self) -> None:
        """The group coordinator assigns every partition to a living consumer again."""
        environment, names = self._environment, sorted(self.consumers)
        for partition in environment.partitions():
            environment.owners.pop(partition, None)
            if names and partition not in environment.cut:
                environment.owners[partition] = self._scheduler.rng.choice(names)

    def start_subscriber(self) -> None:
        """Start a client of the HTTP API."""
        name = self._name("subscriber")
        subscriber = Subscriber(name, self._scheduler, self._environment, self._oracle, self.feeds, self._shown)
        self.subscribers.append(subscriber)
        self._scheduler.spawn(name, subscriber.live)

    def start_producer(self) -> None:
        """Start honest producers."""
        scheduler, environment = self._scheduler, self._environment

        def produce() -> None:
            while True:
                for partition in environment.partitions():
                    if partition not in environment.muted and scheduler.rng.random() < 0.7:
                        environment.produce(partition)
                scheduler.wait(0.4 if scheduler.calm else scheduler.rng.uniform(0.1, 0.6))

        scheduler.spawn("producer", produce)

    def start_heartbeats(self) -> None:
        """Start Celery's beat and a worker: one round of heartbeats after the other."""
        scheduler, environment, link, time = self._scheduler, self._environment, self.beat_link, self.beat_time
        spec = environment.spec
        assert spec.heartbeat is not None
        every = spec.heartbeat

        def now_ms(call: Callable[[], object], args: tuple[object, ...]) -> object:
            answer = call()
            environment.store_answered = not link.answers_lost
            return answer

        store = InterceptedStore(scheduler, environment.store, link, "beat", {"now_ms": now_ms})
        topics = InterceptedTopics(scheduler, environment.topics, link, beat=partial(environment.beaten, time))

        def beat() -> None:
            while True:
                due_ms, tries = heartbeat.due_ms(every, time.now_ms()), 0
                while True:
                    environment.store_answered = False
                    made, tries = heartbeat.beat(spec, store, topics, time, due_ms), tries + 1
                    self.heartbeats += len(made.delivered)
                    again_s = heartbeat.retry_after_s(spec, made, due_ms, time.now_ms(), tries)
                    if again_s is None or tries > 2:
                        break
                    scheduler.wait(again_s)
                scheduler.wait(1.0)

        scheduler.spawn("heartbeat", beat)

    def init(self, last_tick_ms: int) -> None:
        """Run `clocksvc init` once."""
        name = self._name("init")
        self._oracle.operators.add(name)
        init = InitRun(self._scheduler, self._environment, self._ticklog(name, Link()), self.told)
        self._scheduler.spawn(name, lambda: init.run(last_tick_ms))

    def ask(self, kind: RequestKind, partition: Partition | None = None) -> None:
        """Send a request to the leader, through one of the replicas."""
        names = sorted(self.replicas)
        if names:
            link = self.replicas[self._scheduler.rng.choice(names)].link
            asking = OverrideRequest(self._scheduler, self._environment.store, link, self._oracle, self.told)
            self._scheduler.spawn(self._name("asking"), lambda: asking.run(kind, partition))

    def _maybe_take_snapshot(self, *, always: bool) -> None:
        """Right before a write: a snapshot from here lacks only that write."""
        if always or (not self._scheduler.calm and self._scheduler.rng.random() < 0.12):
            self._environment.take_snapshot()

    def announcements_expired(self) -> None:
        """The store's clock has jumped ahead: earlier announcements have expired there, unnoticed."""
        self._announced.clear()

    def _another_replica_disagrees(self, spec: ClockSpec) -> bool:
        """Another replica is alive, announced itself just now, and has another configuration."""
        heard_ms = self._scheduler.now_ms - HEARD_MS
        return any(
            replica.spec.interval_ms != spec.interval_ms and self._announced.get(name, 0) > heard_ms
            for name, replica in self.replicas.items()
            if not replica.leaving
        )

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def _new_id(self) -> str:
        return f"{self._scheduler.rng.getrandbits(128):032x}"


class _Leading:
    """A leader's observer."""

    def __init__(self, processes: Processes, replica: Replica) -> None:
        self._processes, self._replica = processes, replica

    def leading(self, clock: str, yes: bool) -> None:
        self._processes.began(self._replica, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass
