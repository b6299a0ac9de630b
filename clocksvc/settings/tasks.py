"""The sections `celery`, `tasks`, `namespaces`, `route_overrides` and `taskbroker`, for the tasks that ticks send.

Must not import Celery.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from clocksvc.errors import InvalidValue
from clocksvc.interfaces.due_sink import SinkKind
from clocksvc.interfaces.schedule import EachTick, Schedule, parse_catch_up
from clocksvc.interfaces.task_routes import Routes, worker_namespace
from clocksvc.settings.fields import FieldError, Secret, Section, Text, WholeSeconds, raise_errors, suggestion

PROCESSING_DEADLINE_MS = 10_000
"""The same default as in the task platform's own client."""

MAX_ATTEMPTS = 1000
_DURATIONS = ("processing_deadline", "expires")
_PLATFORM_ONLY = ("application", "max_attempts", "at_most_once", "on_exhaustion", *_DURATIONS)
_VERIFIED = {"ssl_cert_reqs": ("required", "cert_required"), "ssl_check_hostname": ("true", "1", "yes")}
"""The parameters of a `rediss://` URL that make Celery verify, and their accepted values; the first is the default."""
_IN_TASK = "for Celery, set it in the task itself"


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
        return None if value is None else SecretStr(";".join(map(_verified, value.get_secret_value().split(";"))))


def _verified(url: str) -> str:
    """Return a URL with which Celery verifies the broker's certificate. Without parameters, it would not for `rediss://`.

    Raises:
        ValueError: the URL switches the verification off.
    """
    if not url.lower().startswith("rediss://"):
        return url
    address, _, query = url.partition("?")
    arguments = {name.lower(): value for name, value in parse_qsl(query, keep_blank_values=True)}
    for name, accepted in _VERIFIED.items():
        if arguments.setdefault(name, accepted[0]).lower() not in accepted:
            raise ValueError(f"wanted {name}={accepted[0]}: the broker's certificate is always verified")
    return f"{address}?{urlencode(arguments)}"


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
        outside = [name for name in _DURATIONS if self.topic is None and name in self.model_fields_set]
        errors += [FieldError((name,), f"allowed only with `topic`: {_IN_TASK}") for name in outside]
        errors += [error for error in _duration_errors(self) if error.path[0] not in outside]
        raise_errors(errors)
        return self

    @property
    def destination(self) -> str:
        """The name of the queue or topic."""
        return self.queue or self.topic or ""


class TickTaskSettings(Section):
    """A task that is sent at each tick of a clock. `name` selects its route, or `task` if there is no `name`.

    The fields from `application` on are for the task platform alone. A duration that is None is the namespace's.
    """

    task: Text = Field(description="the task's name in Celery or the task platform")
    name: Text | None = None
    catch_up: str = "all"
    max_age: str | None = None
    arguments: dict[Text, Any] = Field(default_factory=dict)
    application: Text | None = None
    max_attempts: Count = 1
    at_most_once: bool = False
    on_exhaustion: Literal["discard", "dead_letter"] = "discard"
    processing_deadline: WholeSeconds | None = None
    expires: WholeSeconds | None = None

    @model_validator(mode="after")
    def _check(self) -> "TickTaskSettings":
        errors = [*self._retry_errors(), *_duration_errors(self)]
        try:
            parse_catch_up("task", self.catch_up, self.max_age)
        except InvalidValue as error:
            errors.append(FieldError((error.field.removeprefix("task."),), error.wanted, error.value))
        for name, value in self.arguments.items():
            if not _is_json(value):
                wanted = "wanted text, numbers, true, false, null, and lists and mappings of them: put a date in quotes"
                errors.append(FieldError(("arguments", name), wanted))
        raise_errors(errors)
        return self

    def _retry_errors(self) -> Iterator[FieldError]:
        if self.max_attempts > MAX_ATTEMPTS:
            yield FieldError(("max_attempts",), f"wanted at most {MAX_ATTEMPTS}", self.max_attempts)
        if self.at_most_once and self.max_attempts > 1:
            wanted = f"wanted false, because max_attempts is {self.max_attempts}: the second attempt would be refused"
            yield FieldError(("at_most_once",), wanted, True)
        if self.at_most_once and self.on_exhaustion == "dead_letter":
            wanted = (
                "wanted 'discard' with at_most_once, because the platform also treats a refused duplicate of a task "
                "that succeeded as failed"
            )
            yield FieldError(("on_exhaustion",), wanted, self.on_exhaustion)

    @property
    def route(self) -> str:
        """The dotted name that selects the queue."""
        return self.task if self.name is None else self.name

    @property
    def schedule_name(self) -> str:
        """The namespace and the name, which together identify a task. Tasks of two namespaces can have one name."""
        return f"{worker_namespace(self.route)}:{self.task}"

    def schedule(self) -> Schedule:
        """Return a schedule that sends this task at each tick."""
        catch_up, max_age_ms = parse_catch_up("task", self.catch_up, self.max_age)
        return Schedule(self.schedule_name, EachTick(), catch_up, max_age_ms)


