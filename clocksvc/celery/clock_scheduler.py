"""`celery -A app beat -S clocksvc.celery:ClockScheduler`: beat follows the global clock instead of the wall clock.

The entry for 02:00 is sent once everything before 02:00 has been processed. This module translates beat entries and
`@on_tick` tasks into schedules; a `TaskDispatcher` decides what is due and keeps the checkpoint.
"""

import logging
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from celery import Celery, signals
from celery.beat import BeatLazyFunc, ScheduleEntry, Scheduler

from clocksvc import settings as configuration
from clocksvc.celery.command_line import exit_with_message
from clocksvc.celery.on_tick import ATTRIBUTE, TICK_PREFIX, OnTick
from clocksvc.celery.recurrence import recurrence_of
from clocksvc.celery.task_queue import Arguments, CeleryTaskQueue, TaskMessage, destination_of, tick_arguments
from clocksvc.clock.spec import ClockSpec, wanted_clock
from clocksvc.clock.tick import Tick
from clocksvc.errors import InvalidValue, Unavailable, UnreadableRecord
from clocksvc.interfaces.checkpoints import TICK_TASKS
from clocksvc.interfaces.schedule import Schedule, parse_catch_up
from clocksvc.interfaces.time import SystemTime
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.jobs.dispatcher_owner import DispatcherOwner
from clocksvc.kafka.admin import settings_problems
from clocksvc.service import bootstrap
from clocksvc.settings import Settings

logger = logging.getLogger("clocksvc.dispatcher")

CLOCK = "clocksvc_clock"
DISPATCHER = "clocksvc_dispatcher"
"""`CLOCK` and `DISPATCHER` are names of settings of the Celery app."""

STEP_S = 1.0
_DISPATCHER_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")


class ScheduledTask(NamedTuple):
    """A schedule, and the message that is sent each time it is due."""

    schedule: Schedule
    message: TaskMessage


