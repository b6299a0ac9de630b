"""Starts and ends the simulated processes: replicas, consumers, producers, heartbeats, subscribers, operators."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial

from clocksvc.clock.log_owner import Installation
from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import RequestKind
from clocksvc.clock.spec import ClockSpec
from clocksvc.service import heartbeats
from tests.simulation.judge.judge import Judge
from tests.simulation.world.consumer import Consumer
from tests.simulation.world.environment import INSTALLATION, Environment
from tests.simulation.world.intercepted import Intercepted, InterceptedTopics, Link
from tests.simulation.world.operators import LeaderRequest
from tests.simulation.world.replica import Replica, ReplicaBuilder
from tests.simulation.world.scheduler import Scheduler, SimulatedTime
from tests.simulation.world.store_control import StoreControl
from tests.simulation.world.subscriber import Subscriber
from tests.simulation.world.viewer import Viewer

GUESTS = Installation("another", INSTALLATION.store), Installation(INSTALLATION.prefix, "another:6379")
"""Other installations: one with another prefix, and one with the same prefix and another, empty store."""


class Processes:
    """The processes of one simulation.

    Attributes:
        replicas: the living replicas of this installation, by name. guests: those of another one.
        commands: running commands that lead a log.
        consumers: the living consumers, by name.
        viewers: one for each clock.
        takeovers: how often a log was led by another process than before.
        answers: the answers that operators got, with counts.
    """

    def __init__(self, scheduler: Scheduler, environment: Environment, judge: Judge) -> None:
        self._scheduler, self._environment, self._judge = scheduler, environment, judge
        self.replicas: dict[str, Replica] = {}
        self.guests: dict[str, Replica] = {}
        self.commands: dict[str, Replica] = {}
        self.consumers: dict[str, Consumer] = {}
        self.subscribers: list[Subscriber] = []
        self.takeovers = self.heartbeats = 0
        self.answers: Counter[str] = Counter()
        self.heartbeat_link, self.heartbeat_time = Link(), SimulatedTime(scheduler)
        self.widened = not any(plan.late for plan in environment.clocks.values())
        self._led_by: dict[int, str] = {}
        self._count = 0
        self._builder = ReplicaBuilder(scheduler, environment, judge, self._began, self._ended)
        self.viewers = {name: Viewer(scheduler, environment, judge, name) for name in environment.clocks}
        scheduler.spawn("viewer", self._view)

    # -- the service --------------------------------------------------------------------------------------------------

    def present_specs(self) -> dict[str, ClockSpec]:
        """Return the configuration of a replica that starts now."""
        clocks = self._environment.clocks
        return {name: plan.spec for name, plan in clocks.items() if self.widened or not plan.late}

    def start_replica(self, specs: Mapping[str, ClockSpec] | None = None, skew_ms: int = 0) -> str:
        """Start a process of the service."""
        replica = Replica(self._name("leader"), specs or self.present_specs(), SimulatedTime(self._scheduler, skew_ms))
        self.replicas[replica.name] = replica
        self._builder.start(replica, self._environment.access)
        return replica.name

    def start_guest(self) -> str:
        """Start a process of another installation that is configured with the same tick log."""
        environment, scheduler = self._environment, self._scheduler
        replica = Replica(self._name("guest"), self.present_specs(), SimulatedTime(scheduler), GUESTS[self._count % 2])
        self.guests[replica.name] = replica
        access = StoreControl(environment.time, dict.fromkeys(replica.specs, environment.recent_ms))
        self._builder.start(replica, access)
        return replica.name

    def run_init(self, clock: str, last_tick_ms: int, *, skip_ticks: bool = False) -> None:
        """Run `clocksvc init`. If no replica leads the clock's log, the command leads it until its request is done."""
        environment, log = self._environment, log_of(clock)
        if environment.access.holder(log) is not None:
            self.ask(clock, RequestKind.INIT, last_tick_ms=last_tick_ms, skip_ticks=skip_ticks)
            return
        specs = {name: spec for name, spec in self.present_specs().items() if log_of(name) == log}
        if clock not in specs:
            return
        name = self._name("init")
        command = Replica(name, specs, SimulatedTime(self._scheduler), is_command=True)
        self.commands[name] = command
        self._judge.commands.add(name)
        self._builder.start(command, environment.access)
        request = self._request(clock, command.link)

        def run() -> None:
            request.run(RequestKind.INIT, None, last_tick_ms, wait_for_leader=True, skip_ticks=skip_ticks)
            command.leaving = True

        self._scheduler.spawn(self._name(f"asking-{clock}"), run)

    def kill_replica(self, name: str) -> None:
        """SIGKILL."""
        self._scheduler.kill(name)
        self.commands.pop(name, None)
        self.replicas.pop(name, None)
        self.guests.pop(name, None)

    def leads(self, log: int | None = None) -> str | None:
        """Return a process that believes it leads a log, or any log; None if there is none."""
        found = (
            name
            for name, replica in self.replicas.items()
            if (log in replica.leading if log is not None else replica.leading)
        )
        return next(found, None)

    def feeds(self, clock: str) -> dict[str, Replica]:
        """Return the living replicas that show a clock."""
        return {name: replica for name, replica in self.replicas.items() if clock in replica.feeds}

    def _began(self, replica: Replica, log: int, yes: bool) -> None:
        if replica.is_guest:
            return
        (replica.leading.add if yes else replica.leading.discard)(log)
        before = self._led_by.get(log)
        if yes and before != replica.name:
            self.takeovers += before is not None
            self._led_by[log] = replica.name

    def _ended(self, replica: Replica) -> None:
        self.replicas.pop(replica.name, None)
        self.commands.pop(replica.name, None)
        self._scheduler.act(lambda: self._scheduler.kill(replica.name))

    # -- users of the service ------------------------------------------------------------------------------------------

    def start_consumer(self, clock: str, group: str | None = None, skew_ms: int = 0) -> str:
        """Start a consumer of a clock's group."""
        name = self._name("consumer")
        group = group or self._environment.clocks[clock].spec.group
        time = SimulatedTime(self._scheduler, skew_ms)
        consumer = Consumer(name, self._scheduler, self._environment, self._judge, time, clock, group)
        self.consumers[name] = consumer
        consumer.start()
        self.rebalance(group)
        return name

    def start_canary(self, clock: str) -> None:
        """Start a consumer of another group, which reads from the end."""
        name = self._name("canary")
        time = SimulatedTime(self._scheduler)
        consumer = Consumer(name, self._scheduler, self._environment, self._judge, time, clock, "canary")
        consumer.watch_from_the_end(self._environment.clock_partitions(clock))

    def kill_consumer(self, name: str) -> None:
        """SIGKILL; the group reassigns its partitions."""
        self._scheduler.kill(name)
        consumer = self.consumers.pop(name, None)
        if consumer is not None:
            self.rebalance(consumer.group)

    def rebalance(self, group: str | None = None) -> None:
        """The group coordinator assigns every partition to a living consumer again."""
        environment = self._environment
        for one in sorted({group} if group else {each for each, _ in environment.all_groups()}):
            consumers = [consumer for consumer in self.consumers.values() if consumer.group == one]
            for partition in environment.group_partitions(one):
                names = sorted(consumer.name for consumer in consumers if partition.topic in consumer.topics)
                environment.owners.pop((one, partition), None)
                if names and (one, partition) not in environment.cut:
                    environment.owners[one, partition] = self._scheduler.rng.choice(names)

    def start_subscriber(self, clock: str) -> None:
        """Start a client of the HTTP API."""
        name = self._name("subscriber")
        subscriber = Subscriber(name, clock, self._scheduler, self._environment, self._judge, self.feeds)
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
        """Start Celery's beat and a worker: one round of heartbeats after the other, for each clock."""
        for name in self._environment.clocks:
            self._scheduler.spawn("heartbeat", partial(self._send_heartbeats, name))

    def _send_heartbeats(self, clock: str) -> None:
        scheduler, environment = self._scheduler, self._environment
        link, time = self.heartbeat_link, self.heartbeat_time
        store_answered = False

        def now_ms(call: Callable[[], object], args: tuple[object, ...]) -> object:
            nonlocal store_answered
            answer = call()
            store_answered = not link.answers_lost
            return answer

        def before(partitions: Collection[Partition], timestamp_ms: int) -> None:
            self._judge.judge_heartbeats(time, timestamp_ms, store_answered=store_answered)
            environment.note_heartbeats(partitions, timestamp_ms)

        access = environment.access
        store = Intercepted(scheduler, access, access.store(clock), link, "beat", {"now_ms": now_ms})
        topics = InterceptedTopics(scheduler, environment.topics, link, before_heartbeats=before)
        while True:
            spec = environment.clocks[clock].spec
            assert spec.heartbeat is not None
            due_ms, tries = heartbeats.due_ms(spec.heartbeat, time.now_ms()), 0
            while True:
                store_answered = False
                made = heartbeats.beat(spec, store, topics, time, due_ms)
                tries += 1
                self.heartbeats += len(made.delivered)
                again_s = heartbeats.retry_after_s(spec, made, due_ms, time.now_ms(), tries)
                if again_s is None or tries > 2:
                    break
                scheduler.wait(again_s)
            scheduler.wait(1.0)

    def ask(
        self,
        clock: str,
        kind: RequestKind,
        partition: Partition | None = None,
        last_tick_ms: int | None = None,
        *,
        skip_ticks: bool = False,
    ) -> None:
        """Send a request to a clock's leader, through one of the replicas."""
        names = sorted(self.feeds(clock))
        if names:
            asking = self._request(clock, self.replicas[self._scheduler.rng.choice(names)].link)
            self._scheduler.spawn(
                self._name(f"asking-{clock}"),
                lambda: asking.run(kind, partition, last_tick_ms, skip_ticks=skip_ticks),
            )

    def _request(self, clock: str, link: Link) -> LeaderRequest:
        return LeaderRequest(clock, self._scheduler, self._environment, self._judge, link, self.answers)

    def _view(self) -> None:
        while True:
            for viewer in self.viewers.values():
                viewer.look()
            self._scheduler.wait(0.5)

    def quiet(self) -> None:
        """A fault has just happened: holds have time to appear."""
        for viewer in self.viewers.values():
            viewer.quiet_since_ms = self._scheduler.now_ms

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"
