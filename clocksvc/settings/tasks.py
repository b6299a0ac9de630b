"""The sections `celery`, `tasks`, `namespaces`, `route_overrides` and `taskbroker`, for the tasks that ticks send.

Must not import Celery.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule import EachTick, Schedule, parse_catch_up
from clocksvc.interfaces.task_routes import Routes
from clocksvc.settings.fields import FieldError, Secret, Section, Text, WholeSeconds, raise_errors, suggestion

PROCESSING_DEADLINE_MS = 10_000
"""The same default as in the task platform's own client."""

_PLATFORM_ONLY = ("processing_deadline", "expires")


def _parse_count(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6 else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError("wanted a whole number of at least 1")
    return number


Count = Annotated[int, BeforeValidator(_parse_count)]


class CelerySettings(Section):
    """Celery's broker. If `broker_url` is None, the broker is the Redis of the section `redis`."""

    broker_url: Secret | None = None
    broker_url_file: Text | None = None

    @field_validator("broker_url")
    @classmethod
    def _check_url(cls, value: Secret | None) -> Secret | None:
        if value is not None and "://" not in value.get_secret_value():
            raise ValueError("wanted a broker's URL such as redis://localhost:6379/1 or amqp://…")
        return value


class NamespaceSettings(Section):
    """The Celery queue or the task platform's topic for the tasks of a namespace. Durations are in milliseconds."""

    queue: Text | None = None
    topic: Text | None = None
    processing_deadline: WholeSeconds = PROCESSING_DEADLINE_MS
    expires: WholeSeconds | None = None

    @model_validator(mode="after")
    def _check(self) -> "NamespaceSettings":
        errors = []
        if self.queue is None and self.topic is None:
            errors.append(FieldError(("queue",), "missing: wanted `queue`, or `topic` for the task platform"))
        if self.queue is not None and self.topic is not None:
            errors.append(FieldError(("topic",), "wanted either a queue or a topic", self.topic))
        for name in _PLATFORM_ONLY:
            value = getattr(self, name)
            if self.topic is None and name in self.model_fields_set:
                errors.append(FieldError((name,), "allowed only with `topic`: for Celery, set it in the task itself"))
            elif value is not None and value < 1000:
                errors.append(FieldError((name,), "wanted at least 1s", value))
        raise_errors(errors)
        return self

    @property
    def destination(self) -> str:
        """The name of the queue or topic."""
        return self.queue or self.topic or ""


class TickTaskSettings(Section):
    """A task that is sent at each tick of a clock. `name` selects its route, or `task` if there is no `name`."""

    task: Text = Field(description="a Celery task's name")
    name: Text | None = None
    catch_up: str = "all"
    max_age: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "TickTaskSettings":
        try:
            parse_catch_up("task", self.catch_up, self.max_age)
        except InvalidValue as error:
            raise_errors([FieldError((error.field.removeprefix("task."),), error.wanted, error.value)])
        return self

    @property
    def route(self) -> str:
        """The dotted name that selects the queue."""
        return self.task if self.name is None else self.name

    def schedule(self) -> Schedule:
        """Return a schedule that sends this task at each tick. The schedule's name is the task's name."""
        catch_up, max_age_ms = parse_catch_up("task", self.catch_up, self.max_age)
        return Schedule(self.task, EachTick(), catch_up, max_age_ms)


class TaskbrokerSettings(Section):
    """The application of every task, and the number of taskbrokers for each topic."""

    application: Text | None = None
    replicas: dict[Text, Count] = Field(default_factory=dict)


def check_unique_tasks(tasks: tuple[TickTaskSettings, ...]) -> tuple[TickTaskSettings, ...]:
    """Check that each task occurs only once, because a second entry would have no effect.

    Raises:
        FieldErrors: an error for each second entry.
    """
    first: dict[str, int] = {}
    errors = [
        FieldError((index, "task"), "wanted each task once", task.task)
        for index, task in enumerate(tasks)
        if first.setdefault(task.task, index) != index
    ]
    raise_errors(errors)
    return tasks


def check_route_names(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that each key is a dotted name.

    Raises:
        FieldErrors: an error for each key that is not a dotted name.
    """
    raise_errors(
        [
            FieldError((name,), "wanted a dotted name such as ingest.errors")
            for name in overrides
            if "" in name.split(".")
        ]
    )
    return overrides


def taskbroker_errors(taskbroker: TaskbrokerSettings, routes: Routes) -> Iterator[FieldError]:
    """Find contradictions between the section `taskbroker` and the routes to topics."""
    topics = routes.topics()
    if topics and taskbroker.application is None:
        wanted = f"wanted the application's name, because tasks go to topic {topics[0]!r}"
        yield FieldError(("taskbroker", "application"), wanted, None)
    for topic in taskbroker.replicas.keys() - set(topics):
        wanted = f"wanted a topic of a namespace or an override{suggestion(topic, topics)}"
        yield FieldError(("taskbroker", "replicas", topic), wanted)
