"""The configuration of namespaces whose tasks go to the task platform."""

from datetime import date
from typing import Any

import pytest

from clocksvc.interfaces.task_routes import OnExhaustion, PlatformTask
from clocksvc.settings import settings_from
from tests.unit.settings.sample_config import CLOCK, loaded, problems_of

pytestmark = pytest.mark.core

TASKS = [{"task": "shop.close", "name": "ingest.errors.close"}, {"task": "shop.bill", "name": "billing.bill"}]


def configured(**sections: Any) -> dict[str, Any]:
    """A configuration with two tasks; one of them goes to a topic."""
    return {
        "clocks": {"checkins": {**CLOCK, "tasks": TASKS}},
        "namespaces": {"ingest": {"topic": "taskworker-ingest"}, "billing": {"queue": "billing"}},
        "taskbroker": {"application": "shop"},
        **sections,
    }


def platform_tasks(data: dict[str, Any]) -> list[PlatformTask | None]:
    settings = settings_from(data)
    return [settings.platform_task(task) for task in settings.clocks["checkins"].tasks]


def test_a_namespace_with_a_topic_goes_to_the_platform() -> None:
    """With the platform's defaults; tasks of the other namespace go to Celery."""
    wanted = PlatformTask("taskworker-ingest", "shop", "ingest.errors", "shop.close", 10, None)

    assert platform_tasks(configured()) == [wanted, None]


def test_fields_of_a_namespace_apply_to_its_overrides() -> None:
    """An override changes the topic of a task and nothing else."""
    data = configured(
        namespaces={"ingest": {"topic": "t", "processing_deadline": "5m", "expires": "1h"}},
        route_overrides={"ingest.errors": "taskworker-slow"},
        taskbroker={"application": "shop", "replicas": {"taskworker-slow": 3, "t": 2}},
    )

    wanted = PlatformTask("taskworker-slow", "shop", "ingest.errors", "shop.close", 300, 3600)
    assert platform_tasks(data) == [wanted, None]
    assert settings_from(data).routes().topics() == ["t", "taskworker-slow"]


def test_options_of_a_task_are_its_own() -> None:
    """Those that the task does not set are the namespace's or the platform's defaults."""
    task: dict[str, Any] = {
        "task": "close",
        "name": "ingest.close",
        "application": "billing",
        "arguments": {"region": "eu", "depths": [1, 2.5, None], "nested": {"on": True}},
        "max_attempts": 3,
        "on_exhaustion": "dead_letter",
        "expires": "5m",
    }
    once = {"task": "once", "name": "ingest.once", "at_most_once": True, "processing_deadline": "2s"}
    data = configured(
        clocks={"checkins": {**CLOCK, "tasks": [task, once]}},
        namespaces={"ingest": {"topic": "t", "processing_deadline": "5m", "expires": "1h"}},
    )

    assert platform_tasks(data) == [
        PlatformTask(
            "t", "billing", "ingest", "close", 300, 300, task["arguments"], 3, False, OnExhaustion.DEAD_LETTER
        ),
        PlatformTask("t", "shop", "ingest", "once", 2, 3600, {}, 1, True, OnExhaustion.DISCARD),
    ]


def test_equal_names_in_two_namespaces_are_two_tasks() -> None:
    """Each has its own schedule, and so its own ids."""
    tasks = [{"task": "close", "name": "ingest.errors.close"}, {"task": "close", "name": "ingest.more.close"}]
    settings = settings_from(configured(clocks={"checkins": {**CLOCK, "tasks": tasks}}))

    names = [task.schedule().name for task in settings.clocks["checkins"].tasks]
    assert names == ["ingest.errors:close", "ingest.more:close"]
    (message,) = problems_of(configured(clocks={"checkins": {**CLOCK, "tasks": [tasks[0], tasks[0]]}}))
    assert message == "clocks.checkins.tasks.1.task: 'close' is not valid: wanted each task once in its namespace"


def test_an_application_of_every_task_is_enough() -> None:
    """Then `taskbroker.application` can be missing."""
    tasks = [{**TASKS[0], "application": "shop"}, TASKS[1]]

    (first, _) = platform_tasks(configured(clocks={"checkins": {**CLOCK, "tasks": tasks}}, taskbroker={}))

    assert first is not None
    assert first.application == "shop"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_attempts": 0}, "max_attempts: 0 is not valid: wanted a whole number of at least 1"),
        ({"max_attempts": 1001}, "max_attempts: 1001 is not valid: wanted at most 1000"),
        (
            {"max_attempts": 3, "at_most_once": True},
            "at_most_once: true is not valid: wanted false, because max_attempts is 3: the second attempt would be",
        ),
        (
            {"at_most_once": True, "on_exhaustion": "dead_letter"},
            "on_exhaustion: 'dead_letter' is not valid: wanted 'discard' with at_most_once",
        ),
        ({"on_exhaustion": "retry"}, "on_exhaustion: 'retry' is not valid: wanted 'discard' or 'dead_letter'"),
        ({"processing_deadline": 0}, "processing_deadline: 0 is not valid: wanted at least 1s"),
        ({"expires": "1500ms"}, "expires: '1500ms' is not valid: wanted whole seconds"),
        *(
            ({"arguments": {"day": wrong}}, "arguments.day: wanted text, numbers, true, false, null, and lists")
            for wrong in (date(2026, 11, 22), float("nan"), 2**64, {1: "one"}, ["\ud800"], b"x")
        ),
    ],
)
def test_an_invalid_option_of_a_task_is_rejected_by_name(options: dict[str, Any], problem: str) -> None:
    """One problem, with what would be right."""
    (message,) = problems_of(configured(clocks={"checkins": {**CLOCK, "tasks": [{**TASKS[0], **options}]}}))

    assert message.startswith(f"clocks.checkins.tasks.0.{problem}")


