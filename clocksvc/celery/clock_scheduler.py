"""`celery -A app beat -S clocksvc.celery:ClockScheduler`: an ordinary beat schedule whose "now" is the global clock.

The entry for 02:00 is sent once everything before 02:00 has been processed. It decides nothing about ticks, and keeps
nothing itself: what is due, and up to where all was sent, is the dispatcher's.
"""

import os
import re
from typing import Any

from celery import Celery
from celery.beat import BeatLazyFunc, ScheduleEntry, Scheduler

from clocksvc import settings as configuration
from clocksvc.celery.broker import CeleryBroker
from clocksvc.celery.clock_schedules import by_the_clock
from clocksvc.celery.destination import destination
from clocksvc.celery.message import Arguments, TaskMessage, with_tick
from clocksvc.celery.on_tick import MARK, TICK_PREFIX, OnTick
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.checkpoints import (
    BEAT,
    TICK_TASKS,
)
from clocksvc.interfaces.schedule import Entry as DispatcherEntry
from clocksvc.interfaces.schedule import parse_backlog
from clocksvc.interfaces.time import SystemTime
from clocksvc.jobs.dispatcher import TaskDispatcher
from clocksvc.service import bootstrap as wiring
from clocksvc.settings import Settings

CLOCK = "clocksvc_clock"
DISPATCHER = "clocksvc_dispatcher"
STEP_S = 1.0

_DISPATCHER_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")


class ClockEntry(ScheduleEntry):  # type: ignore[misc]  # Celery carries no types
    """A beat entry that may also say `catch_up` (`all` or `last`) and `max_age` (`1h`)."""

    def __init__(self, *args: Any, catch_up: str = "all", max_age: str | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self.catch_up, self.max_age = catch_up, max_age

    def by_the_clock(self, interval_ms: int) -> DispatcherEntry:
        """This entry for a dispatcher. Raises InvalidValue, naming the entry."""
        if not self.name or self.name.startswith(TICK_PREFIX):
            raise InvalidValue("beat_schedule", self.name, f"wanted a name, and none that begins with {TICK_PREFIX!r}")
        catch_up, max_age_ms = parse_backlog(f"beat_schedule[{self.name!r}]", self.catch_up, self.max_age)
        return DispatcherEntry(self.name, by_the_clock(self.name, self.schedule, interval_ms), catch_up, max_age_ms)

    def message(self) -> TaskMessage:
        """What is sent when it is due."""

        def arguments(_: Tick) -> Arguments:
            return _evaluated(self.args), {name: _evaluated_one(value) for name, value in self.kwargs.items()}

        return TaskMessage(self.task, arguments, self.options)


class ClockScheduler(Scheduler):  # type: ignore[misc]  # Celery carries no types
    """Celery's scheduler by a clock. The configuration is `CLOCKSVC_CONFIG`'s; the clock is the app's setting
    `clocksvc_clock`, which may be left out where only one is configured. Apps with beats of their own on one clock
    name them apart by `clocksvc_dispatcher`.

    Raises, when beat starts:
        SettingsError, InvalidValue: what is wrong with configuration, clock or an entry's schedule, by name.
    """

    Entry = ClockEntry

    _dispatcher: TaskDispatcher | None = None

    def setup_schedule(self) -> None:
        """Celery's hook: read and judge the entries."""
        super().setup_schedule()
        settings = configuration.load(None, os.environ)
        spec, self._name = clock_of(self.app, settings), dispatcher_name(self.app)
        scheduled = [(entry.by_the_clock(spec.interval_ms), entry.message()) for entry in self.schedule.values()]
        self._planned = settings, spec, scheduled + on_tick_entries(self.app, settings, spec)

    def tick(self, *_: Any, **__: Any) -> float:
        """Celery's hook: send what is due; seconds until the next call."""
        if self._dispatcher is None:
            self._dispatcher = self._opened(*self._planned)
        return self._dispatcher.step(STEP_S)

    def close(self) -> None:
        """Celery's hook: another process takes over at once."""
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            dispatcher.close()
        super().close()

    @property
    def info(self) -> str:
        """Celery's hook: a line of beat's banner."""
        return "    . by the global clock"

    def _opened(
        self, settings: Settings, spec: ClockSpec, planned: list[tuple[DispatcherEntry, TaskMessage]]
    ) -> TaskDispatcher:
        entries, messages = [entry for entry, _ in planned], {entry.name: message for entry, message in planned}
        routes, broker = settings.routes(), CeleryBroker(self.app, messages)
        destinations = {name: destination(self.app, routes, message) for name, message in messages.items()}
        return wiring.open_dispatcher(settings, spec, self._name, entries, broker, destinations, SystemTime())


def clock_of(app: Celery, settings: Settings) -> ClockSpec:
    """The clock that an app's beat goes by. Raises InvalidValue."""
    specs = settings.clock_specs()
    name = app.conf.get(CLOCK)
    if name is None and len(specs) == 1:
        return next(iter(specs.values()))
    if name not in specs:
        raise InvalidValue(CLOCK, name, f"wanted one of {', '.join(sorted(specs))}")
    return specs[name]


def dispatcher_name(app: Celery) -> str:
    """What an app's beat is named. Raises InvalidValue."""
    name = app.conf.get(DISPATCHER)
    if name is None:
        return BEAT
    # With a slash, positions and task ids of two dispatchers could be the same.
    if not isinstance(name, str) or not _DISPATCHER_NAME.fullmatch(name) or name == TICK_TASKS:
        wanted = f"wanted 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', and not {TICK_TASKS!r}, which is taken"
        raise InvalidValue(DISPATCHER, name, wanted)
    return name


def on_tick_entries(app: Celery, settings: Settings, spec: ClockSpec) -> list[tuple[DispatcherEntry, TaskMessage]]:
    """The app's tasks that are marked for a clock, and what is sent for each: the tick, to the queue of its name.

    Raises:
        InvalidValue: a name goes to a topic, where no worker of Celery's gets anything from.
    """
    routes, found = settings.routes(), []
    for name, task in sorted(app.tasks.items()):
        marked = getattr(task, MARK, None)
        if isinstance(marked, OnTick) and marked.clock == spec.name:
            queue = routes.queue(marked.name)
            if queue is None:
                wanted = f"wanted a name that goes to a queue: its route is topic {routes.topic(marked.name)!r}"
                raise InvalidValue("on_tick.name", marked.name, wanted)
            found.append((marked.entry(name), TaskMessage(name, with_tick, {"queue": queue}, marked.name)))
    return found


def _evaluated(args: Any) -> tuple[Any, ...]:
    return tuple(_evaluated_one(value) for value in args or ())


def _evaluated_one(value: Any) -> Any:
    return value() if isinstance(value, BeatLazyFunc) else value
