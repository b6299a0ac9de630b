"""How far `clocksvc scheduler` has loaded: a bar in a terminal, otherwise a log line every 5 s."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from clocksvc.interfaces.time import Time
from clocksvc.runtime.worker_thread import WorkerThread

logger = logging.getLogger("clocksvc.scheduler")

LOG_EVERY_S = 5.0
_DRAW_EVERY_S = 0.1
_BAR_CHARACTERS = 30
_CLEAR_LINE = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class LoadingProgress:
    """How far a process has loaded.

    Attributes:
        waits_for: why the process is not ready; "" if it is.
        partitions: the number of partitions that are being loaded or are loaded.
        schedules: the number of schedules in them.
        offset, end: the sums of the partitions' offsets: how far they were read, and where they end.
    """

    waits_for: str
    partitions: int = 0
    schedules: int = 0
    offset: int = 0
    end: int = 0

    @property
    def fraction(self) -> float:
        """The part of all offsets that was read: 0 to 1. 0 before the ends are known."""
        return min(1.0, self.offset / self.end) if self.end else 0.0


class StatusLine:
    """A stream for a terminal whose last line is a text that changes. Lines that are written appear above it.

    Only one thread shows texts; any thread may write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._text = stream, ""

    def show(self, text: str) -> None:
        """Replace the text. "" removes it."""
        if text != self._text:
            self._text = text
            self._stream.write(_CLEAR_LINE + text)
            self._stream.flush()

    def write(self, text: str) -> int:
        """Write a line, with its end."""
        self._stream.write(f"{_CLEAR_LINE}{text}{self._text}" if self._text else text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def isatty(self) -> bool:
        """True if the stream is a terminal."""
        return self._stream.isatty()


class BootProgress:
    """Shows the progress in a thread, until the process is ready. Then it logs one line with the duration.

    Args:
        read: returns the present progress.
        status: where the bar is drawn; None for log lines.
    """

    def __init__(self, read: Callable[[], LoadingProgress], time: Time, status: StatusLine | None) -> None:
        self._read, self._time, self._status = read, time, status
        self._began = self._logged_at = time.monotonic()
        self._thread = WorkerThread("clocksvc-boot-progress", self.step, log=logger)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and remove the bar. Blocks for a moment."""
        self._thread.stop()
        self._thread.join(1.0)
        if self._status is not None:
            self._status.show("")

    def step(self) -> float | None:
        """Show the progress. Return the seconds until the next call; None once the process is ready."""
        progress, now = self._read(), self._time.monotonic()
        took_s = now - self._began
        if not progress.waits_for:
            if self._status is not None:
                self._status.show("")
            self._log_ready(progress, took_s)
            return None
        if self._status is not None:
            self._status.show(_bar(progress, took_s))
        elif now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            logger.info(
                "not ready for %.0f s: %s; %s of at most %s records were read (%.0f %%)",
                *(took_s, progress.waits_for),
                *(f"{progress.offset:,}", f"{progress.end:,}", 100 * progress.fraction),
            )
        return _DRAW_EVERY_S

    def _log_ready(self, progress: LoadingProgress, took_s: float) -> None:
        if progress.partitions:
            loaded = f"{progress.schedules:,} schedules of {progress.partitions} partitions are loaded"
        else:
            loaded = "other replicas own all partitions"
        logger.info("ready: %s after %.1f s", loaded, took_s)


def terminal_status() -> StatusLine | None:
    """Return a status line for stderr; None if stderr is no terminal."""
    return StatusLine(sys.stderr) if sys.stderr.isatty() else None


def _bar(progress: LoadingProgress, took_s: float) -> str:
    filled = int(_BAR_CHARACTERS * progress.fraction)
    bar = "█" * filled + "░" * (_BAR_CHARACTERS - filled)
    read = f"{progress.offset:,} of at most {progress.end:,} records" if progress.end else progress.waits_for
    return f"{bar} {100 * progress.fraction:3.0f} %  {read}, {took_s:.1f} s"
