"""What a new owner reads of the topic of due records."""

from collections.abc import Callable

import pytest

from clocksvc.interfaces.due_log import DueLogEntry, DueLogRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.due_log import MemoryDueLog, SharedDueLog
from clocksvc.scheduler.due_positions import read_due_log
from clocksvc.schedules.due_log import Position, due_record, position_record
from clocksvc.schedules.entry import Task
from clocksvc.schedules.wheel import Due

NOW_MS = 1_795_348_800_000
COUNT = 40_000


class MeasuredDueLog(MemoryDueLog):
    """Attributes: `reads`: the bytes of values that each read returned."""

    def __init__(self, log: SharedDueLog) -> None:
        super().__init__(log)
        self.reads: list[int] = []

    def read(self, start: int, end: int, keep_alive: KeepAlive) -> list[DueLogEntry]:
        found = super().read(start, end, keep_alive)
        self.reads.append(sum(len(entry.value or b"") for entry in found))
        return found


def keep_alive() -> None:
    """Nothing has to be kept alive."""


@pytest.fixture
def interrupted() -> Callable[[bytes], MeasuredDueLog]:
    """A due log whose owner ended in a tick with many records of one payload."""

    def make(payload: bytes) -> MeasuredDueLog:
        log = MeasuredDueLog(SharedDueLog())
        log.fence(keep_alive)
        end = log.append([], position_record("c", Position(NOW_MS)), 0, keep_alive).end
        first = due_record("c", Due(NOW_MS + 60_000, b"m", Task("a.b", payload, 0)), NOW_MS + 60_000)
        others = [DueLogRecord(b"m%d" % number, payload, first.headers) for number in range(COUNT - 1)]
        log.append([first, *others], None, end, keep_alive)
        return log

    return make


def test_large_payloads_are_read_in_small_parts(interrupted: Callable[[bytes], MeasuredDueLog]) -> None:
    """All at once, 40,000 records of 64 KiB would be 2.4 GiB, and no read of them would end in its time."""
    log = interrupted(b"x" * 65_536)
    found = read_due_log(log, log.bounds(keep_alive), keep_alive)

    assert found.position == Position(NOW_MS)
    assert found.sent_upto_ms == NOW_MS + 60_000
    assert len(found.sent_ids) == 1
    assert max(log.reads) < 65 * 2**20
    assert sum(log.reads) == 2 * (COUNT * 65_536 + len(position_record("c", Position(NOW_MS)).value))


def test_small_payloads_are_read_in_few_parts(interrupted: Callable[[bytes], MeasuredDueLog]) -> None:
    log = interrupted(b"{}")
    read_due_log(log, log.bounds(keep_alive), keep_alive)

    assert len(log.reads) <= 10
