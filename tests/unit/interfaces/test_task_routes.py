"""Routes: the most specific name decides."""

import pytest

from clocksvc.interfaces.task_routes import Routes

ROUTES = Routes({"ingest": "q-ingest", "billing": "q-billing"}, {"ingest.errors": "q-slow"})


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        ("ingest", "q-ingest"),
        ("ingest.checkins", "q-ingest"),
        ("ingest.errors", "q-slow"),
        ("ingest.errors.close", "q-slow"),
        ("ingest.errorsome", "q-ingest"),
        ("ingestion", "clocksvc-tasks"),
        ("", "clocksvc-tasks"),
    ],
)
def test_the_most_specific_name_decides(name: str, queue: str) -> None:
    """A name without a route has the route of the name above it. Only complete parts of a name count."""
    assert ROUTES.queue(name) == queue


def test_a_namespace_can_be_overridden() -> None:
    """So a whole namespace can be rerouted without a change to `namespaces`."""
    assert Routes({"ingest": "a"}, {"ingest": "b"}).queue("ingest.x") == "b"


def test_queues_are_listed() -> None:
    """Workers must be started for all of them."""
    assert ROUTES.queues() == ["clocksvc-tasks", "q-billing", "q-ingest", "q-slow"]
    assert ROUTES.topics() == []


MIXED = Routes(
    {"ingest": "t-ingest", "ingest.web": "q-web", "billing": "q-billing"},
    {"ingest.errors": "t-slow", "ingest.web.late": "q-late", "other": "q-other"},
    {"ingest"},
)


@pytest.mark.parametrize(
    ("name", "queue", "topic", "namespace"),
    [
        ("ingest.checkins.close", None, "t-ingest", "ingest"),
        ("ingest.errors.close", None, "t-slow", "ingest"),
        ("ingest.web.close", "q-web", None, "ingest.web"),
        ("ingest.web.late.close", "q-late", None, "ingest.web"),
        ("billing.close", "q-billing", None, "billing"),
        ("other.close", "q-other", None, None),
        ("ingestion", "clocksvc-tasks", None, None),
    ],
)
def test_an_overrides_destination_is_of_its_namespaces_kind(
    name: str, queue: str | None, topic: str | None, namespace: str | None
) -> None:
    """A topic in a namespace whose tasks go to topics, otherwise a queue."""
    assert (MIXED.queue(name), MIXED.topic(name), MIXED.namespace(name)) == (queue, topic, namespace)


def test_topics_and_queues_are_listed_separately() -> None:
    """Those of overrides, too."""
    assert MIXED.topics() == ["t-ingest", "t-slow"]
    assert MIXED.queues() == ["clocksvc-tasks", "q-billing", "q-late", "q-other", "q-web"]
