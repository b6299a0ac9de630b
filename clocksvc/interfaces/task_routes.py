"""Where a task goes: by the most specific name that has a route. Pure.

Names are dotted paths, from a namespace down: `ingest`, `ingest.errors`, `ingest.errors.close_minute`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Routes:
    """Destinations by name.

    Attributes:
        namespaces: the destination of each namespace. overrides: destinations of narrower names; they win.
        platform: the namespaces whose destinations, by override too, are topics of the task platform; all others are
            queues.
        default: the queue where everything else goes.
    """

    namespaces: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    platform: Collection[str] = frozenset()
    default: str = "clocksvc-tasks"

    def queue(self, name: str) -> str | None:
        """The queue of a dotted name; None where it goes to a topic."""
        return None if self._to_topic(name) else self._destination(name)

    def topic(self, name: str) -> str | None:
        """The topic of a dotted name; None where it goes to a queue."""
        return self._destination(name) if self._to_topic(name) else None

    def namespace(self, name: str) -> str | None:
        """The namespace that a dotted name is in: the most specific one; None where it is in none."""
        return next((above for above in _upwards(name) if above in self.namespaces), None)

    def namespace_or_first(self, name: str) -> str:
        """The namespace that a dotted name is in; where it is in none, its first part."""
        return self.namespace(name) or name.partition(".")[0]

    def queues(self) -> list[str]:
        """Every queue that anything can go to, sorted."""
        return sorted({self.default, *(one for name, one in self._all() if not self._to_topic(name))})

    def topics(self) -> list[str]:
        """Every topic that anything can go to, sorted."""
        return sorted({one for name, one in self._all() if self._to_topic(name)})

    def _destination(self, name: str) -> str:
        routes = {**self.namespaces, **self.overrides}
        return next((routes[above] for above in _upwards(name) if above in routes), self.default)

    def _to_topic(self, name: str) -> bool:
        return self.namespace(name) in self.platform

    def _all(self) -> Iterator[tuple[str, str]]:
        yield from {**self.namespaces, **self.overrides}.items()


def _upwards(name: str) -> Iterator[str]:
    """The name itself, the one above it, and so on."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count])
