"""The configuration of namespaces whose tasks go to the task platform."""

from typing import Any

import pytest

from clocksvc.interfaces.task_routes import PlatformTask
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
