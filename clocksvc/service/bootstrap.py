"""The composition root: creates every implementation from the settings, and the running service from them."""

import logging
import os
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.schedule import Schedule
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.task_queue import TaskQueue
from clocksvc.interfaces.task_routes import PlatformTask
from clocksvc.interfaces.tick_log import TickLog
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.interfaces.topics import Topics
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.jobs.metrics import Destination, DispatcherMetrics
from clocksvc.kafka.checkpoints import KafkaCheckpoints
from clocksvc.kafka.tick_consumer import KafkaTickConsumer
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.kafka.topics import KafkaTopics
from clocksvc.leader.context import LeaderDependencies, LeaderObserver
from clocksvc.leader.leader import Leader
from clocksvc.leader.runner import LeaderThread
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store import RedisStore
from clocksvc.redis_url import RedisAddress
from clocksvc.runtime.fork import PerProcess
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service.clock_view import ClockView
from clocksvc.service.tick_feed import TickFeed
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.service")

LEAVE_S = 10.0
"""How long `Service.stop` waits for all leaders together to release their leases, and then for all feeds to end."""

SWITCH_INTERVAL_S = 0.0001
"""The interval at which CPython switches between threads. With its default of 5 ms, a clock would wait about a dozen
times 5 ms for each tick while another clock works through a backlog."""


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


_connections: PerProcess[dict[RedisAddress, RedisConnection]] = PerProcess(dict)
"""One pool of connections for each Redis. All clocks of a process share this pool."""


def open_connection(settings: Settings) -> RedisConnection:
    """Return this process's connection to the configured Redis. It does not connect before its first use."""
    address, connections = settings.redis.address(), _connections.get()
    if address not in connections:
        connections.setdefault(address, RedisConnection(address))
    return connections[address]


def open_store(settings: Settings, spec: ClockSpec) -> Store:
    """Return one clock's store in the configured Redis. Closing it does not close the shared connection."""
    return RedisStore(open_connection(settings), settings.redis.prefix, spec.name, spec.recent_ticks_ms)


def open_topics(settings: Settings) -> Topics:
    """Return the watched topics of the configured Kafka."""
    return KafkaTopics(settings.kafka_settings())


def open_tick_log(settings: Settings, spec: ClockSpec, time: Time) -> TickLog:
    """Return one clock's tick log in the configured Kafka."""
    return KafkaTickLog(spec.tick_log, spec.name, settings.kafka_settings(), time)


def open_dispatcher(
    settings: Settings,
    spec: ClockSpec,
    name: str,
    schedules: Sequence[Schedule],
    queue: TaskQueue,
    destinations: Mapping[str, Destination],
    time: Time,
) -> TaskDispatcher:
    """Return one process of a clock's dispatcher, with its metrics in the store.

    Close it at the end, so that another process of this dispatcher can continue.
    """
    kafka = settings.kafka_settings()
    consumer = KafkaTickConsumer(spec.tick_log, spec.name, name, kafka, time)
    checkpoints = KafkaCheckpoints(spec.tick_log, name, kafka, time)
    metrics = DispatcherMetrics(spec.name, name, destinations, open_store(settings, spec))
    metrics.start()
    return TaskDispatcher(spec.name, name, schedules, consumer, checkpoints, queue, time, metrics)


def open_taskbroker(settings: Settings, tasks: Mapping[str, PlatformTask], time: Time) -> TaskQueue:
    """Return Sentry's task platform as a task queue. It does not connect before the first task.

    Args:
        tasks: the platform tasks by schedule name.

    Raises:
        SettingsError: the packages for the task platform are not installed.
    """
    # Imported here, because it needs the packages of the extra `taskbroker`.
    from clocksvc.kafka.taskbroker import TaskbrokerQueue

    return TaskbrokerQueue(tasks, settings.taskbroker.replicas, open_topics(settings), settings.kafka_settings(), time)


@dataclass(slots=True)
class _Running:
    view: ClockView
    leader: LeaderThread
    feed: TickFeed
    feed_thread: WorkerThread


class Service:
    """The leaders and feeds of all clocks in one process. The API reads `views`."""

    def __init__(self, settings: Settings, observer: LeaderObserver) -> None:
        self._leaving = False
        self._topics = open_topics(settings)
        self._stores: list[Store] = []
        self._time = SystemTime()
        self._clocks = {
            name: self._create(settings, spec, self._time, observer) for name, spec in settings.clock_specs().items()
        }

    def _create(self, settings: Settings, spec: ClockSpec, time: Time, observer: LeaderObserver) -> _Running:
        store = open_store(settings, spec)
        self._stores.append(store)
        parts = LeaderDependencies(spec, store, open_tick_log(settings, spec, time), self._topics, time, new_id)
        leader = Leader(parts, holder_name(), observer)
        feed = TickFeed(spec.name, store, time)
        view = ClockView(spec, store, feed, time, lambda: leader.store_trouble)
        return _Running(view, LeaderThread(spec.name, leader, store), feed, feed.thread())

    @property
    def views(self) -> Mapping[str, ClockView]:
        """This replica's view of every clock, by name."""
        return {name: running.view for name, running in self._clocks.items()}

    def start(self) -> None:
        """Start all leaders and feeds. Returns at once."""
        for running in self._clocks.values():
            running.feed_thread.start()
            running.leader.start()

    def leave(self) -> None:
        """Ask every leader to finish its step and release its lease, and every feed to end. Returns at once."""
        if self._leaving:
            return
        self._leaving = True
        for running in self._clocks.values():
            running.feed_thread.stop()
            running.leader.stop()

    def stop(self) -> None:
        """Call `leave`, wait for at most 20 s until leaders and feeds have ended, then close all stores and topics."""
        self.leave()
        deadline = self._time.monotonic() + LEAVE_S
        for name, running in self._clocks.items():
            if not running.leader.join(deadline - self._time.monotonic()):
                logger.warning("leader did not finish its step in time", extra={"clock": name})
        deadline = self._time.monotonic() + LEAVE_S
        for running in self._clocks.values():
            running.feed_thread.join(deadline - self._time.monotonic())
        for store in self._stores:
            store.close()
        self._topics.close()
