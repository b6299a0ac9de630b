"""Celery's own programs, started as a user starts them: `celery -A clocksvc worker`, `celery -A clocksvc beat`."""

import os
import sys
import threading
from pathlib import Path

from clocksvc.dev.process import ChildProcess

_PATIENCE_S = 3.0


class Programs:
    """A worker and a beat over one configuration file, in whose folder their logs are."""

    def __init__(self, config: Path) -> None:
        small = ("--pool", "solo", "--concurrency", "1")
        self.worker = _celery(config, "worker", *small)
        self.beat = _celery(config, "beat")

    def start(self) -> None:
        """Start both."""
        self.worker.start()
        self.beat.start()

    def stop(self) -> None:
        """End both, side by side."""
        beat = threading.Thread(target=self.beat.stop, kwargs={"patience_seconds": _PATIENCE_S}, daemon=True)
        beat.start()
        self.worker.stop(patience_seconds=_PATIENCE_S)
        beat.join()

    def stop_beat(self) -> None:
        """No heartbeats from now on."""
        self.beat.stop(patience_seconds=_PATIENCE_S)


def _celery(config: Path, *arguments: str) -> ChildProcess:
    # Settings of the user's own must not mix with the demo's.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLOCKSVC_")}
    return ChildProcess(
        f"celery {arguments[0]}",
        [sys.executable, "-m", "celery", "-A", "clocksvc", *arguments, "--loglevel", "INFO"],
        log_file=config.parent / f"{arguments[0]}.log",
        leftovers=config.parent,
        environ=environ | {"CLOCKSVC_CONFIG": str(config)},
    )
