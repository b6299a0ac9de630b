"""Sends the tasks of `clocks.*.tasks` while `celery -A clocksvc beat` runs, with one thread for each clock."""

import logging
from collections.abc import Mapping

from celery import Celery

from clocksvc.celery.task_queue import CeleryTaskQueue, RoutingTaskQueue, TaskMessage, tick_and
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.checkpoints import TICK_TASKS
from clocksvc.interfaces.task_queue import TaskQueue
from clocksvc.interfaces.time import SystemTime
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.jobs.metrics import Destination
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.dispatcher")

STEP_S = 1.0
STOP_TIMEOUT_S = 10.0


class TickTasks:
    """One dispatcher for each clock with tasks. Each has its own thread, so that clocks do not delay each other.

    Raises:
        SettingsError: tasks are routed to the task platform, but its packages are not installed.
    """

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._threads = [
            _DispatcherThread(settings, spec, *self._queue_of(spec)).thread()
            for spec in settings.clock_specs().values()
            if settings.clocks[spec.name].tasks
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads after their current step, so that another process can take over.

        Blocks until the steps have ended, at most `STOP_TIMEOUT_S` for each thread.
        """
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(STOP_TIMEOUT_S)

    def _queue_of(self, spec: ClockSpec) -> tuple[TaskQueue, Mapping[str, Destination]]:
        """Return the task queue of a clock's tasks, and a mapping from schedule name to metric labels."""
        routes, messages, platform_tasks, destinations = self._settings.routes(), {}, {}, {}
        for task in self._settings.clocks[spec.name].tasks:
            name, platform_task = task.schedule_name, self._settings.platform_task(task)
            target = routes.queue(task.route) or routes.topic(task.route) or ""
            destinations[name] = Destination(routes.namespace_label(task.route), target)
            if platform_task is None:
                options = {"queue": routes.queue(task.route)}
                messages[name] = TaskMessage(task.task, tick_and(task.arguments), options)
            else:
                platform_tasks[name] = platform_task
        queues: dict[str, TaskQueue] = dict.fromkeys(messages, CeleryTaskQueue(self._app, messages))
        if platform_tasks:
            taskbroker = bootstrap.open_taskbroker(self._settings, platform_tasks, SystemTime())
            queues |= dict.fromkeys(platform_tasks, taskbroker)
        return RoutingTaskQueue(queues), destinations


class _DispatcherThread:
    """The dispatcher of one clock. It is opened at the first step, and opened again after an unexpected exception."""

    def __init__(
        self, settings: Settings, spec: ClockSpec, queue: TaskQueue, destinations: Mapping[str, Destination]
    ) -> None:
        self._settings, self._spec, self._queue, self._destinations = settings, spec, queue, destinations
        self._dispatcher: TaskDispatcher | None = None

    def thread(self) -> WorkerThread:
        """Return a thread that sends this clock's tasks until the thread is stopped."""
        extra = {"clock": self._spec.name, "dispatcher": TICK_TASKS}
        return WorkerThread(
            f"tasks-{self._spec.name}", self._step, log=logger, extra=extra, on_crash=self._close, finish=self._close
        )

    def _step(self) -> float:
        if self._dispatcher is None:
            self._dispatcher = self._open()
        return self._dispatcher.step(STEP_S)

    def _open(self) -> TaskDispatcher:
        schedules = [task.schedule() for task in self._settings.clocks[self._spec.name].tasks]
        return bootstrap.open_dispatcher(
            self._settings, self._spec, TICK_TASKS, schedules, self._queue, self._destinations, SystemTime()
        )

    def _close(self) -> None:
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.close()
