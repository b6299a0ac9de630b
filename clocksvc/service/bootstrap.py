"""The composition root: creates every implementation from the settings, and the running service from them."""

import logging
import os
import socket
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clocksvc.clock.log_owner import Installation, LogOwner, confirm_store
from clocksvc.clock.logs import group_by_log, log_of
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.committed.stats import ObserverStats
from clocksvc.interfaces.schedule import Schedule
from clocksvc.interfaces.schedulers import Schedulers
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.task_queue import TaskQueue
from clocksvc.interfaces.task_routes import PlatformTask
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.interfaces.topics import Topics
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.jobs.dispatcher_owner import DispatcherOwner
from clocksvc.jobs.metrics import Destination, DispatcherMetrics
from clocksvc.kafka.checkpoints import KafkaCheckpoints
from clocksvc.kafka.log_consumers import LogConsumers
from clocksvc.kafka.tick_consumer import KafkaTickConsumer
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.kafka.topics import KafkaTopics
from clocksvc.leader.context import LeaderDependencies, LeaderObserver
from clocksvc.leader.leader import Leader
from clocksvc.leader.runner import LeaderThread
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import RedisAddress, public_address
from clocksvc.runtime.fork import PerProcess
from clocksvc.service.followed_clocks import FollowedClocks
from clocksvc.service.kafka_probe import KafkaProbe
from clocksvc.service.observer_process import ObserverProcess
from clocksvc.settings import Settings

if TYPE_CHECKING:
    from clocksvc.kafka.taskbroker import TaskbrokerProducer

logger = logging.getLogger("clocksvc.service")

LEAVE_S = 10.0
"""How long `Service.stop` waits for all leaders together to release their leases, and then for the feeds to end."""

SWITCH_INTERVAL_S = 0.0001
"""The interval at which CPython switches between threads. With its default of 5 ms, a clock would wait about a dozen
times 5 ms for each tick while the leader of another log works through a backlog."""


def set_switch_interval() -> None:
    """Set the thread switch interval of this process to 0.1 ms, unless it is shorter already.

    This changes the whole process. Therefore the programs that run a Service call it: `clocksvc serve` and the demo.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S))


def holder_name() -> str:
    """Return this process's name as a leader, in the form `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def new_id() -> str:
    """Return 32 random hexadecimal digits."""
    return uuid.uuid4().hex


def installation_of(settings: Settings) -> Installation:
    """Return what identifies the configured installation."""
    address = public_address(settings.redis.address(), socket.gethostname(), _search_domain())
    return Installation(settings.redis.prefix, address)


def _search_domain() -> str:
    """Return the domain in which this machine looks up names without a dot, such as that of a Kubernetes namespace."""
    with suppress(OSError, UnicodeError):
        for line in Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines():
            key, *domains = line.split() or [""]
            if key in ("search", "domain") and domains:
                return domains[0]
    return ""


_connections: PerProcess[dict[tuple[RedisAddress, bool], RedisConnection]] = PerProcess(dict)
"""The pools of connections for each Redis: one for leaders, and one for everything else. All clocks of a process share
them."""


def open_connection(settings: Settings, *, leading: bool = False) -> RedisConnection:
    """Return this process's connection to the configured Redis. It does not connect before its first use.

    Args:
        leading: True for the leaders. Their calls do not wait for those of many HTTP requests.
    """
    key, connections = (settings.redis.address(), leading), _connections.get()
    if key not in connections:
        connections.setdefault(key, RedisConnection(settings.redis.address()))
    return connections[key]


def open_store_server(settings: Settings, *, leading: bool = False) -> RedisStoreServer:
    """Return the configured Redis. Its parts share one of this process's connections: see `open_connection`."""
    return RedisStoreServer(open_connection(settings, leading=leading), settings.redis.prefix)


def open_store(settings: Settings, spec: ClockSpec) -> Store:
    """Return one clock's store in the configured Redis. Closing it does not close the shared connection."""
    return open_store_server(settings).store(spec.name, spec.recent_ticks_ms)


def open_topics(settings: Settings) -> Topics:
    """Return the watched topics of the configured Kafka."""
    return KafkaTopics(settings.kafka_settings())


