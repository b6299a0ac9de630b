"""The most specific name wins."""

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
def test_the_most_specific_name_has_the_say(name: str, queue: str) -> None:
    """A name without a route takes that of the name above it; a part of a word is no name."""
    assert ROUTES.queue(name) == queue


def test_an_override_of_a_namespace_itself_wins() -> None:
    """So that a whole namespace can be moved without touching it."""
    assert Routes({"ingest": "a"}, {"ingest": "b"}).queue("ingest.x") == "b"


def test_all_queues_are_known() -> None:
    """Workers can be started for each."""
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
def test_an_override_is_what_its_namespace_is(
    name: str, queue: str | None, topic: str | None, namespace: str | None
) -> None:
    """A topic below a namespace whose tasks go to topics, a queue everywhere else."""
    assert (MIXED.queue(name), MIXED.topic(name), MIXED.namespace(name)) == (queue, topic, namespace)


def test_topics_and_queues_are_told_apart() -> None:
    """Overrides too."""
    assert MIXED.topics() == ["t-ingest", "t-slow"]
    assert MIXED.queues() == ["clocksvc-tasks", "q-billing", "q-late", "q-other", "q-web"]
