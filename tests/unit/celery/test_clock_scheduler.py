"""What ClockScheduler makes of an app, before it sends anything: entries, names that can't be, and what is counted."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery
from celery.beat import BeatLazyFunc
from kombu.exceptions import OperationalError

from clocksvc.celery import ClockScheduler, on_tick
from clocksvc.celery.clock_scheduler import tasks_on_tick
from clocksvc.celery.task_queue import CeleryTaskQueue, TaskMessage, destination_of, tick_arguments
from clocksvc.clock.tick import Tick
from clocksvc.errors import ClocksvcError, InvalidValue, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import Routes
from clocksvc.settings import load

pytestmark = pytest.mark.core

MINUTE_MS = 60_000
TICK = Tick("checkins", 10 * MINUTE_MS, 9 * MINUTE_MS, MINUTE_MS, 10 * MINUTE_MS)
DUE_TASK = DueTask("checkins", "beat", "e", TICK.at_ms, TICK)
EVERY = {"task": "shop.bills", "schedule": timedelta(minutes=1)}
ROUTES = Routes({"ingest": "ingest"}, {"ingest.errors": "slow"})


def close(tick: dict[str, Any]) -> None:
    """A task."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app on a machine whose configuration has one clock."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text(yaml.safe_dump({"clocks": {"checkins": {"topics": ["t"], "group": "g"}}}))
    monkeypatch.setenv("CLOCKSVC_CONFIG", str(config))
    with Celery("shop", set_as_current=False, broker="memory://") as made:
        made.conf.beat_schedule = {"bills": EVERY}
        yield made


def test_an_ordinary_schedule_is_taken(app: Celery) -> None:
    """With the names that a dispatcher may have."""
    app.conf.clocksvc_dispatcher = "shop_EU.1-a"

    ClockScheduler(app)


@pytest.mark.parametrize("name", ["tasks", "shop/eu", "", "a b", "x" * 64, 7])
def test_a_sender_that_could_be_taken_for_another_is_refused(app: Celery, name: Any) -> None:
    """`tasks` is the service's own: with its name, one of the two would never have a turn."""
    app.conf.clocksvc_dispatcher = name

    with pytest.raises(InvalidValue, match="clocksvc_dispatcher"):
        ClockScheduler(app)


@pytest.mark.parametrize("name", ["", "tick:shop.close"])
def test_an_entry_that_could_be_taken_for_another_is_refused(app: Celery, name: str) -> None:
    """By the dispatcher's own position, or by a task for each tick."""
    app.conf.beat_schedule = {name: EVERY}

    with pytest.raises(InvalidValue, match="beat_schedule"):
        ClockScheduler(app)


def test_two_tasks_may_be_routed_by_one_name(app: Celery) -> None:
    """Each is sent."""
    for name in ("shop.one", "shop.two"):
        on_tick("checkins", name="ingest.errors")(app.task(name=name, shared=False)(close))
    settings = load(None, os.environ)

    found = tasks_on_tick(app, settings, settings.clock_specs()["checkins"])

    assert len({task.schedule.name for task in found}) == 2
    assert {task.message.task for task in found} == {"shop.one", "shop.two"}


def test_a_mark_below_the_task_is_refused() -> None:
    """It would be on a function that nobody looks at, and no tick would ever send it."""
    with pytest.raises(InvalidValue, match=r"above @app\.task"):
        on_tick("checkins", name="ingest.close")(close)


def by_a_router(name: str, args: Any, *_: Any, **__: Any) -> dict[str, str]:
    return {"queue": f"queue-of-{args[0]}"}


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
@pytest.mark.parametrize(
    ("conf", "task", "options", "route", "expected"),
    [
        ({}, {}, {}, "", ("shop", "celery")),
        ({"task_default_queue": "mine"}, {}, {}, "", ("shop", "mine")),
        ({}, {"queue": "own"}, {}, "", ("shop", "own")),
        ({}, {"queue": "own"}, {"queue": "slow"}, "ingest.errors", ("ingest", "slow")),
        ({"task_routes": {"shop.*": {"queue": "routed"}}}, {}, {}, "", ("shop", "routed")),
        ({}, {}, {"exchange": "e", "routing_key": "key"}, "", ("shop", "key")),
        ({"task_routes": by_a_router}, {}, {}, "", ("shop", "")),
    ],
)
def test_what_is_counted_is_where_celery_sends(
    conf: dict[str, Any], task: dict[str, Any], options: dict[str, Any], route: str, expected: tuple[str, str]
) -> None:
    """The queue by Celery's own rules, empty where it depends on the arguments; the namespace by the dotted name."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    app.conf.update(conf)
    app.task(name="shop.bills", shared=False, **task)(close)

    assert destination_of(app, ROUTES, TaskMessage("shop.bills", tick_arguments, options, route)) == expected


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class FullRedis(Exception):
    """As redis raises it: no OSError, and none of kombu's."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationalError("away"), TaskQueueUnavailable),
        (ConnectionRefusedError(), TaskQueueUnavailable),
        (FullRedis("OOM command not allowed"), TaskQueueUnavailable),
        (TypeError("missing 1 required positional argument"), InvalidValue),
    ],
)
def test_what_is_only_the_brokers_trouble_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[ClocksvcError]
) -> None:
    """Nothing ends beat; what can never be sent is refused, so that it holds no other up."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    monkeypatch.setattr(app, "send_task", raising(error))

    with pytest.raises(expected):
        CeleryTaskQueue(app, {"e": TaskMessage("shop.bills", tick_arguments)}).send(DUE_TASK)


def test_arguments_that_raise_are_refused() -> None:
    """A user's own function, called for each sending."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    lazy = BeatLazyFunc(raising(KeyError("day")))

    with pytest.raises(InvalidValue, match="KeyError"):
        CeleryTaskQueue(app, {"e": TaskMessage("shop.bills", lambda _: ((lazy(),), {}))}).send(DUE_TASK)