def open_tick_log(settings: Settings, log: int, time: Time, consumers: LogConsumers | None = None) -> TickLog:
    """Return one log of the configured Kafka.

    Args:
        consumers: the consumers that all logs of the process share; None: the log has its own consumer.
    """
    topic, kafka, keep_ms = settings.tick_log.topic, settings.kafka_settings(), settings.tick_log.keep
    return KafkaTickLog(topic, log, kafka, time, keep_ms, consumers=consumers)


def open_schedulers(settings: Settings, clock: str) -> Schedulers:
    """Return the replicas of the scheduler of a clock, in the configured Redis."""
    return open_store_server(settings).schedulers(clock)


def open_dispatcher(
    settings: Settings,
    spec: ClockSpec,
    name: str,
    schedules: Sequence[Schedule],
    queue: TaskQueue,
    destinations: Mapping[str, Destination],
    time: Time,
    app: str | None = None,
) -> TaskDispatcher:
    """Return one process of a clock's dispatcher, with its metrics in the store.

    Close it at the end, so that another process of this dispatcher can continue.

    Args:
        app: the name of the Celery app that the dispatcher belongs to; None for the service's own dispatcher.
    """
    kafka, topic = settings.kafka_settings(), settings.tick_log.topic
    consumer = KafkaTickConsumer(topic, spec.name, name, kafka, open_tick_log(settings, log_of(spec.name), time))
    checkpoints = KafkaCheckpoints(topic, spec.name, name, kafka, time)
    metrics = DispatcherMetrics(spec.name, name, destinations, open_store(settings, spec))
    metrics.start()
    prefix = settings.redis.prefix
    parts = (schedules, consumer, checkpoints, queue, time, metrics, app)
    check = partial(check_owner, settings, log_of(spec.name))
    return TaskDispatcher(prefix, spec.name, name, *parts, check_owner=check, traced=settings.tracing.task_headers)


def check_owner(settings: Settings, log: int, owner: LogOwner) -> None:
    """Check that a log belongs to the configured installation and its Redis.

    Raises:
        StoreMismatch: it does not.
        StoreUnavailable: Redis does not answer.
    """
    mark = open_store_server(settings).leases(log).read_mark()
    confirm_store(log, installation_of(settings), mark, owner)


def check_dispatcher_owner(settings: Settings, owner: DispatcherOwner, time: Time) -> None:
    """Check that no other app uses a dispatcher. Joins no consumer group. Blocks for some seconds at most.

    Raises:
        DispatcherConflict: another app uses it.
        CheckpointsUnavailable, UnreadableRecord: the checkpoints can't be read.
    """
    topic, kafka = settings.tick_log.topic, settings.kafka_settings()
    checkpoints = KafkaCheckpoints(topic, owner.clock, owner.dispatcher, kafka, time)
    try:
        owner.check(checkpoints.read(lambda: None))
    finally:
        checkpoints.close()


def open_taskbroker(settings: Settings, tasks: Mapping[str, PlatformTask], time: Time) -> TaskQueue:
    """Return Sentry's task platform as a task queue. It does not connect before the first task.

    Args:
        tasks: the platform tasks by schedule name.

    Raises:
        SettingsError: the packages for the task platform are not installed.
    """
    # Imported here, because it needs the packages of the extra `taskbroker`.
    from clocksvc.kafka.taskbroker import TaskbrokerQueue

    return TaskbrokerQueue(tasks, taskbroker_producer(settings, time), time)


def taskbroker_producer(settings: Settings, time: Time) -> "TaskbrokerProducer":
    from clocksvc.kafka.taskbroker import TaskbrokerProducer

    return TaskbrokerProducer(settings.taskbroker.replicas, open_topics(settings), settings.kafka_settings(), time)


