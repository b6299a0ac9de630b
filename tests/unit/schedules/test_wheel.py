"""The wheel against a model that computes the due times of each schedule from scratch, at each tick."""

import json
import zlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import pytest
from celery.schedules import crontab
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.client.consumer.table_partition import TablePartition
from clocksvc.interfaces.compacted_topic import OffsetBounds
from clocksvc.schedules import wheel as wheel_module
from clocksvc.schedules.entry import Entry, read_entry
from clocksvc.schedules.wheel import DueAtTick, Reason, ScheduleWheel
from tests.unit.schedules.beat import CHANGES, YEAR_S, runs_of_beat
from tests.unit.schedules.records import Record

pytestmark = pytest.mark.core

S, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
CRONS = ("* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 * * * *", "0 3 * * sun")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana")
BERLIN_SPRING, BERLIN_AUTUMN = CHANGES["Europe/Berlin"]
BEGINNINGS = [CHANGES[zone][index] for zone in ZONES[1:] for index in (0, 1)]


class Definition(NamedTuple):
    """What a writer wants; times in ms after the run's beginning."""

    every_s: int | None = None
    cron: str | None = None
    zone: str = "UTC"
    created_ms: int = -DAY
    starts_ms: int | None = None
    ends_ms: int | None = None
    last: bool = False
    max_age_s: int | None = None
    paused: bool = False

    def value(self, begin_ms: int) -> bytes:
        """The record's value, written without the code under test."""

        def time(after_ms: int | None) -> str | None:
            if after_ms is None:
                return None
            moment = datetime.fromtimestamp((begin_ms + after_ms) / 1000, UTC)
            return moment.isoformat(timespec="milliseconds")

        fields = {
            "format": 1,
            "created_at": time(self.created_ms),
            "task": "uptime.check",
            "interval": self.every_s,
            "cron": self.cron,
            "timezone": self.zone if self.cron else None,
            "starts_at": time(self.starts_ms),
            "ends_at": time(self.ends_ms),
            "catch_up": "last" if self.last else None,
            "max_age": self.max_age_s,
            "paused": self.paused,
        }
        return json.dumps(fields).encode()


class Tick(NamedTuple):
    """A tick, the clock's interval then, and how far the newest known tick is ahead."""

    at_ms: int
    interval_ms: int
    ahead_ms: int = 0


@cache
class Beat:
    """The due times of a cron expression as Celery computes them, as far as they are needed."""

    def __init__(self, cron: str, zone: str, begin_ms: int) -> None:
        self._runs = runs_of_beat(crontab.from_string(cron), zone, begin_ms - DAY)
        self._known = [next(self._runs)]

    def between(self, after_ms: int, upto_ms: int) -> list[int]:
        while self._known[-1] <= upto_ms:
            self._known.append(next(self._runs))
        return self._known[bisect_right(self._known, after_ms) : bisect_right(self._known, upto_ms)]