class ClockEntry(ScheduleEntry):  # type: ignore[misc]  # Celery has no type annotations
    """A beat entry with two more options: `catch_up` (`all` or `last`) and `max_age` (such as `1h`)."""

    def __init__(self, *args: Any, catch_up: str = "all", max_age: str | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self.catch_up, self.max_age = catch_up, max_age

    def scheduled(self, interval_ms: int) -> ScheduledTask:
        """Return this entry as a schedule with its message, for a clock with this interval.

        Raises:
            InvalidValue: the name, the schedule or an option of this entry is not valid.
        """
        if not self.name or self.name.startswith(TICK_PREFIX):
            raise InvalidValue("beat_schedule", self.name, f"wanted a name that does not begin with {TICK_PREFIX!r}")
        catch_up, max_age_ms = parse_catch_up(f"beat_schedule[{self.name!r}]", self.catch_up, self.max_age)
        recurrence = recurrence_of(self.name, self.schedule, interval_ms)
        return ScheduledTask(Schedule(self.name, recurrence, catch_up, max_age_ms, self.task), self._message())

    def _message(self) -> TaskMessage:
        def arguments(_: Tick) -> Arguments:
            args = tuple(_evaluated(value) for value in self.args or ())
            return args, {name: _evaluated(value) for name, value in self.kwargs.items()}

        return TaskMessage(self.task, arguments, self.options)


class ClockScheduler(Scheduler):  # type: ignore[misc]  # Celery has no type annotations
    """A Celery beat scheduler that follows a clock.

    The configuration is read from `CLOCKSVC_CONFIG`. The app's setting `clocksvc_clock` is the name of the clock. It
    can be omitted if only one clock is configured. The dispatcher's name is the app's name (`Celery("shop")`), or the
    app's setting `clocksvc_dispatcher`. Apps whose beats follow the same clock must have different dispatcher names.

    Raises, when beat starts:
        SettingsError, InvalidValue: a field of the configuration, the clock or an entry is wrong. The error tells
        which.
        DispatcherConflict: another app uses this dispatcher. It is also raised later by `tick`, if the other app starts
        at the same time.
    """

    Entry = ClockEntry
    sends_tasks_on_tick = True

    _dispatcher: TaskDispatcher | None = None
    _closed = False
    _refused: SystemExit | None = None

    def setup_schedule(self) -> None:
        """Read and check the entries. Called by Celery."""
        super().setup_schedule()
        with exit_with_message():
            self._settings = configuration.load(None, os.environ, check_kafka=settings_problems)
            self._spec, self._name = clock_of(self.app, self._settings), dispatcher_name(self.app)
            entries = [entry.scheduled(self._spec.interval_ms) for entry in self.schedule.values()]
            self._tasks = [*entries, *tasks_on_tick(self.app, self._settings, self._spec)]
        signals.beat_init.connect(self._check_owner)

    def tick(self, *_: Any, **__: Any) -> float:
        """Send due tasks. Return the time until the next call, in seconds. Called by Celery."""
        if self._closed:  # a library has dropped the SystemExit of Celery's signal handler
            raise SystemExit
        if self._dispatcher is None:
            self._dispatcher = self._open(self._tasks)
        try:
            with exit_with_message():
                return self._dispatcher.step(STEP_S)
        except SystemExit as ended:
            self._refused = ended if ended.code else None
            raise

    def close(self) -> None:
        """Close the dispatcher, so that another process can take over at once. Called by Celery.

        Celery's signal handler calls this, too. During a `tick` the dispatcher is closed at the end of the tick.
        """
        self._closed = True
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.close()
        super().close()
        if self._refused is not None:  # Celery has dropped it, and beat would end with exit code 0
            raise self._refused

    @property
    def info(self) -> str:
        """A line for the banner of beat."""
        return "    . by the global clock"

    def _check_owner(self, sender: Any, **_: Any) -> None:
        """End beat before it joins the dispatcher's group, if another app uses the dispatcher."""
        if sender.scheduler is not self:
            return
        entries = {task.schedule.name: task.schedule.task for task in self._tasks}
        owner = DispatcherOwner(self._spec.name, self._name, self._app_name, entries)
        with exit_with_message():
            try:
                bootstrap.check_dispatcher_owner(self._settings, owner, SystemTime())
            except (Unavailable, UnreadableRecord) as error:  # the dispatcher checks it again
                logger.warning("checkpoints can't be read: %s", error, extra={"clock": owner.clock})

    @property
    def _app_name(self) -> str:
        return self.app.main or ""

    def _open(self, tasks: Sequence[ScheduledTask]) -> TaskDispatcher:
        messages = {task.schedule.name: task.message for task in tasks}
        routes, queue = self._settings.routes(), CeleryTaskQueue(self.app, messages)
        destinations = {name: destination_of(self.app, routes, message) for name, message in messages.items()}
        schedules = [task.schedule for task in tasks]
        return bootstrap.open_dispatcher(
            self._settings, self._spec, self._name, schedules, queue, destinations, SystemTime(), self._app_name
        )


def clock_of(app: Celery, settings: Settings) -> ClockSpec:
    """Return the clock that an app's beat follows.

    Raises:
        InvalidValue: the app's setting `clocksvc_clock` is not the name of a configured clock.
    """
    specs = settings.clock_specs()
    name = app.conf.get(CLOCK)
    if name is None and len(specs) == 1:
        return next(iter(specs.values()))
    if name not in specs:
        raise InvalidValue(CLOCK, name, wanted_clock(name, specs))
    return specs[name]


def dispatcher_name(app: Celery) -> str:
    """Return the name of an app's dispatcher: its setting `clocksvc_dispatcher`, or else the app's own name.

    Raises:
        InvalidValue: there is no name, or it has characters that are not allowed, is too long, or is reserved.
    """
    name = app.conf.get(DISPATCHER)
    source = "" if name is not None else f" (the app's name, because {DISPATCHER} is not set)"
    name = app.main if name is None else name
    if name is None:
        wanted = f"wanted a name, because this app has none: write Celery('shop'), or app.conf.{DISPATCHER} = 'shop'"
        raise InvalidValue(DISPATCHER, None, wanted)
    # A slash is not allowed, because it separates the parts of checkpoint keys and task ids.
    if not isinstance(name, str) or not _DISPATCHER_NAME.fullmatch(name) or name == TICK_TASKS:
        wanted = f"wanted 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', and not {TICK_TASKS!r}, which is reserved"
        raise InvalidValue(DISPATCHER, name, f"{wanted}{source}")
    return name


def tasks_on_tick(app: Celery, settings: Settings, spec: ClockSpec) -> list[ScheduledTask]:
    """Return the app's tasks that are decorated with `@on_tick` for this clock.

    Raises:
        InvalidValue: a task is decorated for a clock that is not configured; or a task's name is routed to a topic,
            which Celery workers don't read.
    """
    routes, found = settings.routes(), []
    for name, task in sorted(app.tasks.items()):
        marked = getattr(task, ATTRIBUTE, None)
        if not isinstance(marked, OnTick):
            continue
        if marked.clock not in settings.clocks:
            wanted = wanted_clock(marked.clock, settings.clocks)
            raise InvalidValue(f"on_tick.clock of task {name!r}", marked.clock, wanted)
        if marked.clock == spec.name:
            queue = routes.queue(marked.name)
            if queue is None:
                wanted = f"wanted a name that is routed to a queue, not to topic {routes.topic(marked.name)!r}"
                raise InvalidValue("on_tick.name", marked.name, wanted)
            message = TaskMessage(name, tick_arguments, {"queue": queue}, marked.name)
            found.append(ScheduledTask(marked.schedule(name), message))
    return found


def _evaluated(value: Any) -> Any:
    return value() if isinstance(value, BeatLazyFunc) else value
