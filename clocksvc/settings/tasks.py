"""What is sent at each tick, and where it goes. Must not import Celery: it gives names, in the core's terms."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule import (
    EachTick,
    Entry,
    parse_backlog,
)
from clocksvc.settings.duration import WholeSeconds
from clocksvc.settings.fields import FieldError, Section, Text, refuse

PROCESSING_DEADLINE_MS = 10_000
"""As the task platform's own client has it for tasks that say nothing."""

_PLATFORM_ALONE = ("processing_deadline", "expires")


class NamespaceSettings(Section):
    """Where a namespace's tasks go: a queue of Celery's, or a topic of the task platform. Durations in ms."""

    queue: Text | None = None
    topic: Text | None = None
    processing_deadline: WholeSeconds = PROCESSING_DEADLINE_MS
    expires: WholeSeconds | None = None

    @model_validator(mode="after")
    def _goes_to_one_place(self) -> "NamespaceSettings":
        findings = []
        if self.queue is None and self.topic is None:
            findings.append(FieldError(("queue",), "missing: wanted a queue, or the task platform's `topic` instead"))
        if self.queue is not None and self.topic is not None:
            findings.append(FieldError(("topic",), "wanted either a queue or a topic", self.topic))
        for name in _PLATFORM_ALONE:
            value = getattr(self, name)
            if self.topic is None and name in self.model_fields_set:
                findings.append(FieldError((name,), "wanted only beside `topic`: Celery's tasks say this themselves"))
            elif value is not None and value < 1000:
                findings.append(FieldError((name,), "wanted at least 1s", value))
        refuse(findings)
        return self

    @property
    def destination(self) -> str:
        """The queue's or the topic's name."""
        return self.queue or self.topic or ""


class TickTaskSettings(Section):
    """A task that is sent at each tick of a clock. `name` is what it is routed by; the task's own unless set."""

    task: Text = Field(description="a Celery task's name")
    name: Text | None = None
    catch_up: str = "all"
    max_age: str | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> "TickTaskSettings":
        try:
            parse_backlog("task", self.catch_up, self.max_age)
        except InvalidValue as error:
            refuse([FieldError((error.field.removeprefix("task."),), error.wanted, error.value)])
        return self

    @property
    def route(self) -> str:
        """The dotted name by which a queue is chosen."""
        return self.task if self.name is None else self.name

    def entry(self) -> Entry:
        """The sender's entry for it."""
        catch_up, max_age_ms = parse_backlog("task", self.catch_up, self.max_age)
        return Entry(self.task, EachTick(), catch_up, max_age_ms)


def check_each_once(tasks: tuple[TickTaskSettings, ...]) -> tuple[TickTaskSettings, ...]:
    """Raises Findings where a task stands twice: its tick would be sent once all the same."""
    first: dict[str, int] = {}
    findings = [
        FieldError((index, "task"), "wanted each task once", task.task)
        for index, task in enumerate(tasks)
        if first.setdefault(task.task, index) != index
    ]
    refuse(findings)
    return tasks


def check_routes(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """Raises Findings for a name that no dotted name can be below."""
    refuse(
        [
            FieldError((name,), "wanted a dotted name such as ingest.errors")
            for name in overrides
            if "" in name.split(".")
        ]
    )
    return overrides