class TaskbrokerSettings(Section):
    """The application of tasks that do not name theirs, and the number of taskbrokers for each topic."""

    application: Text | None = None
    replicas: dict[Text, Count] = Field(default_factory=dict)


def check_unique_tasks(tasks: tuple[TickTaskSettings, ...]) -> tuple[TickTaskSettings, ...]:
    """Check that each task of a namespace occurs only once, because a second entry would have no effect.

    Raises:
        FieldErrors: an error for each second entry.
    """
    first: dict[str, int] = {}
    errors = [
        FieldError((index, "task"), "wanted each task once in its namespace", task.task)
        for index, task in enumerate(tasks)
        if first.setdefault(task.schedule_name, index) != index
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


def taskbroker_errors(
    taskbroker: TaskbrokerSettings, routes: Routes, tasks: Mapping[str, tuple[TickTaskSettings, ...]]
) -> Iterator[FieldError]:
    """Find contradictions between the section `taskbroker`, the routes to topics, and the tasks of each clock."""
    topics, without_application = routes.topics(), []
    for clock, of_clock in tasks.items():
        for index, task in enumerate(of_clock):
            topic = routes.topic(task.route)
            if topic is None:
                for name in _PLATFORM_ONLY:
                    if name in task.model_fields_set:
                        wanted = f"allowed only for a task that goes to a topic: {_IN_TASK}"
                        yield FieldError(("clocks", clock, "tasks", index, name), wanted)
            elif task.application is None:
                without_application.append(topic)
    if without_application and taskbroker.application is None:
        wanted = f"wanted the application's name, because tasks go to topic {without_application[0]!r}"
        yield FieldError(("taskbroker", "application"), wanted, None)
    for topic in taskbroker.replicas.keys() - set(topics):
        wanted = f"wanted a topic of a namespace or an override{suggestion(topic, topics)}"
        yield FieldError(("taskbroker", "replicas", topic), wanted)


def sink_errors(taskbroker: TaskbrokerSettings, routes: Routes, sinks: Mapping[str, SinkKind]) -> Iterator[FieldError]:
    """Find clocks whose schedules go to the task platform although the tasks have no topic or no application."""
    for clock, sink in sinks.items():
        if sink is not SinkKind.TASKBROKER:
            continue
        if not routes.topics():
            wanted = "wanted a namespace with a `topic` of the task platform"
            yield FieldError(("clocks", clock, "schedules", "sink"), wanted, sink.value)
        elif taskbroker.application is None:
            wanted = f"wanted the application's name, because the schedules of clock {clock!r} go to the task platform"
            yield FieldError(("taskbroker", "application"), wanted, None)


def _duration_errors(section: NamespaceSettings | TickTaskSettings) -> Iterator[FieldError]:
    for name in _DURATIONS:
        value = getattr(section, name)
        if value is not None and value < 1000:
            yield FieldError((name,), "wanted at least 1s", value)


def _is_json(value: object) -> bool:
    """True if JSON and MessagePack can both represent the value."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(name) and _is_json(one) for name, one in value.items())
    return value is None
