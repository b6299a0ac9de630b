"""The due times of heartbeats: multiples since the epoch, also after the wall clock was changed."""

import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from celery import Celery
from celery.beat import BeatLazyFunc

from clocksvc.celery.heartbeat_schedule import EpochSchedule, HeartbeatScheduler, remaining_ms
from clocksvc.testing import ManualTime

pytestmark = pytest.mark.core

MULTIPLE_MS = 1_764_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_at(at_ms: int) -> ManualTime:
    """A wall clock at a time in ms."""
    return ManualTime(at_ms / 1000)


@pytest.mark.parametrize(
    ("last_ms", "now_ms", "left_ms"),
    [
        pytest.param(0, 0, 60_000, id="just run: a full interval"),
        pytest.param(0, 59_999, 1, id="a millisecond before the multiple"),
        pytest.param(0, 60_000, 0, id="at the multiple"),
        pytest.param(59_999, 60_000, 0, id="run just before the multiple, when beat started"),
        pytest.param(60_000, 60_000, 60_000, id="run at the multiple: the next one"),
        pytest.param(60_007, 60_010, 59_990, id="run a little late: still aligned"),
        pytest.param(0, 600_001, 0, id="several missed multiples are due once"),
        pytest.param(60_001, 59_999, 60_001, id="the wall clock was set back a little: not twice"),
    ],
)
def test_remaining(last_ms: int, now_ms: int, left_ms: int) -> None:
    """The time until the next multiple of a minute after the last run."""
    assert remaining_ms(last_ms, now_ms, 60_000) == left_ms


@pytest.mark.parametrize(
    ("now_ms", "due", "next_s"),
    [(MULTIPLE_MS + 20_000, False, 40.0), (MULTIPLE_MS + 60_000, True, 60.0), (MULTIPLE_MS + 61_500, True, 58.5)],
)
def test_is_due(now_ms: int, due: bool, next_s: float) -> None:
    """The result has whether the entry is due, and the time until the next multiple, to the millisecond."""
    schedule = EpochSchedule(60_000, time=wall_at(now_ms))
    last_run_at = EPOCH + timedelta(milliseconds=MULTIPLE_MS + 5)

    assert tuple(schedule.is_due(last_run_at)) == (due, next_s)


def test_now_is_an_aware_time() -> None:
    """Celery stores it as the last run: UTC, with milliseconds."""
    assert EpochSchedule(1_000, time=wall_at(MULTIPLE_MS + 7)).now() == EPOCH + timedelta(milliseconds=MULTIPLE_MS + 7)


@pytest.mark.parametrize(
    ("now_ms", "due", "next_s"), [(40_019, False, 0.001), (40_020, True, 60.0), (59_000, True, 41.02)]
)
def test_is_due_with_an_offset(now_ms: int, due: bool, next_s: float) -> None:
    """The offset is added to each multiple."""
    schedule = EpochSchedule(60_000, 40_020, time=wall_at(MULTIPLE_MS + now_ms))
    last_run_at = EPOCH + timedelta(milliseconds=MULTIPLE_MS - 19_980)

    assert tuple(schedule.is_due(last_run_at)) == (due, next_s)


def test_schedules_compare_by_interval_and_offset() -> None:
    """Otherwise beat would see a change after a restart. A pickled copy is equal."""
    assert EpochSchedule(1_000, 20) == pickle.loads(pickle.dumps(EpochSchedule(1_000, 20)))
    assert EpochSchedule(1_000) != EpochSchedule(2_000)
    assert EpochSchedule(1_000) != EpochSchedule(1_000, 20)
    assert hash(EpochSchedule(1_000)) == hash(EpochSchedule(1_000))
    assert repr(EpochSchedule(1_500)) == "<each multiple of 1.5 s since the epoch>"
    assert repr(EpochSchedule(1_500, 20)) == "<each multiple of 1.5 s since the epoch, 0.02 s later>"


def last_due_ms(wall: ManualTime, every_ms: int, offset_ms: int) -> int:
    """The last due time that has passed."""
    return (wall.now_ms() - offset_ms) // every_ms * every_ms + offset_ms


