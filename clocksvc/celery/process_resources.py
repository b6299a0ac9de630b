"""The stores and topics of one worker process, opened when the process first needs them.

Clients don't survive a fork: a pool process opens its own, and never touches, not even to close, its parent's.
"""

import threading

from clocksvc.clock.spec import ClockSpec
from clocksvc.errors import UnknownClock
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.topics import Topics
from clocksvc.runtime.fork import PerProcess
from clocksvc.service import bootstrap as wiring
from clocksvc.settings import Settings


class _Opened:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: dict[str, Store] = {}
        self.topics: Topics | None = None


class ProcessResources:
    """What rounds of heartbeats need, by clock. Safe to use from several threads and after a fork."""

    def __init__(self, settings: Settings) -> None:
        self._specs: dict[str, ClockSpec] = dict(settings.clock_specs())
        self._settings = settings
        self._opened = PerProcess(_Opened)

    def spec(self, clock: str) -> ClockSpec:
        """A configured clock by name; UnknownClock for any other."""
        if clock not in self._specs:
            raise UnknownClock(f"no clock {clock!r} is configured here: wanted one of {', '.join(self._specs)}")
        return self._specs[clock]

    def store(self, spec: ClockSpec) -> Store:
        """This process's store of a clock."""
        opened = self._opened.get()
        with opened.lock:
            if spec.name not in opened.stores:
                opened.stores[spec.name] = wiring.open_store(self._settings, spec)
            return opened.stores[spec.name]

    def topics(self) -> Topics:
        """This process's topics."""
        opened = self._opened.get()
        with opened.lock:
            if opened.topics is None:
                opened.topics = wiring.open_topics(self._settings)
            return opened.topics

    def close(self) -> None:
        """Close what this process opened."""
        opened = self._opened.take()
        if opened is None:
            return
        for store in opened.stores.values():
            store.close()
        if opened.topics is not None:
            opened.topics.close()
