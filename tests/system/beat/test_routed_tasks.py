"""Configured tasks for each tick go to the queues of their names, and worker pools do not affect each other."""

from collections.abc import Iterator

import pytest
from celery import Celery

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.beat.beat_installation import MINUTE_MS, WITHIN_S, BeatInstallation, ReceivedTask
from tests.system.beat.run import BEGIN
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
def beats(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Iterator[BeatInstallation]:
    """Three tasks in two namespaces, with a worker for each queue, one of them slow."""
    with ValkeyServer() as valkey:
        folder = tmp_path_factory.mktemp("routed")
        start_ms = int(BEGIN.timestamp() * 1000)
        routes = {"namespaces": NAMESPACES, "route_overrides": {"ingest.errors": "slow"}}
        with BeatInstallation(
            folder, bootstrap, valkey.url, start_ms, "tests.system.beat.routed_app", TASKS, routes
        ) as opened:
            opened.start_worker("ingest-worker", "ingest")
            opened.start_worker("billing-worker", "billing")
            opened.start_worker("slow-worker", "slow")
            opened.start_tick_tasks()
            while not opened.received():
                opened.advance(1)
                opened.wait_for_ticks()
            yield opened


def of(beats: BeatInstallation, task: str, after_ms: int) -> list[ReceivedTask]:
    return [one for one in beats.received() if one.entry == task and one.due_ms > after_ms]


def until(beats: BeatInstallation, task: str, after_ms: int, count: int) -> list[ReceivedTask]:
    """Wait for this number of tasks."""
    return eventually(
        lambda: found if len(found := of(beats, task, after_ms)) >= count else [],
        within=WITHIN_S,
        what=f"{count} of {task}; {beats.installation.output('dispatchers')}",
    )


def test_each_task_goes_to_the_queue_of_its_name(beats: BeatInstallation) -> None:
    """An override has precedence over its namespace."""
    after_ms = beats.at_ms
    beats.advance(3)

    queues = {task["task"]: {one.queue for one in until(beats, task["task"], after_ms, 3)} for task in TASKS}

    assert queues == {"shop.checkins": {"ingest"}, "shop.errors": {"slow"}, "shop.billing": {"billing"}}


def test_a_blocked_pool_delays_no_other(beats: BeatInstallation) -> None:
    """The others receive each tick at once; the blocked pool runs all its tasks later."""
    after_ms = beats.at_ms
    beats.block.touch()
    for _ in range(5):
        beats.advance(1)
        beats.wait_for_ticks()
        until(beats, "shop.billing", beats.at_ms - MINUTE_MS, 1)
    appended = {tick.at_ms: tick.appended_ms for tick in beats.ticks()}
    assert of(beats, "shop.errors", after_ms) == []
    assert all(one.wall_ms - appended[one.due_ms] < PROMPT_MS for one in of(beats, "shop.billing", after_ms))
    beats.block.unlink()

    assert [one.due_ms for one in until(beats, "shop.errors", after_ms, 5)] == [
        after_ms + minute * MINUTE_MS for minute in range(1, 6)
    ]


def test_a_route_can_be_changed_under_load(beats: BeatInstallation) -> None:
    """Once the dispatcher restarts, new tasks take the new route; queued ones run where they are, and none is lost."""
    after_ms = beats.at_ms
    beats.block.touch()
    beats.advance(10)
    beats.wait_for_ticks()
    until(beats, "shop.billing", after_ms, 10)

    beats.configure(route_overrides={})
    beats.installation.end("dispatchers")
    beats.advance(10)
    beats.start_tick_tasks()
    beats.wait_for_ticks()
    until(beats, "shop.billing", after_ms, 20)
    beats.block.unlink()

    found = until(beats, "shop.errors", after_ms, 20)
    assert sorted(one.due_ms for one in found) == [after_ms + minute * MINUTE_MS for minute in range(1, 21)]
    assert [sum(one.queue == queue for one in found) for queue in ("slow", "ingest")] == [10, 10]


def test_metrics_of_sent_tasks(beats: BeatInstallation) -> None:
    """The number of tasks by namespace and queue, and the dispatcher's checkpoint."""
    installation = beats.installation
    until(beats, "shop.errors", beats.at_ms - MINUTE_MS, 1)
    checkpoint = "clocksvc_dispatcher_checkpoint_timestamp_seconds"
    eventually(
        lambda: installation.samples(checkpoint) == {("story", "tasks"): beats.at_ms / 1000},
        within=WITHIN_S,
        what="the dispatcher's checkpoint to be the clock's time",
    )

    # by clock, dispatcher, namespace, outcome, queue
    counted = installation.samples("clocksvc_tasks_total")
    received = beats.received()
    for namespace, queue in (("ingest", "ingest"), ("ingest", "slow"), ("billing", "billing")):
        count = len({one.id for one in received if one.queue == queue})
        # A process that ended in the middle of a tick sends its tasks again, and they are counted again.
        assert count <= counted["story", "tasks", namespace, "sent", queue] <= count + 3
        assert counted["story", "tasks", namespace, "expired", queue] == 0


def test_a_redelivery_is_recognised(beats: BeatInstallation) -> None:
    """A task that was run is delivered again: the worker does nothing, and the duplicate is counted."""
    (first, *_) = of(beats, "shop.billing", 0)
    before = len(beats.received())
    duplicates = beats.installation.samples("clocksvc_task_duplicates_total")["story",]

    with Celery(broker=beats.installation.redis_url, set_as_current=False) as broker:
        headers = {"clocksvc-clock": "story"}
        broker.send_task(first.entry, [{}], task_id=first.id, queue=first.queue, headers=headers, ignore_result=True)

    eventually(
        lambda: beats.installation.samples("clocksvc_task_duplicates_total")["story",] == duplicates + 1,
        within=WITHIN_S,
        what="the duplicate to be counted",
    )
    beats.advance(1)
    until(beats, "shop.billing", beats.at_ms - MINUTE_MS, 1)
    assert [one.id for one in beats.received()].count(first.id) == 1
    assert len([one for one in beats.received()[before:] if one.entry == "shop.billing"]) == 1
