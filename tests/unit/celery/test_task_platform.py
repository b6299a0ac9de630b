"""Celery and the task platform: errors when beat starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from celery import Celery

from clocksvc.celery import on_tick
from clocksvc.celery.clock_scheduler import tasks_on_tick
from clocksvc.errors import InvalidValue
from clocksvc.settings import settings_from
from tests.unit.settings.sample_config import CLOCK

pytestmark = pytest.mark.core

CONFIGURED = {
    "clocks": {"checkins": {**CLOCK, "tasks": [{"task": "close", "name": "ingest.close"}]}},
    "namespaces": {"ingest": {"topic": "taskworker-ingest"}},
    "taskbroker": {"application": "shop"},
}


def test_an_on_tick_task_can_not_go_to_a_topic() -> None:
    """Celery's workers don't read topics."""
    app = Celery("shop", broker="memory://", set_as_current=False)

    def close(tick: object) -> None:
        """Does nothing."""

    on_tick("checkins", name="ingest.errors.close")(app.task(close, name="shop.close"))
    settings = settings_from(CONFIGURED)

    with pytest.raises(InvalidValue) as raised:
        tasks_on_tick(app, settings, settings.clock_specs()["checkins"])

    assert str(raised.value) == (
        "on_tick.name: 'ingest.errors.close' is not valid: "
        "wanted a name that is routed to a queue, not to topic 'taskworker-ingest'"
    )


def test_beat_does_not_start_without_the_packages(tmp_path: Path) -> None:
    """The error names the extra to install."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text(yaml.safe_dump(CONFIGURED | {"celery": {"broker_url": "memory://"}}))
    script = "import sys; sys.modules['sentry_protos'] = None; from celery.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "-A", "clocksvc", "beat", "--pidfile="],
        env={**os.environ, "CLOCKSVC_CONFIG": str(config)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "a `topic` needs the package sentry_protos" in done.stderr
    assert "pip install 'clocksvc[taskbroker]'" in done.stderr
    assert "Traceback" not in done.stderr