class Model:
    """Naive: looks at each schedule at each tick."""

    def __init__(self, begin_ms: int) -> None:
        self.begin_ms = self.position_ms = begin_ms
        self.schedules: dict[bytes, Definition] = {}

    def tick(self, tick: Tick, now_ms: int) -> tuple[list[tuple[int, bytes]], Counter[bytes]]:
        """What is sent at a tick, and how many due times of each schedule are not."""
        sent, missed = [], Counter[bytes]()
        for key, one in self.schedules.items():
            allowed = self._allowed(key, one, tick.at_ms + tick.ahead_ms, tick.interval_ms)
            for instant_ms, due_ms in allowed:
                if instant_ms > tick.at_ms:
                    continue
                expired = one.max_age_s is not None and due_ms < now_ms - one.max_age_s * S
                if expired or (one.last and (instant_ms, due_ms) != allowed[-1]):
                    missed[key] += 1
                else:
                    sent.append((due_ms, key))
        self.position_ms = tick.at_ms
        return sorted(sent), missed

    def _allowed(self, key: bytes, one: Definition, upto_ms: int, interval_ms: int) -> list[tuple[int, int]]:
        """Instants after the position, with due times."""
        found = []
        for instant_ms in self._instants(key, one, upto_ms):
            due_ms = instant_ms
            if one.every_s and one.every_s * S % interval_ms == 0:
                due_ms = -(-instant_ms // interval_ms) * interval_ms
            after_ms = due_ms - self.begin_ms
            begun = one.starts_ms is None or one.starts_ms <= after_ms
            ended = one.ends_ms is not None and one.ends_ms <= after_ms
            if begun and not ended and not one.paused and after_ms > one.created_ms:
                found.append((instant_ms, due_ms))
        return found

    def _instants(self, key: bytes, one: Definition, upto_ms: int) -> Iterator[int]:
        if one.cron:
            beat = Beat(one.cron, one.zone, self.begin_ms // DAY * DAY)
            yield from beat.between(self.position_ms, upto_ms)
            return
        assert one.every_s
        offset_s = zlib.crc32(key) * one.every_s // 2**32
        for number in range(self.position_ms // (one.every_s * S) - 1, upto_ms // (one.every_s * S) + 1):
            instant_ms = (number * one.every_s + offset_s) * S
            if self.position_ms < instant_ms <= upto_ms:
                yield instant_ms


class Run:
    """A wheel and a model that get the same."""

    def __init__(self, begin_ms: int) -> None:
        self.begin_ms = begin_ms
        self.wheel, self.model = ScheduleWheel(begin_ms), Model(begin_ms)
        self.entries: dict[bytes, Entry] = {}
        self.due: list[tuple[int, bytes]] = []

    def put(self, key: bytes, definition: Definition | None) -> None:
        """Write or delete a schedule."""
        old = self.entries.pop(key, None)
        self.model.schedules.pop(key, None)
        if definition is not None:
            self.entries[key] = read_entry(key, definition.value(self.begin_ms))
            self.model.schedules[key] = definition
        self.wheel.change(key, old, self.entries.get(key))

    def tick(self, tick: Tick) -> tuple[DueAtTick, Counter[bytes]]:
        """Handle a tick in both, and compare what is sent."""
        now_ms = tick.at_ms + tick.ahead_ms + 2_345
        found = self.wheel.advance(tick.at_ms, tick.interval_ms, tick.at_ms + tick.ahead_ms, now_ms)
        sent, missed = self.model.tick(tick, now_ms)
        assert sorted((one.due_ms, one.key) for one in found.due) == sent
        assert [one.due_ms for one in found.due] == sorted(one.due_ms for one in found.due)
        assert len(self.wheel) == len(self.model.schedules)
        self.due += [(one.due_ms, one.key) for one in found.due]
        return found, missed


KEYS = [f"schedule-{number}".encode() for number in range(8)]
NEAR = st.none() | st.integers(-10, 40).map(lambda minutes: minutes * MINUTE)
EVERY = st.fixed_dictionaries({"every_s": st.sampled_from([60, 300, 600, 3_600, 86_400, 20, 7])})
CRON = st.fixed_dictionaries({"cron": st.sampled_from(CRONS), "zone": st.sampled_from(ZONES)})
REST = st.fixed_dictionaries(
    {"last": st.booleans()},
    optional={
        "created_ms": st.integers(-5 * MINUTE, 30 * MINUTE),
        "starts_ms": NEAR,
        "ends_ms": NEAR,
        "max_age_s": st.none() | st.sampled_from([0, 90, 900]),
        "paused": st.sampled_from([False, False, False, True]),
    },
)


def definition(parts: tuple[dict[str, Any], dict[str, Any]]) -> Definition:
    return Definition(**parts[0], **parts[1])


DEFINITIONS = st.tuples(EVERY | CRON, REST).map(definition)
INTERVALS = st.sampled_from([1, 20, 60, 60, 300, 1_800])
PUTS = st.tuples(st.sampled_from(KEYS), st.none() | DEFINITIONS)
BEFORE = st.lists(DEFINITIONS, min_size=4, max_size=8)
STEPS = st.lists(st.tuples(st.lists(PUTS, max_size=2), st.integers(1, 2)), min_size=1, max_size=8)
LIVES = st.lists(st.tuples(INTERVALS, STEPS), min_size=1, max_size=2)


def ticks_of(begin_ms: int, intervals_s: list[tuple[int, list[int]]]) -> list[Tick]:
    """For each interval of the clock, ticks that are some intervals apart."""
    found, at_ms = [], begin_ms
    for interval_s, steps in intervals_s:
        for step in steps:
            at_ms = (at_ms // (interval_s * S) + step) * interval_s * S
            found.append(Tick(at_ms, interval_s * S))
    return found


@settings(max_examples=150)
@given(st.sampled_from(BEGINNINGS), st.integers(-90, 30), BEFORE, LIVES, st.integers(0, 12))
def test_each_tick_sends_what_the_model_sends(
    change_ms: int, minutes: int, before: list[Definition], life: list[tuple[int, list[Any]]], backlog: int
) -> None:
    """Through changes of clocks, of schedules and of the clock's interval, with and without a backlog of ticks."""
    begin_ms = change_ms + minutes * MINUTE
    ticks = ticks_of(begin_ms, [(interval_s, [step for _, step in steps]) for interval_s, steps in life])
    run = Run(begin_ms)
    for number, definition in enumerate(before):
        run.put(KEYS[number], definition)
    missed: Counter[bytes] = Counter()
    recorded: Counter[bytes] = Counter()
    changed = set()
    newest_ms = ticks[min(backlog, len(ticks) - 1)].at_ms
    known = {tick.interval_ms: min(tick.at_ms, newest_ms) for tick in ticks}
    puts = [puts for _, steps in life for puts, _ in steps]
    for number, tick in enumerate(ticks):
        for key, changed_definition in puts[number]:
            run.put(key, changed_definition)
            changed.add(key)
        ahead_ms = max(0, known[tick.interval_ms] - tick.at_ms)
        found, not_sent = run.tick(tick._replace(ahead_ms=ahead_ms))
        missed += not_sent
        for one in found.missed:
            recorded[one.key] += one.runs
    assert len(set(run.due)) == len(run.due)
    for key in {*missed, *recorded} - changed:
        assert recorded[key] == missed[key], key


def run_of(definitions: dict[str, Definition], begin_ms: int = YEAR_S * S) -> Run:
    run = Run(begin_ms)
    for key, definition in definitions.items():
        run.put(key.encode(), definition)
    return run


@pytest.mark.parametrize(
    ("definition", "minutes"),
    [
        (Definition(60, created_ms=2 * MINUTE), [3, 4, 5]),
        (Definition(60, created_ms=2 * MINUTE - 1), [2, 3, 4, 5]),
        (Definition(60, starts_ms=4 * MINUTE), [4, 5]),
        (Definition(60, starts_ms=4 * MINUTE + 1), [5]),
        (Definition(60, ends_ms=3 * MINUTE), [1, 2]),
        (Definition(60, ends_ms=3 * MINUTE + 1), [1, 2, 3]),
        (Definition(60, starts_ms=2 * MINUTE, ends_ms=3 * MINUTE), [2]),
        (Definition(60, paused=True), []),
    ],
)
def test_when_a_schedule_begins_and_ends(definition: Definition, minutes: list[int]) -> None:
    """A due time is after the creation, at `starts_at` or later, and before `ends_at`."""
    run = run_of({"one": definition})

    for minute in range(1, 6):
        run.tick(Tick(run.begin_ms + minute * MINUTE, MINUTE))

    assert [(due_ms - run.begin_ms) // MINUTE for due_ms, _ in run.due] == minutes


def test_the_last_due_time_of_a_backlog_is_before_the_end() -> None:
    """The schedule ends within the backlog, and the last due time before that is sent. Also with several a minute."""
    run = run_of(
        {
            "minutes": Definition(60, last=True, ends_ms=7 * MINUTE),
            "seconds": Definition(20, last=True, ends_ms=7 * MINUTE),
            "old": Definition(60, last=True, max_age_s=60, ends_ms=7 * MINUTE),
        }
    )
    missed: Counter[bytes] = Counter()

    for third in range(1, 31):
        found, _ = run.tick(Tick(run.begin_ms + third * 20 * S, 20 * S, (30 - third) * 20 * S))
        missed.update({one.key: one.runs for one in found.missed})

    assert sorted(key for _, key in run.due) == [b"minutes", b"seconds"]
    assert all(due_ms - run.begin_ms in range(6 * MINUTE, 7 * MINUTE) for due_ms, _ in run.due)
    assert missed[b"seconds"] == 19
    assert missed[b"old"] == 7


@pytest.mark.parametrize("change_ms", [BERLIN_SPRING, BERLIN_AUTUMN])
def test_two_days_around_a_change_of_clocks(change_ms: int) -> None:
    """Each schedule is due as often as Celery's beat sends."""
    pairs = [(cron, zone) for cron in CRONS[1:] for zone in ZONES]
    definitions = {str(number): Definition(cron=cron, zone=zone) for number, (cron, zone) in enumerate(pairs)}
    run = run_of(definitions, change_ms - DAY)

    for hour in range(1, 49):
        run.tick(Tick(change_ms - DAY + hour * HOUR, HOUR))

    assert len(run.due) == len(set(run.due)) > 2_000


def test_a_backlog_is_sent_in_order_or_only_the_last() -> None:
    """An hour of ticks is known: all 60 due times, or only the newest; and the others are recorded once."""
    run = run_of({"all": Definition(60), "last": Definition(60, last=True), "young": Definition(60, max_age_s=600)})
    begin_ms, missed = run.begin_ms, []

    for minute in range(1, 61):
        missed += run.tick(Tick(begin_ms + minute * MINUTE, MINUTE, (60 - minute) * MINUTE))[0].missed

    sent = {key: [due_ms for due_ms, one in run.due if one == key] for key in (b"all", b"last", b"young")}
    minutes = [begin_ms + minute * MINUTE for minute in range(1, 61)]
    assert sent == {b"all": minutes, b"last": minutes[-1:], b"young": minutes[-10:]}
    assert {(one.key, one.reason, one.first_ms, one.last_ms, one.runs) for one in missed} == {
        (b"last", Reason.SUPERSEDED, minutes[0], minutes[58], 59),
        (b"young", Reason.EXPIRED, minutes[0], minutes[49], 50),
    }


def test_an_interval_is_due_at_a_boundary_of_the_clock_with_an_offset_of_its_own() -> None:
    """The hourly schedules of one of eight partitions are spread evenly over the minutes."""
    run = run_of({})
    value = Definition(3_600).value(run.begin_ms)
    keys = [key for key in (str(number).encode() for number in range(8 * 4_000)) if zlib.crc32(key) % 8 == 3]
    run.wheel.add(read_entry(key, value) for key in keys)

    sizes = []
    for minute in range(1, 61):
        at_ms = run.begin_ms + minute * MINUTE
        due = run.wheel.advance(at_ms, MINUTE, at_ms, at_ms).due
        assert {one.due_ms for one in due} == {at_ms}
        sizes.append(len(due))

    assert sum(sizes) == len(keys)
    assert max(sizes) < 1.5 * len(keys) / 60


def test_removed_schedules_are_swept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that is written a thousand times takes the memory of a few."""
    monkeypatch.setattr(wheel_module, "LEAST_TO_SWEEP", 10)
    run = run_of({"one": Definition(86_400), "other": Definition(60)})
    for _ in range(1_000):
        run.put(b"one", Definition(86_400))

    wheel = run.wheel
    assert sum(map(len, [*wheel._minutes.values(), *wheel._seconds.values()])) <= 13
    for minute in range(1, 1_441):
        run.tick(Tick(run.begin_ms + minute * MINUTE, MINUTE))
    assert Counter(key for _, key in run.due) == {b"one": 1, b"other": 1_440}


def test_a_tick_that_was_handled_gives_nothing() -> None:
    """Also an older one; the position stays."""
    run = run_of({"one": Definition(60)})
    at_ms = run.begin_ms + 10 * MINUTE
    assert len(run.wheel.advance(at_ms, MINUTE, at_ms, at_ms).due) == 10

    for again_ms in (at_ms, at_ms - MINUTE):
        assert run.wheel.advance(again_ms, MINUTE, at_ms, at_ms) == ([], [])
    assert run.wheel.position_ms == at_ms


def test_a_schedule_is_removed_once() -> None:
    """Also if a table reports the removal of an entry that was replaced."""
    run = run_of({"one": Definition(60)})
    entry = run.entries[b"one"]

    run.wheel.remove(entry)
    run.wheel.remove(entry)

    assert len(run.wheel) == 0


def test_the_wheel_follows_a_table_that_is_loaded_again() -> None:
    """After a reload, each schedule is due once, and one that is gone is not due."""
    run = run_of({})
    table: TablePartition[Entry] = TablePartition(0, lambda one: read_entry(one.key(), one.value()), run.wheel.change)
    keys = [b"a", b"b", b"c"]
    for loaded in (keys, keys[:2]):
        table.load(OffsetBounds(0, len(loaded)))
        table.apply([Record(key, Definition(60).value(run.begin_ms), offset) for offset, key in enumerate(loaded)])
    table.apply([Record(b"a", Definition(60, paused=True).value(run.begin_ms), 2)])

    at_ms = run.begin_ms + MINUTE
    assert [one.key for one in run.wheel.advance(at_ms, MINUTE, at_ms, at_ms).due] == [b"b"]
    assert len(run.wheel) == 2
