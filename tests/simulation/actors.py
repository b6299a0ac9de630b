"""The simulated processes: replicas of the service, consumers, producers, heartbeats, clients, people. Each runs the
product's real code."""

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
from clocksvc.leader.leader import Leader, Phase
from clocksvc.leader.parts import LeaderDependencies
from clocksvc.memory.tick_log import MemoryTickLog
from clocksvc.service import heartbeats as heartbeat
from clocksvc.service.tick_feed import Feed
from tests.simulation.consumer import Consumer
from tests.simulation.hub import Hub, SimulatedTime
from tests.simulation.keepers import BlownUp, Link, SeenLog, SeenStore, SeenTopics, Watcher
from tests.simulation.oracle import Oracle, Witness
from tests.simulation.people import Asking, Init
from tests.simulation.subscriber import Subscriber
from tests.simulation.viewer import Viewer
from tests.simulation.violation import Violation
from tests.simulation.world import CLOCK, World

HEARD_MS = 2_300
"""So often a replica that is well announces itself."""


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
    """Starts and ends the processes of one world.

    Attributes:
        replicas, consumers, feeds: those alive, by name.
        takeovers: how often another process led than before.
        told: what people were told, and how often.
    """

    def __init__(self, hub: Hub, world: World, oracle: Oracle) -> None:
        self._hub, self._world, self._oracle = hub, world, oracle
        self.replicas: dict[str, Replica] = {}
        self.consumers: dict[str, Consumer] = {}
        self.feeds: dict[str, Feed] = {}
        self.subscribers: list[Subscriber] = []
        self.takeovers = self.heartbeats = 0
        self.told: Counter[str] = Counter()
        self._announced: dict[str, int] = {}
        self.beat_link, self.beat_time = Link(), SimulatedTime(hub)
        self._leads_now = ""
        self._shown: dict[str, int] = {}
        self._keep = hub.rng.choice((5, 2_000))
        self._count = 0
        self.viewer = Viewer(hub, world, oracle)
        hub.spawn("viewer", self.viewer.live)

    # -- the service --------------------------------------------------------------------------------------------------

    def start_replica(self, spec: ClockSpec | None = None, skew_ms: int = 0) -> str:
        """A process of the service."""
        hub, world = self._hub, self._world
        replica = Replica(self._name("leader"), spec or world.spec, SimulatedTime(hub, skew_ms))
        self.replicas[replica.name] = replica
        witness = Witness(replica.spec, replica.time, world.out_of_orderness_ms or 0)
        self._oracle.witnesses[replica.name] = witness
        store = SeenStore(hub, world.store, replica.link, "store", self._watched(replica.name, witness))
        topics = SeenTopics(hub, world.topics, replica.link, witness.read)
        parts = LeaderDependencies(
            replica.spec, store, self._ticklog(replica.name, replica.link), topics, replica.time, self._new_id
        )
        leader = Leader(parts, replica.name, _Leading(self, replica))
        hub.spawn(replica.name, lambda: self._lead(replica, leader, store))
        self._start_feed(replica)
        return replica.name

    def kill_replica(self, name: str) -> None:
        """SIGKILL."""
        self._hub.kill(name)
        self.replicas.pop(name, None)
        self.feeds.pop(name, None)

    def leads(self) -> str | None:
        """Who believes that it leads, if anybody does."""
        return next((name for name, replica in self.replicas.items() if replica.leading), None)

    def began(self, replica: Replica, yes: bool) -> None:
        """A leader says that it begins or ceases to lead."""
        replica.leading = yes
        if yes and self._leads_now != replica.name:
            self.takeovers += bool(self._leads_now)
            self._leads_now = replica.name

    def _lead(self, replica: Replica, leader: Leader, store: SeenStore) -> None:
        """What the leader's thread does."""
        hub = self._hub
        while not replica.leaving:
            try:
                wait_s = leader.step()
            except BlownUp:
                with suppress(BlownUp):
                    leader.start_over()
                wait_s = 1.0
            if leader.phase is not Phase.LEADING or wait_s <= 0:
                hub.wait(max(wait_s, 0.0), lambda: replica.leaving)
                continue
            try:
                store.wait_for_notification(wait_s)
            except (StoreUnavailable, BlownUp):
                hub.wait(wait_s)
        with suppress(BlownUp):
            leader.leave()
        self.replicas.pop(replica.name, None)
        self.feeds.pop(replica.name, None)
        hub.act(lambda: hub.kill(replica.name))

    def _ticklog(self, process: str, link: Link) -> MemoryTickLog:
        world = self._world

        def fenced() -> None:
            self._oracle.check()
            world.fenced_by = process

        def wrote() -> None:
            world.writing = process

        log = SeenLog(self._hub, world.log, link, fenced, wrote)
        return MemoryTickLog(log.as_log(), CLOCK)

    def _watched(self, name: str, witness: Witness) -> dict[str, Watcher]:
        store, hub, oracle = self._world.store, self._hub, self._oracle

        def read_progress(call: Callable[[], object], args: tuple[object, ...]) -> object:
            minimum = call()
            witness.minimum_at = hub.moment()
            witness.store_ms = now_ms = self._world.time.now_ms()
            announced = {told[0].digest for told in store._state.replicas.values() if now_ms < told[1]}
            witness.disagreed = len(announced) > 1 or self._somebody_disagrees(witness.spec)
            return minimum

        def announce(call: Callable[[], object], args: tuple[object, ...]) -> object:
            answer = call()
            self._announced[str(args[0]).partition(" ")[0]] = hub.now_ms
            return answer

        def publish(call: Callable[[], object], args: tuple[object, ...]) -> object:
            self._maybe_take_snapshot(always=self._world.snapshot_before_publish)
            return call()

        def write_roster(call: Callable[[], object], args: tuple[object, ...]) -> object:
            self._maybe_take_snapshot(always=self._world.snapshot_before_roster)
            before, ids = dict(store._state.clocks), {name: shape.id for name, shape in store._state.topics.items()}
            answer = call()
            after = store._state
            self._world.store_forgot(set(self._world.topic_names) - set(after.topics))
            for partition, known_ms in before.items():
                shape = after.topics.get(partition.topic)
                same = shape is not None and shape.id == ids.get(partition.topic) and partition in after.clocks
                if same and after.clocks[partition] != known_ms:
                    raise Violation(f"back: a new roster took {known_ms} away from {partition}")
            return answer

        def write_request_results(call: Callable[[], object], args: tuple[Any, ...]) -> object:
            if self._world.fenced_by != name:
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
        hub, name, store = self._hub, replica.name, self._world.store
        feed = Feed(CLOCK, SeenStore(hub, store, replica.link, "feed"), replica.time, keep=self._keep)
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
                hub.wait(1.0, None if feed.rebuilding else beyond)

        hub.spawn(name, follow)

    # -- those who use it ---------------------------------------------------------------------------------------------

    def start_consumer(self, skew_ms: int = 0) -> str:
        """A process of the group."""
        name = self._name("consumer")
        consumer = Consumer(name, self._hub, self._world, self._oracle, SimulatedTime(self._hub, skew_ms))
        self.consumers[name] = consumer
        consumer.start()
        self.rebalance()
        return name

    def start_canary(self) -> None:
        """A process of another group, which reads from the end."""
        name = self._name("canary")
        consumer = Consumer(name, self._hub, self._world, self._oracle, SimulatedTime(self._hub), "canary")
        consumer.watch_from_the_end(self._world.partitions())

    def kill_consumer(self, name: str) -> None:
        """SIGKILL; the group gives its partitions to the others."""
        self._hub.kill(name)
        self.consumers.pop(name, None)
        self.rebalance()

    def rebalance(self) -> None:
        """The group coordinator hands every partition to a living consumer, anew."""
        world, names = self._world, sorted(self.consumers)
        for partition in world.partitions():
            world.owners.pop(partition, None)
            if names and partition not in world.cut:
                world.owners[partition] = self._hub.rng.choice(names)

    def start_subscriber(self) -> None:
        """A client of the HTTP API."""
        name = self._name("subscriber")
        subscriber = Subscriber(name, self._hub, self._world, self._oracle, self.feeds, self._shown)
        self.subscribers.append(subscriber)
        self._hub.spawn(name, subscriber.live)

    def start_producer(self) -> None:
        """Honest producers."""
        hub, world = self._hub, self._world

        def produce() -> None:
            while True:
                for partition in world.partitions():
                    if partition not in world.muted and hub.rng.random() < 0.7:
                        world.produce(partition)
                hub.wait(0.4 if hub.calm else hub.rng.uniform(0.1, 0.6))

        hub.spawn("producer", produce)

    def start_heartbeats(self) -> None:
        """Celery's beat and a worker: one round after the other."""
        hub, world, link, time = self._hub, self._world, self.beat_link, self.beat_time
        spec = world.spec
        assert spec.heartbeat is not None
        every = spec.heartbeat

        def now_ms(call: Callable[[], object], args: tuple[object, ...]) -> object:
            answer = call()
            world.store_told_time = not link.answers_lost
            return answer

        store = SeenStore(hub, world.store, link, "beat", {"now_ms": now_ms})
        topics = SeenTopics(hub, world.topics, link, beat=partial(world.beaten, time))

        def beat() -> None:
            while True:
                due_ms, tries = heartbeat.due_ms(every, time.now_ms()), 0
                while True:
                    world.store_told_time = False
                    made, tries = heartbeat.beat(spec, store, topics, time, due_ms), tries + 1
                    self.heartbeats += len(made.delivered)
                    again_s = heartbeat.retry_after_s(spec, made, due_ms, time.now_ms(), tries)
                    if again_s is None or tries > 2:
                        break
                    hub.wait(again_s)
                hub.wait(1.0)

        hub.spawn("heartbeat", beat)

    def init(self, last_tick_ms: int) -> None:
        """Somebody runs `clocksvc init` once."""
        name = self._name("init")
        self._oracle.operators.add(name)
        init = Init(self._hub, self._world, self._ticklog(name, Link()), self.told)
        self._hub.spawn(name, lambda: init.run(last_tick_ms))

    def ask(self, kind: RequestKind, partition: Partition | None = None) -> None:
        """Somebody asks the leader, through some replica."""
        names = sorted(self.replicas)
        if names:
            link = self.replicas[self._hub.rng.choice(names)].link
            asking = Asking(self._hub, self._world.store, link, self._oracle, self.told)
            self._hub.spawn(self._name("asking"), lambda: asking.run(kind, partition))

    def _maybe_take_snapshot(self, *, always: bool) -> None:
        """Right before a write: what comes back from this lacks nothing but that."""
        if always or (not self._hub.calm and self._hub.rng.random() < 0.12):
            self._world.take_snapshot()

    def announcements_expired(self) -> None:
        """The store's clock has jumped ahead: what was announced before is over there, and nobody can tell."""
        self._announced.clear()

    def _somebody_disagrees(self, spec: ClockSpec) -> bool:
        """Another replica is alive, was heard just now, and is configured otherwise: whatever the store still knows."""
        heard_ms = self._hub.now_ms - HEARD_MS
        return any(
            replica.spec.interval_ms != spec.interval_ms and self._announced.get(name, 0) > heard_ms
            for name, replica in self.replicas.items()
            if not replica.leaving
        )

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"

    def _new_id(self) -> str:
        return f"{self._hub.rng.getrandbits(128):032x}"


class _Leading:
    """A leader's observer."""

    def __init__(self, processes: Processes, replica: Replica) -> None:
        self._processes, self._replica = processes, replica

    def leading(self, clock: str, yes: bool) -> None:
        self._processes.began(self._replica, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        pass
