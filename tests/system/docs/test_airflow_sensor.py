"""examples/airflow_sensor.py waits for a clock of a real service. Airflow's three classes are substitutes."""

import asyncio
import importlib.util
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import httpx2
import pytest

from tests.http_stub import Asked, HttpStub, Reply
from tests.repository import ROOT
from tests.unit.api.clock_fixture import ClockFixture, after, ticks
from tests.unit.api.running_service import RunningService, serving_by_environment

pytestmark = pytest.mark.core

REACHED, NEXT = "2026-11-22T11:02:00+00:00", "2026-11-22T11:03:00+00:00"


class Sensor:
    """What the example uses of Airflow's sensor."""

    timeout = 3_600.0

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.deferred: dict[str, Any] = {}

    def defer(self, **arguments: Any) -> None:
        self.deferred = arguments


class Event:
    """Airflow's event: a payload."""

    def __init__(self, payload: object) -> None:
        self.payload = payload


def module(name: str, **content: object) -> ModuleType:
    """A module with this content."""
    made = ModuleType(name)
    made.__dict__.update(content)
    return made


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's module."""
    base = module("airflow.triggers.base", BaseTrigger=type("BaseTrigger", (), {}), TriggerEvent=Event)
    monkeypatch.setitem(sys.modules, "httpx", httpx2)  # the next major version, with the same interface
    for made in (
        module("airflow"),
        module("airflow.sdk", BaseSensorOperator=Sensor),
        module("airflow.triggers"),
        base,
    ):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    spec = importlib.util.spec_from_file_location("airflow_sensor", ROOT / "examples" / "airflow_sensor.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    loaded.RETRY_S = 0.05  # type: ignore[attr-defined]
    return loaded


@pytest.fixture
def clock_fixture() -> ClockFixture:
    """A clock whose last tick is at 11:02."""
    clock_fixture = ClockFixture()
    clock_fixture.publish(*ticks(3))
    return clock_fixture


@pytest.fixture
def served(clock_fixture: ClockFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """The service, with its address in the environment."""
    with serving_by_environment(clock_fixture, monkeypatch) as served:
        yield served


def test_the_sensor_waits_for_a_tick(example: Any, served: RunningService, clock_fixture: ClockFixture) -> None:
    """It defers to the trigger, which Airflow creates again from its serialized form. The tick resumes the sensor."""
    sensor = example.ClockSensor(task_id="ready", clock="checkins", until=NEXT)
    sensor.execute({})
    path, arguments = sensor.deferred["trigger"].serialize()
    assert path == "airflow_sensor.ClockTrigger"

    async def event() -> Any:
        return (await anext(example.ClockTrigger(**arguments).run())).payload

    with served.once_asked(lambda: clock_fixture.publish(*after(ticks(3)[-1]))):
        payload = asyncio.run(event())

    assert payload["previous"] == "2026-11-22T11:02:00Z"
    assert getattr(sensor, sensor.deferred["method_name"])({}, payload) == "2026-11-22T11:03:00Z"


def test_a_time_that_is_reached(example: Any, served: RunningService) -> None:
    """The tick, at once."""
    tick = asyncio.run(example.tick_at(served.url, "checkins", datetime.fromisoformat(REACHED)))

    assert tick["time"] == "2026-11-22T11:02:00Z"


def test_an_unknown_clock_fails_the_task(example: Any, served: RunningService) -> None:
    """It is not repeated."""
    with pytest.raises(ValueError, match="no clock 'chekins'"):
        asyncio.run(example.tick_at(served.url, "chekins", datetime.fromisoformat(REACHED)))


def test_errors_are_repeated_and_other_answers_are_not_believed(example: Any) -> None:
    """503 and 409 repeat the request. A status 200 with an earlier tick, or with another page, is an error."""
    early = ticks(1)[0].to_wire()
    for body in (json.dumps(early).encode(), b"<html>Please log in</html>"):
        replies = iter([Reply(503), Reply(409), Reply(200, parts=[body])])

        def answer(_: Asked, replies: Iterator[Reply] = replies) -> Reply:
            return next(replies)

        with HttpStub(answer) as stub, pytest.raises(ValueError, match=r"not a tick of|Expecting value"):
            asyncio.run(example.tick_at(stub.url, "checkins", datetime(2026, 11, 22, 12, tzinfo=UTC)))
        assert list(replies) == []
