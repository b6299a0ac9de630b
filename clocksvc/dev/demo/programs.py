"""Celery's own programs, started as a user starts them: `celery -A clocksvc worker`, `celery -A clocksvc beat`, and the
beat of an app that goes by the clock."""

import os
import sys
import threading
from pathlib import Path

from clocksvc.dev.process import ChildProcess

_PATIENCE_S = 3.0
_JOBS = "clocksvc.dev.demo.job_app"


class Programs:
    """A worker and two beats over one configuration file, in whose folder their logs are.

    Args:
        queue: of the jobs; the worker takes heartbeats and them.

    Attributes:
        beat: sends the heartbeats, by the wall clock. jobs: the beat that goes by the clock.
        notes: where the jobs write down that they came.
    """

    def __init__(self, config: Path, queue: str) -> None:
        self.notes = config.with_name("jobs.notes")
        self._config = config
        small = ("--pool", "solo", "--concurrency", "1")
        self.worker = self._celery("worker", "clocksvc", *small, "--queues", f"clocksvc,{queue}", "--include", _JOBS)
        self.beat = self._celery("beat", "clocksvc")
        self.jobs = self._celery("beat", _JOBS, "--scheduler", "clocksvc.celery:ClockScheduler", name="jobs")

    def start(self) -> None:
        """Start all."""
        for program in self._all():
            program.start()

    def stop(self) -> None:
        """End all, side by side."""
        stopping = [
            threading.Thread(target=program.stop, kwargs={"patience_seconds": _PATIENCE_S}, daemon=True)
            for program in self._all()
        ]
        for one in stopping:
            one.start()
        for one in stopping:
            one.join()

    def stop_beat(self) -> None:
        """No heartbeats from now on."""
        self.beat.stop(patience_seconds=_PATIENCE_S)

    def _all(self) -> list[ChildProcess]:
        return [self.worker, self.beat, self.jobs]

    def _celery(self, command: str, app: str, *arguments: str, name: str | None = None) -> ChildProcess:
        # Settings of the user's own must not mix with the demo's.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CLOCKSVC_")}
        folder = self._config.parent
        return ChildProcess(
            f"celery {command}",
            [sys.executable, "-m", "celery", "-A", app, command, *arguments, "--loglevel", "INFO"],
            log_file=folder / f"{name or command}.log",
            leftovers=folder,
            environ=environ | {"CLOCKSVC_CONFIG": str(self._config), "DEMO_NOTES": str(self.notes)},
        )
