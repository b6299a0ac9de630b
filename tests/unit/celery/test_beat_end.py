"""The end of a beat with ClockScheduler: by Celery's signal handler, during any call, or because it is refused."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from celery import Celery
from celery.beat import Service
from celery.utils.log import LoggingProxy

from clocksvc.celery import ClockScheduler
from clocksvc.interfaces.checkpoints import OWN_KEY
from clocksvc.interfaces.schedule import EachTick, Schedule
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.jobs.dispatcher import STANDBY_AFTER_S, TaskDispatcher
from clocksvc.memory.checkpoints import ClockDispatcher
from clocksvc.service import bootstrap
from tests.faulty.checkpoints import FaultyCheckpoints
from tests.faulty.tick_consumer import FaultyTickConsumer
from tests.unit.jobs.dispatcher_fixture import MINUTE, START_MIN, DispatcherFixture

pytestmark = pytest.mark.core

POLLS = 8


class InterruptedConsumer(FaultyTickConsumer):
    """Runs Celery's signal handler within its last poll. Like Kafka's, it must not be closed during a poll."""

    def __init__(self, fixture: DispatcherFixture, service: Service, *, dropped: bool) -> None:
        super().__init__(fixture.group, fixture.log)
        self._service, self._dropped = service, dropped
        self._polling, self.polls, self.closed = False, 0, 0

    def poll(self, timeout_s: float) -> list[TickWithOffset]:
        self._polling = True
        try:
            self.polls += 1
            if self.polls == POLLS:
                self._service.sync()
                if not self._dropped:
                    raise SystemExit
            return super().poll(0.0)
        finally:
            self._polling = False

    def close(self) -> None:
        assert not self._polling, "closed during its own poll: Kafka's client would wait for ever"
        self.closed += 1
        super().close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Beat's loop with a ClockScheduler."""
    config = tmp_path / "clocksvc.yaml"
    config.write_text(yaml.safe_dump({"clocks": {"c": {"topics": ["t"], "group": "g"}}}))
    monkeypatch.setenv("CLOCKSVC_CONFIG", str(config))
    monkeypatch.setattr(bootstrap, "check_dispatcher_owner", lambda *_: None)
    with Celery("beat", set_as_current=False, broker="memory://") as app:
        yield Service(app, scheduler_cls=ClockScheduler)


@pytest.mark.parametrize("dropped", [False, True], ids=["SystemExit arrives", "a library drops SystemExit"])
def test_a_signal_within_a_poll_ends_beat(service: Service, monkeypatch: pytest.MonkeyPatch, dropped: bool) -> None:
    """The consumer is closed once, after its poll; the checkpoint is that of the last tick that was sent."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    fixture.run(before := fixture.dispatcher([Schedule("each", EachTick())], app="beat"))
    before.close()
    fixture.tick(1, 2)
    consumer = InterruptedConsumer(fixture, service, dropped=dropped)

    def opened(*_: Any) -> TaskDispatcher:
        parts = (consumer, FaultyCheckpoints(fixture.topic, "c", "beat"), fixture.queue, fixture.time, None, "beat")
        return TaskDispatcher("clocksvc", "c", "beat", [Schedule("each", EachTick())], *parts)

    monkeypatch.setattr(bootstrap, "open_dispatcher", opened)

    service.start()

    assert (consumer.polls, consumer.closed) == (POLLS, 1)
    assert fixture.queue.due("each") == [1, 2]
    written = fixture.topic.checkpoints[ClockDispatcher("c", "beat")][OWN_KEY]
    assert written.at_ms == (START_MIN + 2) * MINUTE


def test_a_beat_that_is_refused_later_logs_one_critical_line(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a standby of another app with the same name. Celery redirects stderr to its log, and drops SystemExit."""
    fixture = DispatcherFixture()
    fixture.tick(0)
    fixture.run(fixture.dispatcher([Schedule("bills", EachTick())], app="beat"))
    standby = fixture.dispatcher([Schedule("mails", EachTick())], app="beat")
    fixture.time.advance(STANDBY_AFTER_S)
    monkeypatch.setattr(bootstrap, "open_dispatcher", lambda *_: standby)
    monkeypatch.setattr(sys, "stderr", LoggingProxy(logging.getLogger("celery.redirected"), logging.WARNING))

    with click.Context(click.Command("beat")), pytest.raises(SystemExit) as ended:
        service.start()

    assert ended.value.code == 1
    (line,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert line.levelno == logging.CRITICAL
    assert line.exc_info is None
    assert "its schedules are bills, and this app has none of them with the same task (mails)" in line.getMessage()
