"""The stores and topics of a worker process, opened at their first use.

Clients don't survive a fork. So each pool process opens its own clients, and never uses or closes those of its parent.
"""

import threading

from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.topics import Topics
from clocksvc.runtime.fork import PerProcess
from clocksvc.service import bootstrap
from clocksvc.settings import Settings


class _Clients:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stores: dict[str, Store] = {}
        self.topics: Topics | None = None


class ProcessResources:
    """The stores of a process, one for each clock, and its topics. Several threads may use it, also after a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients = PerProcess(_Clients)

    def spec(self, clock: str) -> ClockSpec:
        """Return the configured clock with this name.

        Raises:
            UnknownClock: no such clock is configured.
        """
        return self._settings.clock_spec(clock)

    def store(self, spec: ClockSpec) -> Store:
        """Return the store of a clock."""
        clients = self._clients.get()
        with clients.lock:
            if spec.name not in clients.stores:
                clients.stores[spec.name] = bootstrap.open_store(self._settings, spec)
            return clients.stores[spec.name]

    def topics(self) -> Topics:
        """Return the topics of the configured Kafka."""
        clients = self._clients.get()
        with clients.lock:
            if clients.topics is None:
                clients.topics = bootstrap.open_topics(self._settings)
            return clients.topics

    def close(self) -> None:
        """Close the clients of this process."""
        clients = self._clients.take()
        if clients is None:
            return
        for store in clients.stores.values():
            store.close()
        if clients.topics is not None:
            clients.topics.close()
