"""Routing: from the dotted name of a task to a Celery queue, or to a topic of Sentry's task platform.

Names are dotted paths that begin with a namespace: `ingest`, `ingest.errors`, `ingest.errors.close_minute`. The most
specific name that has a route wins.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class OnExhaustion(StrEnum):
    """What the task platform does with a task that failed, or that failed in all its attempts."""

    DISCARD = "discard"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class PlatformTask:
    """A task of Sentry's task platform, and its topic.

    Attributes:
        topic: the topic of the processing pool that runs the task.
        application, namespace, name: together they identify the task for a worker.
        processing_deadline_s: the longest time that one execution may run.
        expires_s: the time after which an execution that has not begun is dropped; None for never.
        arguments: keyword arguments besides the tick.
        max_attempts: the number of attempts, with the first one.
        at_most_once: True if the platform must not deliver the task again when an execution does not end in time.
    """

    topic: str
    application: str
    namespace: str
    name: str
    processing_deadline_s: int
    expires_s: int | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    max_attempts: int = 1
    at_most_once: bool = False
    on_exhaustion: OnExhaustion = OnExhaustion.DISCARD


@dataclass(frozen=True, slots=True)
class Routes:
    """Destinations by name.

    Attributes:
        namespaces: the destination of each namespace.
        overrides: the destinations of more specific names. They have precedence.
        platform: the namespaces whose destinations, overrides included, are topics of the task platform. All other
            destinations are queues.
        default: the queue of names without a route.
    """

    namespaces: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    platform: Collection[str] = frozenset()
    default: str = "clocksvc-tasks"

    def queue(self, name: str) -> str | None:
        """Return the queue of a dotted name; None if it goes to a topic."""
        return None if self._to_topic(name) else self._destination(name)

    def topic(self, name: str) -> str | None:
        """Return the topic of a dotted name; None if it goes to a queue."""
        return self._destination(name) if self._to_topic(name) else None

    def namespace(self, name: str) -> str | None:
        """Return the most specific configured namespace of a dotted name; None if no namespace is configured for it."""
        return next((prefix for prefix in _prefixes(name) if prefix in self.namespaces), None)

    def namespace_label(self, name: str) -> str:
        """Return the metric label `namespace` of a dotted name: its configured namespace, else its first part."""
        return self.namespace(name) or name.partition(".")[0]

    def queues(self) -> list[str]:
        """Return all queues in use, sorted."""
        return sorted({self.default, *(target for name, target in self._all() if not self._to_topic(name))})

    def topics(self) -> list[str]:
        """Return all topics in use, sorted."""
        return sorted({target for name, target in self._all() if self._to_topic(name)})

    def _destination(self, name: str) -> str:
        routes = {**self.namespaces, **self.overrides}
        return next((routes[prefix] for prefix in _prefixes(name) if prefix in routes), self.default)

    def _to_topic(self, name: str) -> bool:
        return self.namespace(name) in self.platform

    def _all(self) -> Iterator[tuple[str, str]]:
        yield from {**self.namespaces, **self.overrides}.items()


def worker_namespace(route: str) -> str:
    """Return the namespace in which a platform worker looks up a task.

    This is the dotted name without its last part, or the complete name if it has only one part.
    """
    return route.rpartition(".")[0] or route


def unshareable_partitions(topic: str, partitions: int | None, replicas: int) -> str | None:
    """Return why a number of taskbrokers can't share a topic's partitions evenly; None if they can.

    Args:
        partitions: the topic's number of partitions; None if the topic does not exist.
    """
    setting = f"taskbroker.replicas.{topic}"
    if partitions is None:
        return (
            f"topic {topic!r} does not exist. Create it; its number of partitions must be a multiple of {replicas} "
            f"({setting})"
        )
    if partitions % replicas:
        return (
            f"topic {topic!r} has {partitions} partitions, which {replicas} taskbrokers can't share evenly: wanted a "
            f"multiple of {replicas} ({setting})"
        )
    return None


def _prefixes(name: str) -> Iterator[str]:
    """Yield a dotted name and its prefixes, longest first."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count])
