"""ClockScheduler's schedules, its checks of an app's settings, and the Celery task queue."""

import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery, signals
from celery.beat import BeatLazyFunc, Scheduler, Service
from kombu.exceptions import OperationalError

from clocksvc.celery import ClockScheduler, on_tick
from clocksvc.celery.clock_scheduler import dispatcher_name, tasks_on_tick
from clocksvc.celery.task_queue import CeleryTaskQueue, TaskMessage, destination_of, tick_and, tick_arguments
from clocksvc.clock.tick import Tick
from clocksvc.errors import ClocksvcError, InvalidValue, SettingsError, TaskQueueUnavailable
from clocksvc.interfaces.task_queue import DueTask
from clocksvc.interfaces.task_routes import Routes
from clocksvc.service import bootstrap
from clocksvc.settings import load

pytestmark = pytest.mark.core

MINUTE_MS = 60_000
TICK = Tick("checkins", 10 * MINUTE_MS, 9 * MINUTE_MS, MINUTE_MS, 10 * MINUTE_MS)
DUE_TASK = DueTask("clocksvc", "checkins", "beat", "e", TICK.at_ms, TICK)
EVERY = {"task": "shop.bills", "schedule": timedelta(minutes=1)}
ROUTES = Routes({"ingest": "ingest"}, {"ingest.errors": "slow"})


def close(tick: dict[str, Any]) -> None:
    """A task."""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app; CLOCKSVC_CONFIG has one clock."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text(yaml.safe_dump({"clocks": {"checkins": {"topics": ["t"], "group": "g"}}}))
    monkeypatch.setenv("CLOCKSVC_CONFIG", str(config))
    with Celery("shop", set_as_current=False, broker="memory://") as made:
        made.conf.beat_schedule = {"bills": EVERY}
        yield made


def test_an_ordinary_schedule_is_accepted(app: Celery) -> None:
    """With any of the characters that a dispatcher's name can have."""
    app.conf.clocksvc_dispatcher = "shop_EU.1-a"

    ClockScheduler(app)


@pytest.mark.parametrize("name", ["clocksvc", "shop/eu", "", "a b", "x" * 64, 7])
def test_an_ambiguous_dispatcher_name_is_rejected(app: Celery, name: Any) -> None:
    """`clocksvc` is the service's dispatcher: of two with this name, one would never be active."""
    app.conf.clocksvc_dispatcher = name

    with pytest.raises(InvalidValue, match="clocksvc_dispatcher"):
        ClockScheduler(app)


def test_the_dispatcher_has_the_apps_name_unless_set(app: Celery) -> None:
    """So two apps have different dispatchers. An app without a name, or with one that can't be used, is rejected."""
    assert dispatcher_name(app) == "shop"

    with Celery(set_as_current=False) as unnamed, pytest.raises(InvalidValue, match=r"wanted a name.*Celery\('shop'\)"):
        dispatcher_name(unnamed)
    with Celery("our shop", set_as_current=False) as spaced, pytest.raises(InvalidValue, match="the app's name"):
        dispatcher_name(spaced)
    spaced.conf.clocksvc_dispatcher = "shop"
    assert dispatcher_name(spaced) == "shop"


@pytest.mark.parametrize("name", ["", "tick:shop.close"])
def test_an_ambiguous_entry_name_is_rejected(app: Celery, name: str) -> None:
    """It could be the key of the dispatcher's own checkpoint, or the name of a task for each tick."""
    app.conf.beat_schedule = {name: EVERY}

    with pytest.raises(InvalidValue, match="beat_schedule"):
        ClockScheduler(app)


def test_two_tasks_can_have_one_dotted_name(app: Celery) -> None:
    """Both are sent."""
    for name in ("shop.one", "shop.two"):
        on_tick("checkins", name="ingest.errors")(app.task(name=name, shared=False)(close))
    settings = load(None, os.environ)

    found = tasks_on_tick(app, settings, settings.clock_specs()["checkins"])

    assert len({task.schedule.name for task in found}) == 2
    assert {task.message.task for task in found} == {"shop.one", "shop.two"}


