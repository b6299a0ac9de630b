"""The judge finds every kind of wrong log. The logs are made by hand."""

import json
import uuid
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.scheduler_simulation.judge.command_judge import CommandJudge
from tests.scheduler_simulation.judge.cron_times import cron_times
from tests.scheduler_simulation.judge.definition import read_definition
from tests.scheduler_simulation.judge.due_judge import DueJudge, Found
from tests.scheduler_simulation.judge.violation import Violation

BASE_MS = 1_795_334_400_000
KEY = b"one"  # crc32 is 2,053,932,785: of a minute, the offset is 28.69 s, rounded down
MINUTE_MS = 60_000
FIRST_MS = BASE_MS + 28_000


def _id(*parts: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, repr(parts)))


def _text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _finds(words: str) -> AbstractContextManager[object]:
    """The judge raises a violation that begins with these words."""
    return pytest.raises(Violation, match=f"^{words}")


class Log:
    """A partition's log, and a clock of 1 s whose ticks are committed in time."""

    def __init__(self, **fields: Any) -> None:
        self.judge = DueJudge("c", 1)
        self.moment = self.offset = 0
        self.now_ms = self.newest_ms = BASE_MS
        self.tick(0)
        self.judge.began(0)
        self.position(0)
        if fields:
            self.write(0, **fields)

    def tick(self, after_s: int, interval_ms: int = 1_000) -> None:
        """Commit a tick, so many seconds after the base."""
        self.moment += 1
        self.now_ms = max(self.now_ms, BASE_MS + after_s * 1000)
        self.newest_ms = at_ms = BASE_MS + after_s * 1000
        self.judge.ticked(at_ms, at_ms - interval_ms, interval_ms, self.moment, self.now_ms)

    def write(self, offset: int, key: bytes = KEY, **fields: Any) -> None:
        """Write a schedule; delete it if there are no fields."""
        self.moment += 1
        value = {"format": 1, "created_at": _text(BASE_MS), "task": "a.b"} | fields
        self.judge.wrote(0, offset, key, json.dumps(value).encode() if fields else None, self.moment)

    def due(
        self, due_ms: int, tick_ms: int | None = None, key: bytes = KEY, payload: str = "null", **more: str
    ) -> None:
        """Append a due record."""
        headers = {
            "clocksvc-id": _id(key, due_ms),
            "clocksvc-schedule": key.decode(),
            "clocksvc-task": "a.b",
            "clocksvc-clock": "c",
            "clocksvc-due": _text(due_ms),
            "clocksvc-tick": _text(due_ms if tick_ms is None else tick_ms),
        }
        self._append(key, payload, headers | {f"clocksvc-{name}": text for name, text in more.items()})

    def missed(self, first_ms: int, last_ms: int, runs: int, reason: str, tick_ms: int | None = None) -> None:
        """Append a record of missed runs."""
        value = {"format": 1, "schedule": "one", "reason": reason, "runs": runs}
        value |= {"first_due": _text(first_ms), "last_due": _text(last_ms)}
        headers = {
            "clocksvc-type": "missed",
            "clocksvc-id": _id(first_ms, last_ms, reason),
            "clocksvc-schedule": "one",
            "clocksvc-clock": "c",
            "clocksvc-tick": _text(first_ms if tick_ms is None else tick_ms),
        }
        self._append(KEY, json.dumps(value), headers)

    def position(self, after_s: int) -> None:
        """Append a position, so many seconds after the base."""
        text = _text(BASE_MS + after_s * 1000)
        value = {"format": 1, "clock": "c", "tick": text}
        self._append(b"_position", json.dumps(value), {"clocksvc-type": "position", "clocksvc-clock": "c"})

    def fence(self) -> None:
        """Another owner begins."""
        self.moment += 1
        self.judge.fenced(0, self.moment, self.now_ms, self.newest_ms)

    def _append(self, key: bytes, value: str, headers: dict[str, str]) -> None:
        self.moment += 1
        self.offset += 1
        self.judge.read(0, Found(self.offset, key, value.encode(), headers, self.moment, self.now_ms))


def _minutely(**fields: Any) -> Log:
    """A schedule of a minute, and ticks up to two minutes after the base."""
    log = Log(interval="60s", **fields)
    for after_s in range(1, 121):
        log.tick(after_s)
    return log


def test_a_right_log() -> None:
    """Each due time once, a position behind: no violation."""
    log = _minutely(payload={"a": [1]})

    log.due(FIRST_MS, payload='{"a": [1]}')
    log.due(FIRST_MS + MINUTE_MS, payload='{"a":[1]}')
    log.position(120)

    assert not log.judge.behind(BASE_MS + 120_000)
    assert log.judge.behind(BASE_MS + 121_000)
    assert +log.judge.counts == {"sent": 2, "positions": 2, "positions of several ticks": 1, "positions of 50 ticks": 1}


