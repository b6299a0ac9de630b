"""A task for each tick, sent by the configuration, each to the queue of its name; pools do not know each other."""

from collections.abc import Iterator

import pytest
from celery import Celery

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.run import BEGIN
from tests.system.beat.scene import (
    MINUTE_MS,
    WITHIN_S,
    Scene,
    Sent,
)
from tests.waiting import eventually

pytestmark = pytest.mark.path

TASKS = [
    {"task": "shop.checkins", "name": "ingest.checkins"},
    {"task": "shop.errors", "name": "ingest.errors"},
    {"task": "shop.billing", "name": "billing.tick"},
]
NAMESPACES = {"ingest": {"queue": "ingest"}, "billing": {"queue": "billing"}}
PROMPT_MS = 3_000


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[Scene]:
    """Three tasks in two namespaces, a worker for each queue, and one that is slow."""
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("routed")
        start_ms = int(BEGIN.timestamp() * 1000)
        routes = {"namespaces": NAMESPACES, "route_overrides": {"ingest.errors": "slow"}}
        with Scene(folder, bootstrap, valkey.url, start_ms, "tests.system.beat.routed_app", TASKS, routes) as made:
            made.start_worker("ingest-worker", "ingest")
            made.start_worker("billing-worker", "billing")
            made.start_worker("slow-worker", "slow")
            made.start_senders()
            while not made.sent():
                made.drive(1)
                made.until_ticked()
            yield made


def of(scene: Scene, task: str, after_ms: int) -> list[Sent]:
    return [one for one in scene.sent() if one.entry == task and one.due_ms > after_ms]


def until(scene: Scene, task: str, after_ms: int, count: int) -> list[Sent]:
    """Wait for so many tasks."""
    return eventually(
        lambda: found if len(found := of(scene, task, after_ms)) >= count else [],
        within=WITHIN_S,
        what=f"{count} of {task}; {scene.installation.output('dispatchers')}",
    )


def test_each_task_goes_to_the_queue_of_its_name(scene: Scene) -> None:
    """An override wins over its namespace."""
    after_ms = scene.at_ms
    scene.drive(3)

    queues = {task["task"]: {one.queue for one in until(scene, task["task"], after_ms, 3)} for task in TASKS}

    assert queues == {"shop.checkins": {"ingest"}, "shop.errors": {"slow"}, "shop.billing": {"billing"}}


def test_a_blocked_pool_delays_no_other(scene: Scene) -> None:
    """The others get each tick at once; the blocked one gets all of its own when it goes on."""
    after_ms = scene.at_ms
    scene.block.touch()
    for _ in range(5):
        scene.drive(1)
        scene.until_ticked()
        until(scene, "shop.billing", scene.at_ms - MINUTE_MS, 1)
    appended = {tick.at_ms: tick.appended_ms for tick in scene.log()}
    assert of(scene, "shop.errors", after_ms) == []
    assert all(one.wall_ms - appended[one.due_ms] < PROMPT_MS for one in of(scene, "shop.billing", after_ms))
    scene.block.unlink()

    assert [one.due_ms for one in until(scene, "shop.errors", after_ms, 5)] == [
        after_ms + minute * MINUTE_MS for minute in range(1, 6)
    ]


def test_a_route_can_be_moved_under_load(scene: Scene) -> None:
    """Once the dispatcher restarts, new tasks take the new route; queued ones run where they are, and none is lost."""
    after_ms = scene.at_ms
    scene.block.touch()
    scene.drive(10)
    scene.until_ticked()
    until(scene, "shop.billing", after_ms, 10)

    scene.configure(route_overrides={})
    scene.installation.end("dispatchers")
    scene.drive(10)
    scene.start_senders()
    scene.until_ticked()
    until(scene, "shop.billing", after_ms, 20)
    scene.block.unlink()

    found = until(scene, "shop.errors", after_ms, 20)
    assert sorted(one.due_ms for one in found) == [after_ms + minute * MINUTE_MS for minute in range(1, 21)]
    assert [sum(one.queue == queue for one in found) for queue in ("slow", "ingest")] == [10, 10]


def test_what_was_sent_is_measured(scene: Scene) -> None:
    """Each task once, by namespace and queue, and how far the dispatcher has come."""
    installation = scene.installation
    until(scene, "shop.errors", scene.at_ms - MINUTE_MS, 1)
    place = "clocksvc_dispatcher_checkpoint_timestamp_seconds"
    eventually(
        lambda: installation.samples(place) == {("story", "tasks"): scene.at_ms / 1000},
        within=WITHIN_S,
        what="the dispatcher's position to be the clock's",
    )

    # clock, namespace, outcome, queue, dispatcher
    counted = installation.samples("clocksvc_tasks_total")
    sent = scene.sent()
    for namespace, queue in (("ingest", "ingest"), ("ingest", "slow"), ("billing", "billing")):
        got = len({one.id for one in sent if one.queue == queue})
        # A process that was ended in the middle of a tick sends it again: that counts again.
        assert got <= counted["story", namespace, "sent", queue, "tasks"] <= got + 3
        assert counted["story", namespace, "expired", queue, "tasks"] == 0


def test_a_redelivery_is_recognised(scene: Scene) -> None:
    """A worker gets a task again that it has run: it does nothing, and the double is counted."""
    (first, *_) = of(scene, "shop.billing", 0)
    before = len(scene.sent())
    doubles = scene.installation.samples("clocksvc_task_duplicates_total")["story",]

    with Celery(broker=scene.installation.redis_url, set_as_current=False) as broker:
        headers = {"clocksvc-clock": "story"}
        broker.send_task(first.entry, [{}], task_id=first.id, queue=first.queue, headers=headers, ignore_result=True)

    eventually(
        lambda: scene.installation.samples("clocksvc_task_duplicates_total")["story",] == doubles + 1,
        within=WITHIN_S,
        what="the double to be counted",
    )
    scene.drive(1)
    until(scene, "shop.billing", scene.at_ms - MINUTE_MS, 1)
    assert [one.id for one in scene.sent()].count(first.id) == 1
    assert len([one for one in scene.sent()[before:] if one.entry == "shop.billing"]) == 1
