"""The progress of loading: a bar in a terminal, log lines elsewhere, and one line at the end."""

import io
import logging

import pytest

from clocksvc.cli.boot_progress import LOG_EVERY_S, BootProgress, LoadingProgress, StatusLine
from clocksvc.testing import ManualTime

pytestmark = pytest.mark.core

LOADING = LoadingProgress("1 of 1 clocks: 2 of its partitions are being loaded", 2, 600_000, 630_000, 1_000_000)
READY = LoadingProgress("", 2, 950_000, 1_000_000, 1_000_000)


class Boot:
    """A process that loads; the test changes `progress`."""

    def __init__(self, status: StatusLine | None) -> None:
        self.progress, self.time = LoadingProgress("1 of 1 clocks: its topics were not checked yet"), ManualTime()
        self.shown = BootProgress(lambda: self.progress, self.time, status)

    def step(self, after_s: float = 0.0) -> float | None:
        """Step `after_s` seconds later."""
        self.time.advance(after_s)
        return self.shown.step()


def test_a_terminal_has_a_bar_until_all_is_loaded(caplog: pytest.LogCaptureFixture) -> None:
    """It shows the fraction, the records and the seconds, and is removed at the end."""
    caplog.set_level(logging.INFO)
    stream = io.StringIO()
    boot = Boot(StatusLine(stream))

    boot.step()
    assert stream.getvalue().endswith(f"{'░' * 30}   0 %  1 of 1 clocks: its topics were not checked yet, 0.0 s")
    boot.progress = LOADING
    assert boot.step(1.2) is not None
    assert stream.getvalue().endswith(f"{'█' * 18}{'░' * 12}  63 %  630,000 of at most 1,000,000 records, 1.2 s")
    boot.progress = READY
    assert boot.step(0.9) is None

    assert stream.getvalue().endswith("\r\x1b[K")
    assert caplog.messages == ["ready: 950,000 schedules of 2 partitions are loaded after 2.1 s"]


def test_log_lines_show_a_slow_start(caplog: pytest.LogCaptureFixture) -> None:
    """One every 5 s, with the reason; a fast start has only the last line."""
    caplog.set_level(logging.INFO)
    boot = Boot(None)
    boot.progress = LOADING

    for _ in range(11):
        boot.step(LOG_EVERY_S / 5)
    boot.progress = READY
    boot.step()

    assert caplog.messages == [
        "not ready for 5 s: 1 of 1 clocks: 2 of its partitions are being loaded; 630,000 of at most 1,000,000 records "
        "were read (63 %)",
        "not ready for 10 s: 1 of 1 clocks: 2 of its partitions are being loaded; 630,000 of at most 1,000,000 records "
        "were read (63 %)",
        "ready: 950,000 schedules of 2 partitions are loaded after 11.0 s",
    ]


def test_a_replica_that_owns_nothing_is_ready(caplog: pytest.LogCaptureFixture) -> None:
    """The line says why it has loaded nothing."""
    caplog.set_level(logging.INFO)
    boot = Boot(None)
    boot.progress = LoadingProgress("")
    boot.step()

    assert caplog.messages == ["ready: other replicas own all partitions after 0.0 s"]


def test_log_lines_appear_above_the_bar() -> None:
    """The bar is drawn again behind each of them."""
    stream = io.StringIO()
    status = StatusLine(stream)
    handler = logging.StreamHandler(status)

    status.show("50 %")
    handler.emit(logging.makeLogRecord({"msg": "a line"}))
    status.show("")
    handler.emit(logging.makeLogRecord({"msg": "another"}))

    assert stream.getvalue().split("\n") == ["\r\x1b[K50 %\r\x1b[Ka line", "50 %\r\x1b[Kanother", ""]


def test_ends_that_are_not_known_yet_are_no_progress() -> None:
    """And no more than 100 % are shown while a partition grows."""
    assert LoadingProgress("", 1, 0, 0, 0).fraction == 0.0
    assert LoadingProgress("", 1, 0, 12, 10).fraction == 1.0
