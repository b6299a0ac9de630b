"""Recognises checkpoints of another app, so that two apps never share a dispatcher.

If they shared it, each would move the position that the other continues from, and tasks of the other would be lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clocksvc.clock.partition import name_first
from clocksvc.errors import DispatcherConflict
from clocksvc.interfaces.checkpoints import Checkpoint


@dataclass(frozen=True, slots=True)
class DispatcherOwner:
    """The Celery app that a dispatcher belongs to, as far as checkpoints show it.

    An app is recognised by its name and its schedules. A new version of the app can add, change and remove schedules,
    but it must keep the name and the task of at least one. If it kept none, it would look like another app with the
    same name. With a new dispatcher name it loses nothing, because all of its schedules are new and begin at the
    clock's current time.

    Attributes:
        app: the app's name, Celery's `app.main`.
        schedules: the task of each of the app's schedules, by the schedule's name.
    """

    clock: str
    dispatcher: str
    app: str
    schedules: Mapping[str, str]

    def check(self, known: Mapping[str, Checkpoint]) -> None:
        """Check the dispatcher's checkpoints, by key.

        Raises:
            DispatcherConflict: another app has written them. The text contains what to do.
        """
        others = sorted({checkpoint.app for checkpoint in known.values()} - {self.app})
        if others:
            raise DispatcherConflict(
                f"{self._dispatcher} belongs to the app {others[0]!r}, so the app {self.app!r} can't use it: each "
                "would move the position of the other, and tasks would never be sent. Set app.conf.clocksvc_dispatcher "
                "of one of them to a name that no other app uses for this clock"
            )
        registered = _registered(known)
        if registered and not registered.items() & self.schedules.items():
            raise DispatcherConflict(
                f"{self._dispatcher} belongs to another app with the name {self.app!r}: its schedules are "
                f"{_named(registered)}, and this app has none of them with the same task "
                f"({_named(self.schedules) or 'no schedules'}). "
                "Each would move the position of the other, and tasks would never be sent. Set "
                "app.conf.clocksvc_dispatcher of this app to a name that no other app uses for this clock. Do so, too, "
                "if this is the same app and all of its schedules have new names or tasks: new schedules begin at "
                "the clock's current time under any name"
            )

    def missing(self, known: Mapping[str, Checkpoint]) -> str:
        """Return the schedules with checkpoints that the app does not have with the same task, as text; "" for none."""
        return _named({name: task for name, task in _registered(known).items() if self.schedules.get(name) != task})

    @property
    def _dispatcher(self) -> str:
        return f"the dispatcher {self.dispatcher!r} of clock {self.clock!r}"


def _registered(known: Mapping[str, Checkpoint]) -> dict[str, str]:
    """Return the task of each schedule in a dispatcher's checkpoints."""
    return {name: checkpoint.task for name, checkpoint in known.items() if name}


def _named(schedules: Mapping[str, str]) -> str:
    """Return the names of schedules with their tasks, as far as they are known."""
    return name_first([f"{name} ({task})" if task else name for name, task in sorted(schedules.items())])