def test_on_tick_with_an_unknown_clock_is_rejected(app: Celery) -> None:
    """The error names the task and the clocks that there are. Without it, the task would never be sent."""
    on_tick("chekins")(app.task(name="shop.close", shared=False)(close))

    with pytest.raises(InvalidValue, match=r"on_tick\.clock of task 'shop\.close': 'chekins'.*wanted one of checkins"):
        ClockScheduler(app)


@pytest.mark.parametrize(("scheduler", "warned"), [(Scheduler, True), (ClockScheduler, False)])
def test_on_tick_without_the_scheduler_is_a_warning(
    app: Celery,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    scheduler: type[Scheduler],
    warned: bool,
) -> None:
    """A plain `celery beat` never sends the task. Its log names the scheduler that does."""
    on_tick("checkins")(app.task(name="shop.close", shared=False)(close))
    monkeypatch.setattr(bootstrap, "check_dispatcher_owner", lambda *_: None)
    service = Service(app, scheduler_cls=scheduler)

    with caplog.at_level(logging.WARNING, "clocksvc.dispatcher"):
        signals.beat_init.send(sender=service)

    wanted = "tasks with @on_tick need -S clocksvc.celery:ClockScheduler; not sent: shop.close"
    assert (wanted in caplog.messages) is warned


def test_without_a_configuration_beat_names_the_variable(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no option for the file."""
    monkeypatch.delenv("CLOCKSVC_CONFIG")

    with pytest.raises(SettingsError, match=r"clocks: missing.*CLOCKSVC_CONFIG is not set"):
        ClockScheduler(app)


def test_on_tick_below_the_task_is_rejected() -> None:
    """It would mark the plain function, which is never sent."""
    with pytest.raises(InvalidValue, match=r"above @app\.task"):
        on_tick("checkins", name="ingest.close")(close)


def router(name: str, args: Any, *_: Any, **__: Any) -> dict[str, str]:
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
        ({"task_routes": router}, {}, {}, "", ("shop", "")),
    ],
)
def test_metric_labels_are_those_of_celerys_routing(
    conf: dict[str, Any], task: dict[str, Any], options: dict[str, Any], route: str, expected: tuple[str, str]
) -> None:
    """The queue is "" if it depends on the arguments. The namespace is that of the dotted name."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    app.conf.update(conf)
    app.task(name="shop.bills", shared=False, **task)(close)

    assert destination_of(app, ROUTES, TaskMessage("shop.bills", tick_arguments, options, route)) == expected


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class FullRedis(Exception):
    """As redis raises it: neither an OSError nor an error of kombu."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OperationalError("away"), TaskQueueUnavailable),
        (ConnectionRefusedError(), TaskQueueUnavailable),
        (FullRedis("OOM command not allowed"), TaskQueueUnavailable),
        (TypeError("missing 1 required positional argument"), InvalidValue),
    ],
)
def test_broker_errors_are_retriable(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[ClocksvcError]
) -> None:
    """A message that can never be sent is rejected instead. No error ends beat."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    monkeypatch.setattr(app, "send_task", raising(error))

    with pytest.raises(expected):
        CeleryTaskQueue(app, {"e": TaskMessage("shop.bills", tick_arguments)}).send(DUE_TASK)


def test_arguments_besides_the_tick_are_keyword_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tick is the only positional one."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    sent: list[Any] = []
    monkeypatch.setattr(app, "send_task", lambda name, args, kwargs, **_: sent.append((name, args, kwargs)))

    CeleryTaskQueue(app, {"e": TaskMessage("shop.bills", tick_and({"region": "eu"}))}).send(DUE_TASK)

    assert sent == [("shop.bills", (DUE_TASK.tick.to_wire(),), {"region": "eu"})]


def test_arguments_that_raise_are_rejected() -> None:
    """They are functions of the user, called for each message."""
    app = Celery("shop", set_as_current=False, broker="memory://")
    lazy = BeatLazyFunc(raising(KeyError("day")))

    with pytest.raises(InvalidValue, match="KeyError"):
        CeleryTaskQueue(app, {"e": TaskMessage("shop.bills", lambda _: ((lazy(),), {}))}).send(DUE_TASK)