class _Leaders:
    """This process's leaders of the logs of some clocks, each with its thread.

    Args:
        clocks: all configured clocks of these logs.
    """

    def __init__(self, settings: Settings, clocks: Iterable[str], topics: Topics, observer: LeaderObserver) -> None:
        self._time = SystemTime()
        self._consumers = LogConsumers.of_many_logs(settings.kafka_settings())
        probe = KafkaProbe(topics, settings.tick_log.topic, self._time)
        self._leaders: dict[int, Leader] = {}
        self._threads: dict[int, LeaderThread] = {}
        server = open_store_server(settings, leading=True)
        for log, names in group_by_log(clocks).items():
            specs, leases = {name: settings.clock_spec(name) for name in names}, server.leases(log)
            parts = LeaderDependencies(
                log=log,
                installation=installation_of(settings),
                specs=specs,
                leases=leases,
                stores={name: server.store(name, spec.recent_ticks_ms) for name, spec in specs.items()},
                ticklog=open_tick_log(settings, log, self._time, self._consumers),
                topics=topics,
                time=self._time,
                kafka_ready=probe.ready,
                new_id=new_id,
            )
            self._leaders[log] = Leader(parts, holder_name(), observer)
            self._threads[log] = LeaderThread(log, self._leaders[log], leases)

    def store_trouble(self, clock: str) -> str | None:
        """Return why the store was unavailable in the last step of the clock's leader; None if it was available."""
        return self._leaders[log_of(clock)].store_trouble

    def start(self) -> None:
        """Start all threads. Returns at once."""
        for thread in self._threads.values():
            thread.start()

    def stop(self) -> None:
        """Ask every leader to finish its round and release its lease. Returns at once."""
        for thread in self._threads.values():
            thread.stop()

    def join(self) -> None:
        """Wait for at most 10 s until the leaders have ended, and close their consumers."""
        deadline = self._time.monotonic() + LEAVE_S
        for log, thread in self._threads.items():
            if not thread.join(deadline - self._time.monotonic()):
                logger.warning("leader did not finish its round in time", extra={"log": log})
        self._consumers.close()


@contextmanager
def leading(settings: Settings, clock: str, observer: LeaderObserver) -> Iterator[None]:
    """Lead the log of a clock in this process, or wait as a standby. Afterwards, release the lease.

    The end blocks for at most 10 s.
    """
    clocks = [name for name in settings.clock_specs() if log_of(name) == log_of(clock)]
    topics = open_topics(settings)
    leaders = _Leaders(settings, clocks, topics, observer)
    leaders.start()
    try:
        yield
    finally:
        leaders.stop()
        leaders.join()
        topics.close()


class _AllObservers:
    """A LeaderObserver that notifies several."""

    def __init__(self, *observers: LeaderObserver) -> None:
        self._observers = observers

    def leading(self, log: int, yes: bool) -> None:
        for one in self._observers:
            one.leading(log, yes)

    def ticked(self, clock: str, count: int, latency_s: float | None) -> None:
        for one in self._observers:
            one.ticked(clock, count, latency_s)


class Service:
    """The leaders of all logs and the feeds of all clocks in one process, and the observer of committed offsets.

    Attributes:
        views: this replica's view of every clock, by name.
    """

    def __init__(self, settings: Settings, observer: LeaderObserver) -> None:
        specs, time = settings.clock_specs(), SystemTime()
        self._leaving = False
        self._topics = open_topics(settings)
        follows_offsets = any(spec.source is Source.COMMITTED for spec in specs.values())
        self._offsets = ObserverProcess(settings, time) if follows_offsets else None
        observers = (observer,) if self._offsets is None else (observer, self._offsets)
        self._leaders = _Leaders(settings, specs, self._topics, _AllObservers(*observers))
        server, schedules = open_store_server(settings), settings.schedules_specs()
        self._followed = FollowedClocks(server, specs, schedules, time, self._leaders.store_trouble)
        self.views = self._followed.views

    def observer_stats(self) -> ObserverStats | None:
        """Return the totals of the observer of committed offsets; None if no clock follows them."""
        return None if self._offsets is None else self._offsets.stats()

    def start(self) -> None:
        """Start all leaders, feeds and the observer. Returns at once."""
        self._followed.start()
        if self._offsets is not None:
            self._offsets.start()
        self._leaders.start()

    def leave(self) -> None:
        """Ask every leader to finish its round and release its lease, and the rest to end. Returns at once."""
        if self._leaving:
            return
        self._leaving = True
        self._followed.stop()
        if self._offsets is not None:
            self._offsets.stop()
        self._leaders.stop()

    def stop(self) -> None:
        """Call `leave`, wait for at most 20 s until all have ended, then close all stores and topics."""
        self.leave()
        self._leaders.join()
        if self._offsets is not None:
            self._offsets.join(LEAVE_S)
        self._followed.join(LEAVE_S)
        self._topics.close()
