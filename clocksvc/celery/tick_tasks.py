"""The tasks that the configuration wants at each tick: `celery -A clocksvc beat` sends them, each clock in a thread.

It decides nothing: what is due, and up to where all was sent, is the dispatcher's.
"""

import logging
from collections.abc import Mapping

from celery import Celery

from clocksvc.celery.broker import CeleryBroker
from clocksvc.celery.message import TaskMessage, with_tick
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.checkpoints import TICK_TASKS
from clocksvc.interfaces.task_queue import TaskQueue
from clocksvc.interfaces.time import SystemTime
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.jobs.metrics import Destination
from clocksvc.jobs.routing_task_queue import RoutingTaskQueue
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service import bootstrap as wiring
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.dispatcher")

STEP_S = 1.0
LEAVE_S = 10.0


class TickTasks:
    """One dispatcher for each clock with tasks, each in a thread of its own: one clock's backlog delays no other's.

    Raises:
        SettingsError: tasks go to the task platform, and the packages for it are not installed.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._threads = [
            _Dispatching(settings, spec, *self._parts(spec)).thread()
            for spec in settings.clock_specs().values()
            if settings.clocks[spec.name].tasks
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is under way, and hand the turns on."""
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(LEAVE_S)

    def _parts(self, spec: ClockSpec) -> tuple[TaskQueue, Mapping[str, Destination]]:
        routes, messages, platform, destinations = self._settings.routes(), {}, {}, {}
        for task in self._settings.clocks[spec.name].tasks:
            name, of_platform = task.entry().name, self._settings.platform_task(task)
            place = routes.queue(task.route) or routes.topic(task.route) or ""
            destinations[name] = Destination(routes.namespace_or_first(task.route), place)
            if of_platform is None:
                messages[name] = TaskMessage(task.task, with_tick, {"queue": routes.queue(task.route)})
            else:
                platform[name] = of_platform
        brokers: dict[str, TaskQueue] = dict.fromkeys(messages, CeleryBroker(self._app, messages))
        if platform:
            brokers |= dict.fromkeys(platform, wiring.open_taskbroker(self._settings, platform, SystemTime()))
        return RoutingTaskQueue(brokers), destinations


class _Dispatching:
    """One clock's dispatcher, opened at the first step, and again after an unexpected exception."""

    def __init__(
        self, settings: Settings, spec: ClockSpec, broker: TaskQueue, destinations: Mapping[str, Destination]
    ) -> None:
        self._settings, self._spec, self._broker, self._destinations = settings, spec, broker, destinations
        self._dispatcher: TaskDispatcher | None = None

    def thread(self) -> WorkerThread:
        """A thread that sends this clock's tasks until it is stopped."""
        extra = {"clock": self._spec.name, "dispatcher": TICK_TASKS}
        return WorkerThread(
            f"tasks-{self._spec.name}", self._step, log=logger, extra=extra, on_crash=self._close, finish=self._close
        )

    def _step(self) -> float:
        if self._dispatcher is None:
            self._dispatcher = self._open()
        return self._dispatcher.step(STEP_S)

    def _open(self) -> TaskDispatcher:
        entries = [task.entry() for task in self._settings.clocks[self._spec.name].tasks]
        return wiring.open_dispatcher(
            self._settings, self._spec, TICK_TASKS, entries, self._broker, self._destinations, SystemTime()
        )

    def _close(self) -> None:
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.close()
