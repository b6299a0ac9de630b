"""Configured tasks for each tick go to the queues of their names, and worker pools do not affect each other."""

import json
from collections.abc import Iterator
from functools import partial

import pytest
import redis
from celery import Celery

from clocksvc.clock.time_format import to_rfc3339
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
        lambda: installation.samples(checkpoint) == {("story", "clocksvc"): beats.at_ms / 1000},
        within=WITHIN_S,
        what="the dispatcher's checkpoint to be the clock's time",
    )

    # by clock, dispatcher, namespace, outcome, queue
    counted = installation.samples("clocksvc_tasks_total")
    received = beats.received()
    for namespace, queue in (("ingest", "ingest"), ("ingest", "slow"), ("billing", "billing")):
        count = len({one.id for one in received if one.queue == queue})
        # A process that ended in the middle of a tick sends its tasks again, and they are counted again.
        assert count <= counted["story", "clocksvc", namespace, "sent", queue] <= count + 3
        assert counted["story", "clocksvc", namespace, "expired", queue] == 0


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


TWO_APPS = "tests.system.beat.two_apps"


def due_times(beats: BeatInstallation, queue: str) -> list[str]:
    """The due times of the messages in a queue that no worker reads, in the order of sending."""
    with redis.Redis.from_url(beats.installation.redis_url) as server:
        messages = [json.loads(one) for one in server.lrange(queue, 0, -1)]
    return [message["headers"]["clocksvc-due"] for message in reversed(messages)]


def has_sent(beats: BeatInstallation, queue: str, due: list[str]) -> bool:
    """Whether a queue has messages for exactly these due times, in this order."""
    return due_times(beats, queue) == due


def test_two_apps_without_a_dispatcher_name_both_send_everything(beats: BeatInstallation) -> None:
    """Each has its own position. A third one with the names of the first and of its entry, but with another task, is
    refused, and names what to do."""
    apps = {"crm": "mails", "billing-app": "bills"}
    for name, entry in apps.items():
        beats.start_beat(name, TWO_APPS, APP=name, ENTRY=entry)
    running = beats.installation.processes
    eventually(lambda: all(running[name].wrote("dispatching") for name in apps), within=WITHIN_S, what="both beats")
    after_ms = beats.at_ms
    beats.advance(4)
    expected = [to_rfc3339(after_ms + minute * MINUTE_MS) for minute in range(1, 5)]
    for name in apps:
        eventually(partial(has_sent, beats, name, expected), within=WITHIN_S, what=f"all tasks of {name}")

    beats.start_beat("third", TWO_APPS, loglevel="ERROR", APP="crm", ENTRY="mails", TASK="letters")
    third = running.pop("third")
    assert third.wait(WITHIN_S) == 1
    (line,) = [line for line in third.output().splitlines() if "clocksvc: " in line]
    assert "the dispatcher 'crm' of clock 'story' belongs to another app with the name 'crm'" in line
    assert "its schedules are mails (work), and this app has none of them with the same task (mails (letters))" in line
    assert "Set app.conf.clocksvc_dispatcher" in line
    assert "Traceback" not in third.output()


def test_a_beat_with_another_prefix_is_refused(beats: BeatInstallation) -> None:
    """Its `redis.prefix` is not that of the tick log's installation. The line names both; nothing is sent."""
    installation = beats.installation
    redis = {"url": installation.redis_url, "prefix": "staging"}
    installation.configure("foreign", redis=redis)
    beats.start_beat("foreign", TWO_APPS, loglevel="ERROR", APP="stray", ENTRY="strays")

    foreign = installation.processes.pop("foreign")
    assert foreign.wait(WITHIN_S) == 1
    (line,) = [line for line in foreign.output().splitlines() if "clocksvc: " in line]
    assert f"belongs to the installation {installation.prefix!r} (its redis.prefix), not to 'staging'" in line
    assert "Traceback" not in foreign.output()
