"""clocksvc's Celery app: how Celery finds it, its configuration, and that it does not affect a user's app."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clocksvc.celery.application import build
from clocksvc.settings import Settings, settings_from

pytestmark = pytest.mark.core


def settings(**sections: Any) -> Settings:
    """A configuration with two clocks, the second without heartbeats."""
    clocks = {
        "checkins": {"topics": ["a"], "group": "g", "heartbeat": {"every": "30s"}},
        "bills": {"topics": ["b"], "group": "g", "heartbeat": None},
    }
    return settings_from({"clocks": clocks, **sections})


def python(script: str, **environment: str) -> str:
    """The output of a script in a new Python process, where every warning is an error."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CLOCKSVC", "CELERY"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_app_has_one_queue() -> None:
    """The worker reads only the queue `clocksvc`, and the task always goes there, never to `celery`."""
    app = build(settings())

    assert list(app.amqp.queues.consume_from) == ["clocksvc"]
    assert app.amqp.router.route({}, "clocksvc.heartbeat")["queue"].name == "clocksvc"
    assert app.conf.control_exchange != "celery"
    assert "celery" not in app.conf.event_exchange


def test_json_and_no_results() -> None:
    """Nothing is unpickled, no results are kept, and beat writes nothing to disk."""
    conf = build(settings()).conf

    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert (conf.task_ignore_result, conf.result_backend) == (True, None)
    assert conf.beat_scheduler == "clocksvc.celery.heartbeat_schedule:HeartbeatScheduler"


def test_beat_has_an_entry_for_each_clock_with_heartbeats() -> None:
    """A clock without heartbeats has none. A message expires after max(every, 60 s)."""
    schedule = build(settings()).conf.beat_schedule

    assert set(schedule) == {"heartbeat-checkins"}
    entry = schedule["heartbeat-checkins"]
    assert (entry["task"], entry["options"]) == ("clocksvc.heartbeat", {"queue": "clocksvc", "expires": 60})
    assert entry["args"][0] == "checkins"
    assert entry["args"][1]() % 30 == 0


def test_the_broker_is_redis_unless_set() -> None:
    """The store's Redis is the broker. Another broker gets no options of Redis."""
    default = build(settings(redis={"url": "redis://somewhere:7000/3"})).conf
    other = build(settings(celery={"broker_url": "amqp://somewhere//"})).conf

    assert default.broker_url == "redis://somewhere:7000/3"
    assert default.broker_transport_options["visibility_timeout"] > 60
    assert (other.broker_url, other.broker_transport_options) == ("amqp://somewhere//", {})


IMPORT = """
import sys
from celery import Celery, current_app
mine = Celery("mine", broker="memory://")
{statement}
mine.finalize()
assert current_app._get_current_object() is mine
assert "clocksvc.heartbeat" not in mine.tasks
print("clocksvc.settings" in sys.modules)
"""


def test_importing_a_class_does_not_affect_a_users_app() -> None:
    """The import reads no configuration either."""
    script = IMPORT.format(statement="from clocksvc.celery import EpochSchedule")

    assert python(script) == "False"


def test_the_app_does_not_affect_a_users_app(tmp_path: Path) -> None:
    """The user's app stays the current one and has no tasks of clocksvc."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text("clocks: {checkins: {topics: [a], group: g}}")
    script = IMPORT.format(statement="from clocksvc.celery import app; app.finalize()")

    assert python(script, CLOCKSVC_CONFIG=str(config)) == "True"


def test_celery_finds_the_app(tmp_path: Path) -> None:
    """By `-A clocksvc`, also after a module of the package was imported. It is built once."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text("clocks: {checkins: {topics: [a], group: g}}")
    script = (
        "import clocksvc.celery.application; from celery.app.utils import find_app; import clocksvc.celery as package;"
        "app = find_app('clocksvc'); print(app.main, app is package.app, 'clocksvc.heartbeat' in app.tasks)"
    )

    assert python(script, CLOCKSVC_CONFIG=str(config)) == "clocksvc True True"


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_a_wrong_configuration_ends_the_program(program: str, tmp_path: Path) -> None:
    """`celery -A clocksvc` prints the field's name, without a traceback."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text("clocks: {checkins: {topics: [a], group: g, intervall: 5s}}")
    celery = Path(sys.executable).with_name("celery")
    done = subprocess.run(
        [celery, "-A", "clocksvc", program],
        env=os.environ | {"CLOCKSVC_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0] == f"clocksvc: the configuration ({config}) is not valid:"
    assert "intervall" in lines[1]
    assert len(lines) == 2


def test_a_wrong_configuration_is_raised_in_other_programs(tmp_path: Path) -> None:
    """A program that imports the app can catch the error."""
    script = """
from clocksvc.errors import SettingsError
try:
    from clocksvc.celery import app
except SettingsError as error:
    print("caught")
"""

    assert python(script, CLOCKSVC_CONFIG=str(tmp_path / "nowhere.yaml")) == "caught"