@pytest.mark.parametrize(
    "options",
    [
        {"application": "shop"},
        {"max_attempts": 2},
        {"at_most_once": True},
        {"on_exhaustion": "dead_letter"},
        {"processing_deadline": "1m"},
        {"expires": "1m"},
    ],
)
def test_an_option_of_the_platform_is_rejected_for_celery(options: dict[str, Any]) -> None:
    """It would have no effect."""
    (message,) = problems_of(configured(clocks={"checkins": {**CLOCK, "tasks": [{**TASKS[1], **options}]}}))

    (name,) = options
    assert message == (
        f"clocks.checkins.tasks.0.{name}: allowed only for a task that goes to a topic: for Celery, set it in the task "
        "itself"
    )


def test_taskbroker_from_the_environment() -> None:
    """Replicas by topic, as in any mapping."""
    environ = {
        "CLOCKSVC_NAMESPACES__INGEST__TOPIC": "taskworker-ingest",
        "CLOCKSVC_TASKBROKER__APPLICATION": "shop",
        "CLOCKSVC_TASKBROKER__REPLICAS__TASKWORKER_INGEST": "3",
    }
    settings = loaded("clocks: {c: {topics: [a], group: g}}", environ)

    assert settings.taskbroker.replicas == {"taskworker-ingest": 3}


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"namespaces": {"a": {}}, "taskbroker": {}}, "namespaces.a.queue: missing: wanted `queue`"),
        (
            {"namespaces": {"a": {"queue": "q", "topic": "t"}}},
            "namespaces.a.topic: 't' is not valid: wanted either a queue or a topic",
        ),
        ({"namespaces": {"a": {"queue": "q", "expires": "1h"}}}, "namespaces.a.expires: allowed only with `topic`"),
        (
            {"namespaces": {"a": {"topic": "t", "processing_deadline": 0}}},
            "namespaces.a.processing_deadline: 0 is not valid: wanted at least 1s",
        ),
        (
            {"namespaces": {"a": {"topic": "t", "expires": "1.5s"}}},
            "namespaces.a.expires: '1.5s' is not valid: wanted whole seconds",
        ),
        ({"taskbroker": {}}, "taskbroker.application: null is not valid: wanted the application's name"),
        (
            {"taskbroker": {"application": "shop", "replicas": {"taskworker-ingets": 2}}},
            "taskbroker.replicas.taskworker-ingets: wanted a topic of a namespace or an override"
            ": did you mean 'taskworker-ingest'?",
        ),
        *(
            (
                {"taskbroker": {"application": "shop", "replicas": {"taskworker-ingest": wrong}}},
                f"taskbroker.replicas.taskworker-ingest: {shown} is not valid: wanted a whole number of at least 1",
            )
            for wrong, shown in [(0, "0"), (-1, "-1"), (True, "true"), (1.5, "1.5"), ("two", "'two'"), (None, "null")]
        ),
    ],
)
def test_an_invalid_value_is_rejected_by_name(sections: dict[str, Any], problem: str) -> None:
    """One problem, with what would be right."""
    (message,) = problems_of(configured(**sections))

    assert message.startswith(problem)


SCHEDULES = {"clocks": {"checkins": {**CLOCK, "schedules": {"sink": "taskbroker"}}}}


def test_a_schedules_task_goes_to_the_topic_of_its_namespace() -> None:
    """Its last part is the task's name for the worker, and the rest its namespace. Without a topic there is no task."""
    settings = settings_from(configured(**SCHEDULES))

    wanted = PlatformTask("taskworker-ingest", "shop", "ingest.errors", "close", 10, None)
    assert settings.platform_task_of_schedule("ingest.errors.close") == wanted
    assert settings.platform_task_of_schedule("billing.close") is None
    assert settings.platform_task_of_schedule("uptime.check") is None


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        (
            {"namespaces": {}},
            "clocks.checkins.schedules.sink: 'taskbroker' is not valid: wanted a namespace with a `topic`",
        ),
        (
            {"taskbroker": {}},
            "taskbroker.application: null is not valid: wanted the application's name, because the schedules",
        ),
    ],
)
def test_schedules_on_the_platform_need_a_route(sections: dict[str, Any], problem: str) -> None:
    """When the process starts, and not at the first tick."""
    (found,) = problems_of(configured(**SCHEDULES, **sections))

    assert problem in found


def test_an_unknown_sink_lists_those_that_there_are() -> None:
    """In words of the configuration."""
    clock = {**CLOCK, "schedules": {"sink": "kafka"}}

    assert problems_of({"clocks": {"checkins": clock}}) == (
        "clocks.checkins.schedules.sink: 'kafka' is not valid: wanted 'topic', 'celery' or 'taskbroker'",
    )
