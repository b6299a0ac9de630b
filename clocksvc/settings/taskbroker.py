"""Sentry's task platform. Must not import its packages: it gives names and numbers, in the core's terms."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field

from clocksvc.interfaces.task_routes import Routes
from clocksvc.settings.fields import FieldError, Section, Text
from clocksvc.settings.suggestion import suggestion


def _count(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6 else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError("wanted a whole number of at least 1")
    return number


Count = Annotated[int, BeforeValidator(_count)]


class TaskbrokerSettings(Section):
    """What the platform is told of every task, and what is known of its brokers."""

    application: Text | None = None
    replicas: dict[Text, Count] = Field(default_factory=dict)


def platform_findings(taskbroker: TaskbrokerSettings, routes: Routes) -> Iterator[FieldError]:
    """What does not fit between the platform and the routes that lead to it."""
    topics = routes.topics()
    if topics and taskbroker.application is None:
        wanted = f"wanted the application's name, because tasks go to topic {topics[0]!r}"
        yield FieldError(("taskbroker", "application"), wanted, None)
    for topic in taskbroker.replicas.keys() - set(topics):
        wanted = f"wanted a topic that a namespace or an override goes to{suggestion(topic, topics)}"
        yield FieldError(("taskbroker", "replicas", topic), wanted)