@pytest.mark.parametrize(
    ("due_ms", "more", "words"),
    [
        (FIRST_MS + 1_000, {}, "not due"),
        (FIRST_MS, {"tick": _text(FIRST_MS + 1_000)}, "tick"),
        (FIRST_MS + 3_600_000, {}, "early"),
        (FIRST_MS, {"task": "a.c"}, "content"),
        (FIRST_MS, {"clock": "d"}, "header"),
        (FIRST_MS, {"schedule": "d"}, "header"),
        (FIRST_MS, {"payload": "1"}, "content"),
        (FIRST_MS, {"key": "other"}, "deleted"),
    ],
)
def test_a_wrong_due_record(due_ms: int, more: dict[str, str], words: str) -> None:
    """A record with a wrong time, tick, name or content."""
    log, key = _minutely(), more.pop("key", "one").encode()

    with _finds(words):
        log.due(due_ms, key=key, **more)  # type: ignore[arg-type]


def test_a_due_record_that_comes_twice() -> None:
    """With the same id, or with another one."""
    log = _minutely()
    log.due(FIRST_MS)

    with _finds("twice"):
        log.due(FIRST_MS, id=str(uuid.uuid4()))


def test_a_due_record_before_its_tick() -> None:
    """Appended before the tick was committed, and read later."""
    log = Log(interval="60s")
    early = log.moment
    for after_s in range(1, 40):
        log.tick(after_s)
    log.moment = early

    with _finds("early"):
        log.due(FIRST_MS)


def test_a_due_time_that_is_lost() -> None:
    """It is found at the next position."""
    log = _minutely()
    log.due(FIRST_MS)

    with _finds(f"lost: one at {FIRST_MS + MINUTE_MS}"):
        log.position(120)


def test_due_records_out_of_order() -> None:
    """Of one schedule, of one partition, and behind the position."""
    log = _minutely()
    log.due(FIRST_MS + MINUTE_MS)
    with _finds("order"):
        log.due(FIRST_MS)

    behind = _minutely()
    behind.due(FIRST_MS)
    behind.due(FIRST_MS + MINUTE_MS)
    behind.position(120)
    with _finds("order"):
        behind.due(FIRST_MS)


def test_a_position_that_goes_back_or_is_ahead() -> None:
    """Positions ascend, up to the newest tick."""
    log = Log()
    log.tick(1)
    log.tick(2)
    log.position(2)
    with _finds("back"):
        log.position(1)
    with _finds("early"):
        log.position(3)


def test_a_deletion_before_the_tick_counts() -> None:
    """Between the tick and the append, both are right; before the tick, only the deletion is."""
    log = Log(interval="60s")
    for after_s in range(1, 28):
        log.tick(after_s)
    log.write(1)
    log.tick(28)
    with _finds("deleted"):
        log.due(FIRST_MS)

    for sent in (True, False):
        free = Log(interval="60s")
        for after_s in range(1, 29):
            free.tick(after_s)
        free.write(1)
        if sent:
            free.due(FIRST_MS)
        free.position(28)


def test_a_change_before_the_tick_counts() -> None:
    """The content is that of the newer version."""
    log = Log(interval="60s", payload=1)
    log.write(1, interval="60s", payload=2)
    for after_s in range(1, 29):
        log.tick(after_s)

    with _finds("content"):
        log.due(FIRST_MS, payload="1")


def test_creation_start_end_and_pause() -> None:
    """Nothing is due up to the creation, before the start, from the end on, or while paused."""
    for fields, words in (
        ({"created_at": _text(FIRST_MS)}, "creation"),
        ({"starts_at": _text(FIRST_MS + 1)}, "not due"),
        ({"ends_at": _text(FIRST_MS)}, "not due"),
        ({"paused": True}, "not due"),
    ):
        log = _minutely(**fields)
        with _finds(words):
            log.due(FIRST_MS)
    for fields in ({"starts_at": _text(FIRST_MS)}, {"ends_at": _text(FIRST_MS + 1)}):
        _minutely(**fields).due(FIRST_MS)


def test_expired_runs() -> None:
    """An old run is recorded and not sent; a young one is sent and not recorded."""
    log = _minutely(max_age="40s")
    log.fence()
    with _finds("expired"):
        log.due(FIRST_MS)

    right = _minutely(max_age="40s")
    right.missed(FIRST_MS, FIRST_MS, 1, "expired")
    right.due(FIRST_MS + MINUTE_MS)
    right.position(120)

    young = _minutely(max_age="100s")
    with _finds("missed"):
        young.missed(FIRST_MS, FIRST_MS, 1, "expired")


def test_superseded_runs() -> None:
    """The last of several runs is sent, the others are recorded."""
    right = _minutely(catch_up="last")
    right.fence()
    right.missed(FIRST_MS, FIRST_MS, 1, "superseded")
    right.due(FIRST_MS + MINUTE_MS)
    right.position(120)

    log = _minutely(catch_up="last")
    log.fence()
    with _finds("superseded"):
        log.due(FIRST_MS)

    last = _minutely(catch_up="last")
    last.missed(FIRST_MS, FIRST_MS, 1, "superseded")
    with _finds("missed"):
        last.missed(FIRST_MS + MINUTE_MS, FIRST_MS + MINUTE_MS, 1, "superseded")


