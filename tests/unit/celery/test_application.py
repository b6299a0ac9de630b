"""The app: how Celery finds it, what it is configured to do, and that it keeps to itself."""

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
        "checkins": {"topics": ["a"], "group": "g", "tick_log": "a-ticks", "heartbeat": {"every": "30s"}},
        "bills": {"topics": ["b"], "group": "g", "tick_log": "b-ticks", "heartbeat": None},
    }
    return settings_from({"clocks": clocks, **sections})


def python(script: str, **environment: str) -> str:
    """What a script prints in a Python of its own, where every warning is an error."""
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


def test_one_queue_of_its_own() -> None:
    """The worker reads the queue `clocksvc` alone, and the task goes there however it is sent: never to `celery`."""
    app = build(settings())

    assert list(app.amqp.queues.consume_from) == ["clocksvc"]
    assert app.amqp.router.route({}, "clocksvc.heartbeat")["queue"].name == "clocksvc"
    assert app.conf.control_exchange != "celery"
    assert "celery" not in app.conf.event_exchange


def test_json_and_no_results() -> None:
    """Nothing is unpickled, nothing is kept about results, and nothing of beat's is kept on disk."""
    conf = build(settings()).conf

    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert (conf.task_ignore_result, conf.result_backend) == (True, None)
    assert conf.beat_scheduler == "clocksvc.celery.heartbeat_schedule:HeartbeatScheduler"


def test_beat_has_an_entry_for_each_clock_with_heartbeats() -> None:
    """A clock without heartbeats has no entry; a message lives for max(every, 60 s)."""
    schedule = build(settings()).conf.beat_schedule

    assert set(schedule) == {"heartbeat-checkins"}
    entry = schedule["heartbeat-checkins"]
    assert (entry["task"], entry["options"]) == ("clocksvc.heartbeat", {"queue": "clocksvc", "expires": 60})
    assert entry["args"][0] == "checkins"
    assert entry["args"][1]() % 30 == 0


def test_the_broker_is_redis_unless_set() -> None:
    """The store's Redis is the broker; another broker gets no options that only Redis knows."""
    own = build(settings(redis={"url": "redis://somewhere:7000/3"})).conf
    other = build(settings(celery={"broker_url": "amqp://somewhere//"})).conf

    assert own.broker_url == "redis://somewhere:7000/3"
    assert own.broker_transport_options["visibility_timeout"] > 60
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


def test_importing_a_class_leaves_a_users_app_alone() -> None:
    """An import from here neither reads a configuration nor touches a user's own app."""
    script = IMPORT.format(statement="from clocksvc.celery import EpochSchedule")

    assert python(script) == "False"


def test_even_the_app_leaves_a_users_app_alone(tmp_path: Path) -> None:
    """With our app built beside it, a user's app stays the current one and has none of our tasks."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text("clocks: {checkins: {topics: [a], group: g, tick_log: t}}")
    script = IMPORT.format(statement="from clocksvc.celery import app; app.finalize()")

    assert python(script, CLOCKSVC_CONFIG=str(config)) == "True"


def test_celery_finds_the_app_by_its_own_rule(tmp_path: Path) -> None:
    """`-A clocksvc` is enough, also when a module of this package was imported before; it is built once."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text("clocks: {checkins: {topics: [a], group: g, tick_log: t}}")
    script = (
        "import clocksvc.celery.application; from celery.app.utils import find_app; import clocksvc.celery as package;"
        "app = find_app('clocksvc'); print(app.main, app is package.app, 'clocksvc.heartbeat' in app.tasks)"
    )

    assert python(script, CLOCKSVC_CONFIG=str(config)) == "clocksvc True True"


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_a_wrong_configuration_is_said(program: str, tmp_path: Path) -> None:
    """Without a usable configuration `celery -A clocksvc` ends with the field's name alone, no traceback."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text("clocks: {checkins: {topics: [a], group: g, tick_log: t, intervall: 5s}}")
    celery = Path(sys.executable).with_name("celery")
    done = subprocess.run(
        [celery, "-A", "clocksvc", program],
        env=os.environ | {"CLOCKSVC_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = done.stderr.splitlines()
    assert done.returncode == 1
    assert said[0] == f"clocksvc: the configuration ({config}) is not valid:"
    assert "intervall" in said[1]
    assert len(said) == 2


def test_a_wrong_configuration_ends_no_other_program(tmp_path: Path) -> None:
    """Whoever imports the app in a program of his own gets an error that he can catch."""
    script = """
from clocksvc.errors import SettingsError
try:
    from clocksvc.celery import app
except SettingsError as error:
    print("caught")
"""

    assert python(script, CLOCKSVC_CONFIG=str(tmp_path / "nowhere.yaml")) == "caught"