class RecordingScheduler(HeartbeatScheduler):
    """Beat's scheduler with a list in place of the broker.

    Attributes:
        sent: the argument of each message: when it was due.
        names: the task of each message, which is the entry's name.
        sent_at: when each message was sent.
        slow_ms: how long the next send takes.
    """

    time: ManualTime

    def __init__(self, wall: ManualTime, every_ms: int, offsets_ms: Mapping[str, int] = {"entry": 0}) -> None:
        self.time = wall
        self.sent: list[int] = []
        self.names: list[str] = []
        self.sent_at: list[int] = []
        self.slow_ms = 0
        entries = {
            name: {
                "task": name,
                "schedule": EpochSchedule(every_ms, offset_ms, time=wall),
                "args": (BeatLazyFunc(partial(last_due_ms, wall, every_ms, offset_ms)),),
            }
            for name, offset_ms in offsets_ms.items()
        }
        conf = {"beat_schedule": entries, "beat_max_loop_interval": 5, "result_expires": None}
        super().__init__(Celery("test", set_as_current=False, fixups=set(), changes=conf))

    @property
    def producer(self) -> None:
        """No broker."""

    def send_task(self, name: str, args: list[int], *rest: object, **options: object) -> None:
        self.sent += args
        self.names.append(name)
        self.sent_at.append(self.time.now_ms())
        self.time.advance(self.slow_ms / 1000)
        self.slow_ms = 0

    def run(self, wall: ManualTime, seconds: float) -> None:
        """Run beat for some seconds of the wall clock; each sleep takes exactly as long as beat asked for."""
        until_ms = wall.now_ms() + round(seconds * 1000)
        while wall.now_ms() < until_ms:
            wall.advance(max(1, round(self.tick() * 1000)) / 1000)


def test_beat_sends_each_multiple_once() -> None:
    """In Celery's own loop: one message for each multiple, never before it, and at most a few ms after it."""
    wall = wall_at(MULTIPLE_MS + 1_300)
    beat = RecordingScheduler(wall, 2_000)
    beat.run(wall, 10)

    assert beat.sent == [MULTIPLE_MS + 2_000 * number for number in range(1, 6)]
    assert all(0 <= at_ms - due_ms < 20 for at_ms, due_ms in zip(beat.sent_at, beat.sent, strict=True))


def test_the_wall_clock_is_set_back() -> None:
    """By an hour: heartbeats continue with its next multiple, not an hour later."""
    wall = wall_at(MULTIPLE_MS + 3_600_500)
    beat = RecordingScheduler(wall, 2_000)
    beat.run(wall, 4)
    wall.set((MULTIPLE_MS + 100) / 1000)
    beat.sent.clear()
    beat.run(wall, 5)

    assert beat.sent == [MULTIPLE_MS + 2_000, MULTIPLE_MS + 4_000]


def test_beat_sends_one_message_after_a_pause() -> None:
    """For the newest of many missed multiples; then it continues as before."""
    wall = wall_at(MULTIPLE_MS + 500)
    beat = RecordingScheduler(wall, 2_000)
    beat.tick()
    wall.set((MULTIPLE_MS + 100_700) / 1000)
    beat.run(wall, 2)

    assert beat.sent == [MULTIPLE_MS + 100_000, MULTIPLE_MS + 102_000]


def test_a_slow_send_delays_only_itself() -> None:
    """After a slow send, such as in an outage of the broker, the next message is sent at once if it is due."""
    wall = wall_at(MULTIPLE_MS + 1_500)
    beat = RecordingScheduler(wall, 2_000)
    beat.slow_ms = 2_900
    beat.run(wall, 4)

    assert beat.sent == [MULTIPLE_MS + 2_000, MULTIPLE_MS + 4_000]
    assert beat.sent_at[1] - beat.sent_at[0] < 2_920


def test_many_entries_with_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is sent once a minute at its own time. A message costs a few steps, not one for each entry."""
    asked = 0
    is_due = EpochSchedule.is_due

    def count(schedule: EpochSchedule, last_run_at: datetime) -> Any:
        nonlocal asked
        asked += 1
        return is_due(schedule, last_run_at)

    monkeypatch.setattr(EpochSchedule, "is_due", count)
    offsets_ms = {f"clock-{number:03}": 20 * number for number in range(300)}
    wall = wall_at(MULTIPLE_MS + 30_000)
    beat = RecordingScheduler(wall, 60_000, offsets_ms)
    beat.run(wall, 60)

    assert beat.names == sorted(offsets_ms)
    assert beat.sent == [MULTIPLE_MS + 60_000 + offset_ms for offset_ms in offsets_ms.values()]
    assert all(0 <= at_ms - due_ms < 20 for at_ms, due_ms in zip(beat.sent_at, beat.sent, strict=True))
    assert asked < 6 * len(offsets_ms)