@pytest.mark.parametrize(
    ("runs", "reason", "words"), [(2, "superseded", "missed"), (1, "expired", "missed"), (1, "forgotten", "missed")]
)
def test_wrong_records_of_missed_runs(runs: int, reason: str, words: str) -> None:
    """A wrong number, and a wrong reason."""
    log = _minutely(catch_up="last")

    with _finds(words):
        log.missed(FIRST_MS, FIRST_MS, runs, reason)


def test_a_run_is_not_missed_and_sent() -> None:
    """Of one version, by one owner. And no run is recorded twice."""
    log = _minutely(catch_up="last")
    log.missed(FIRST_MS, FIRST_MS, 1, "superseded")
    with _finds("missed"):
        log.due(FIRST_MS)
    with _finds("twice"):
        log.missed(FIRST_MS, FIRST_MS, 1, "superseded")

    sent = _minutely(catch_up="last")
    sent.due(FIRST_MS)
    with _finds("missed"):
        sent.missed(FIRST_MS, FIRST_MS, 1, "superseded")
    sent.fence()
    with _finds("missed"):
        sent.missed(FIRST_MS, FIRST_MS, 1, "expired")
    sent = _minutely(catch_up="last")
    sent.due(FIRST_MS)
    sent.fence()
    sent.missed(FIRST_MS, FIRST_MS, 1, "superseded")


def test_times_of_intervals() -> None:
    """The offset comes from the id, and due times are multiples of the clock's interval."""
    value = json.dumps({"format": 1, "created_at": _text(0), "task": "a.b", "interval": "60s"}).encode()
    definition = read_definition(KEY, value)
    assert definition is not None

    assert definition.due_times(BASE_MS, BASE_MS + 120_000, 1_000) == [FIRST_MS, FIRST_MS + MINUTE_MS]
    assert definition.due_times(BASE_MS, BASE_MS + 120_000, 60_000) == [BASE_MS + 60_000, BASE_MS + 120_000]


@pytest.mark.parametrize(
    ("expression", "day", "hours"),
    [
        # Berlin: on 29 March 2026 the hour from 2 to 3 does not exist, on 25 October it comes twice
        ("30 2 * * *", "2026-03-29", ["01:30"]),
        ("30 2,3 * * *", "2026-03-29", ["01:30"]),
        ("30 2 * * *", "2026-10-25", ["00:30"]),
        ("0 * * * *", "2026-10-25", [f"{hour:02}:00" for hour in range(24) if hour != 1]),
        ("0 12 * * 0", "2026-10-25", ["11:00"]),
        ("0 12 * * 1", "2026-10-25", []),
        ("*/20 5 25 10 *", "2026-10-25", ["04:00", "04:20", "04:40"]),
    ],
)
def test_times_of_crons(expression: str, day: str, hours: list[str]) -> None:
    """Celery's rules at both changes of clocks."""
    begin_ms = int(datetime.fromisoformat(f"{day}T00:00Z").timestamp() * 1000)

    found = cron_times(expression, "Europe/Berlin", begin_ms - 1, begin_ms + 86_400_000 - 1)

    assert [_text(one)[11:16] for one in found] == hours


class Commands:
    """Records of one key, and answers about them."""

    def __init__(self) -> None:
        self.judge = CommandJudge()
        self.offset = 0

    def write(self, number: int | None, created_ms: int = 0) -> int:
        """Write a record, at a moment that is ten times its offset."""
        self.offset += 1
        fields = {"payload": {"n": number}, "created_at": _text(created_ms)}
        self.judge.wrote(KEY, self.offset, None if number is None else json.dumps(fields).encode(), 10 * self.offset)
        return self.offset


def test_an_overwritten_schedule() -> None:
    """A write with a condition replaces what its client has seen."""
    commands = Commands()
    commands.write(1)
    offset = commands.write(2)

    commands.judge.written(KEY, offset, 2, 1, conditional=True)
    with _finds("overwritten"):
        commands.judge.written(KEY, commands.write(3), 3, 1, conditional=True)
    with _finds("overwritten"):
        commands.judge.written(KEY, offset, 2, None, conditional=True)


def test_wrong_answers_to_writes() -> None:
    """A record that is not there, one that is there although it was refused, and a time of creation that changes."""
    commands = Commands()
    with _finds("answer"):
        commands.judge.written(KEY, 7, 1, None, conditional=False)
    commands.judge.refused(1)
    with _finds("answer"):
        commands.write(1)
    commands.write(2)
    with _finds("answer"):
        commands.judge.refused(2)
    with _finds("created"):
        commands.write(3, created_ms=5)
    commands.write(None)
    commands.write(4, created_ms=5)


def test_a_read_that_is_out_of_date() -> None:
    """Each state between the question and the answer is right, and no other one."""
    commands = Commands()
    for number in (1, 2, None):
        commands.write(number)

    for number, since, until in ((None, 0, 5), (1, 10, 15), (2, 15, 25), (1, 15, 25), (None, 30, 99)):
        commands.judge.found(KEY, number, since, until)
    for number, since, until in ((1, 20, 25), (2, 30, 99), (3, 0, 99), (None, 10, 20)):
        with _finds("stale"):
            commands.judge.found(KEY, number, since, until)
