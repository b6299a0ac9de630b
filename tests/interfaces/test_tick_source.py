"""The behaviour of all sources of ticks for schedules: the newest from memory, older ones from the log."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import Beginning, ClockState, LogEntry, Message, Record, encode_message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.logs import log_of
from clocksvc.errors import StoreMismatch, StoreUnavailable, TickLogUnavailable, UnreadableRecord
from clocksvc.interfaces.log_follower import LogFollower
from clocksvc.interfaces.tick_consumer import TickWithOffset
from clocksvc.interfaces.tick_log import KeepAlive, TickLog
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.log_follower import KafkaLogFollower
from clocksvc.memory.log_follower import MemoryLogFollower
from clocksvc.scheduler import followed_ticks, older_ticks
from clocksvc.scheduler.followed_ticks import FollowedTicks
from tests.interfaces.tick_log_examples import CLOCK, LOG, MINUTE_MS, OWNER, KeepAliveCounter, messages, tick
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    PlainTickLogImplementation,
    TickLogImplementation,
    writer,
)
from tests.waiting import eventually

OTHER = next(name for n in itertools.count() if log_of(name := f"clock-{n}") == LOG)
"""Another clock in the same log."""


class Source(Protocol):
    """A log, its writer, and sources of its ticks."""

    implementation: TickLogImplementation
    checks: "OwnerChecks"

    def commit(self, *batches: Sequence[Message]) -> None:
        """Commit each batch in one transaction."""

    def open(self) -> FollowedTicks:
        """A new source of the ticks of CLOCK and OTHER. The test calls `step`."""


@dataclass
class OwnerChecks:
    """What the store says about owners of logs."""

    trouble: Exception | None = None
    asked: list[LogOwner] = field(default_factory=list)

    def __call__(self, log: int, owner: LogOwner) -> None:
        assert log == LOG
        self.asked.append(owner)
        if self.trouble is not None:
            raise self.trouble


class LogSource:
    """A `Source` over an implementation of the tick log."""

    def __init__(self, implementation: TickLogImplementation, follow: Callable[[], LogFollower]) -> None:
        self.implementation, self.checks = implementation, OwnerChecks()
        self._follow = follow
        self._writer = writer(implementation)
        self._end = 0
        self._opened: list[FollowedTicks] = []

    def commit(self, *batches: Sequence[Message]) -> None:
        for batch in batches:
            self._end = self._writer.append(batch, self._end, KeepAliveCounter())

    def open(self) -> FollowedTicks:
        def open_log(log: int) -> TickLog:
            assert log == LOG
            return self.implementation.process()

        made = FollowedTicks("clocksvc", [CLOCK, OTHER], open_log, self._follow(), self.checks, SystemTime())
        self._opened.append(made)
        return made

    def free(self) -> None:
        for opened in self._opened:
            opened.close()
        self.implementation.free()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """Each implementation."""
    made: LogSource
    if request.param == "memory":
        plain = PlainTickLogImplementation()
        made = LogSource(plain, lambda: MemoryLogFollower({LOG: plain.log}))
    else:
        kafka = KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
        made = LogSource(kafka, lambda: KafkaLogFollower(kafka.topic, kafka.settings))
    yield made
    made.free()


def step_until(opened: FollowedTicks, condition: Callable[[], object]) -> None:
    """Step until a condition is true."""

    def reached() -> object:
        opened.step(0.05)
        try:
            return condition()
        except (TickLogUnavailable, StoreMismatch):
            return False

    eventually(reached)


def follow(source: Source, newest: int | None) -> FollowedTicks:
    """Open a source, and step until its newest tick is that of this minute."""
    opened = source.open()
    step_until(opened, lambda: opened.newest(CLOCK) == (None if newest is None else newest * MINUTE_MS))
    return opened


def minutes(found: Sequence[TickWithOffset]) -> list[int]:
    """The minutes of ticks."""
    return [one.tick.at_ms // MINUTE_MS for one in found]


def begun(last: Record, after_minute: int) -> Record:
    """What `clocksvc init` writes to continue at a later time."""
    at_ms = after_minute * MINUTE_MS
    return Record(CLOCK, ClockState(last_tick_ms=at_ms, beginning=Beginning(last.state.last_tick_ms, at_ms)))


def test_ticks_are_given_in_order_however_old(source: Source) -> None:
    """Those before the start from the log, those behind it from memory, without a gap at the border."""
    source.commit(messages(1, 5))
    opened = follow(source, 5)
    source.commit(messages(6, 2))
    step_until(opened, lambda: opened.newest(CLOCK) == 7 * MINUTE_MS)

    for after in range(9):
        expected = list(range(after + 1, 8))
        found: list[int] = []
        while got := minutes(opened.after(CLOCK, (found[-1] if found else after) * MINUTE_MS, 2)):
            assert len(got) <= 2
            found += got
        assert found == expected
    assert opened.after(CLOCK, 3 * MINUTE_MS, 1)[0].tick == tick(4).tick


def test_a_clock_without_ticks_has_none(source: Source) -> None:
    """Its first one is given from time 0 on, and another clock of the log does not matter."""
    source.commit([encode_message(tick(1, OTHER))])
    opened = follow(source, None)
    assert opened.after(CLOCK, 0, 10) == []

    source.commit(messages(2), messages(3))
    step_until(opened, lambda: opened.newest(CLOCK) == 3 * MINUTE_MS)
    assert minutes(opened.after(CLOCK, 0, 10)) == [2, 3]
    assert minutes(opened.after(OTHER, 0, 10)) == [1]


def test_before_the_log_was_read_ticks_are_unavailable(source: Source) -> None:
    """An empty answer would mean that there is none."""
    source.commit(messages(1))
    opened = source.open()

    with pytest.raises(TickLogUnavailable, match="was not read yet"):
        opened.after(CLOCK, 0, 1)
    with pytest.raises(TickLogUnavailable):
        opened.newest(CLOCK)


def test_a_backlog_takes_bounded_memory(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions read it at different speeds, in chunks that they share. A record is read a few times at most."""
    monkeypatch.setattr(older_ticks, "CHUNK", 100)
    monkeypatch.setattr(older_ticks, "CHUNKS", 2)
    monkeypatch.setattr(older_ticks, "KNOWN_OFFSETS", 4)
    count = 1_500
    source.commit(*(messages(first, 500) for first in range(1, count, 500)))
    opened = follow(source, count)
    older = opened._find(CLOCK)[1].older
    read: list[int] = []
    read_log = older._log.read

    def counting_read(start: int, end: int, keep_alive: KeepAlive) -> list[LogEntry]:
        found = read_log(start, end, keep_alive)
        read.append(len(found))
        return found

    monkeypatch.setattr(older._log, "read", counting_read)
    reached = {"fast": 0, "slow": 0, "slowest": 0}
    for step in itertools.count():
        for name, every in (("fast", 1), ("slow", 2), ("slowest", 3)):
            if step % every == 0 and reached[name] < count:
                got = minutes(opened.after(CLOCK, reached[name] * MINUTE_MS, 70))
                assert got == list(range(reached[name] + 1, reached[name] + 1 + len(got)))
                reached[name] = got[-1]
        assert sum(len(chunk.ticks) for chunk in older._chunks.values()) <= 2 * 101
        if min(reached.values()) == count:
            break
    assert sum(read) <= 2 * 3 * count


def test_the_newest_ticks_stay_in_memory(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a fixed number. Those before are read again."""
    monkeypatch.setattr(followed_ticks, "RECENT_TICKS", 3)
    source.commit(messages(1))
    opened = follow(source, 1)
    source.commit(messages(2, 8))
    step_until(opened, lambda: opened.newest(CLOCK) == 9 * MINUTE_MS)

    assert len(opened._find(CLOCK)[1].recent) == 3
    assert minutes(opened.after(CLOCK, 2 * MINUTE_MS, 4)) == [3, 4, 5, 6]
    assert minutes(opened.after(CLOCK, 6 * MINUTE_MS, 4)) == [7, 8, 9]


@pytest.mark.parametrize("when", ["before the start", "before the first tick", "while it follows"])
def test_skipped_ticks_are_marked(source: Source, when: str) -> None:
    """After `clocksvc init --skip-ticks` the first tick begins the chain, wherever the source has begun to read."""
    last = tick(3)
    init, first = encode_message(begun(last, 100)), encode_message(tick(101))
    source.commit(messages(1, 2), [encode_message(last)])
    if when != "while it follows":
        source.commit([init])
    if when == "before the start":
        source.commit([first])
    opened = follow(source, 101 if when == "before the start" else 3)
    if when == "while it follows":
        source.commit([init])
    if when != "before the start":
        source.commit([first])
        step_until(opened, lambda: opened.newest(CLOCK) == 101 * MINUTE_MS)

    (found,) = opened.after(CLOCK, 3 * MINUTE_MS, 10)
    assert (found.tick.at_ms, found.tick.previous_ms, found.begins) == (101 * MINUTE_MS, 100 * MINUTE_MS, True)
    assert [one.begins for one in opened.after(CLOCK, 1 * MINUTE_MS, 10)][:2] == [False, False]


def test_a_log_that_lost_its_records_is_no_empty_one(source: Source) -> None:
    """A clock without a record is unavailable unless a complete snapshot shows that it has never ticked."""
    source.commit(snapshot_messages(OWNER, {OTHER: encode_message(tick(1, OTHER))}, 0, complete=False))
    if isinstance(source.implementation, KafkaTickLogImplementation):
        source.implementation.delete_before(1)
    else:
        assert isinstance(source.implementation, PlainTickLogImplementation)
        source.implementation.log.first_offset = 1
        del source.implementation.log.entries[0]
    opened = source.open()
    opened.step(0.05)

    with pytest.raises(TickLogUnavailable, match="has lost records"):
        opened.after(CLOCK, 0, 10)


def test_a_log_that_lost_what_was_not_read_is_read_again() -> None:
    """Records were removed behind the follower. The newest tick is found, and those that are left are given."""
    plain = PlainTickLogImplementation()
    made = LogSource(plain, lambda: MemoryLogFollower({LOG: plain.log}))
    made.commit([OWNER.message(), *messages(1)])
    opened = follow(made, 1)
    made.commit(messages(2), messages(3))
    made.commit(snapshot_messages(OWNER, {CLOCK: messages(3)[0]}, plain.log.end, complete=True), messages(4))
    first = next(one.offset for one in plain.log.entries if one.message is not None and one.message.type == "snapshot")
    plain.log.entries = [one for one in plain.log.entries if one.offset >= first - 1]
    plain.log.first_offset = first - 1

    step_until(opened, lambda: opened.newest(CLOCK) == 4 * MINUTE_MS)
    assert minutes(opened.after(CLOCK, MINUTE_MS, 10)) == [4]


def test_an_unreadable_record_stops_its_clock_alone(source: Source) -> None:
    """A newer version wrote it. The clock's ticks before it are not given either."""
    opened = follow_both(source)
    source.commit([Message(CLOCK.encode(), b'{"format": 99}', "tick")], messages(3), [encode_message(tick(2, OTHER))])
    step_until(opened, lambda: opened.newest(OTHER) == 2 * MINUTE_MS)

    with pytest.raises(UnreadableRecord, match="run a newer version"):
        opened.after(CLOCK, 1 * MINUTE_MS, 10)
    assert minutes(opened.after(OTHER, 1 * MINUTE_MS, 10)) == [2]


def follow_both(source: Source) -> FollowedTicks:
    """Follow the clocks after their first tick."""
    source.commit(messages(1), [encode_message(tick(1, OTHER))])
    return follow(source, 1)


def test_subscribers_wake_for_their_clock(source: Source) -> None:
    """At new ticks, not for another clock, and not after the end of the subscription."""
    opened = follow_both(source)
    woken: list[str] = []
    end = opened.subscribe(CLOCK, lambda: woken.append(CLOCK))
    opened.subscribe(OTHER, lambda: woken.append(OTHER))

    source.commit(messages(2))
    step_until(opened, lambda: woken)
    assert set(woken) == {CLOCK}

    end()
    source.commit(messages(3), [encode_message(tick(2, OTHER))])
    woken.clear()
    step_until(opened, lambda: OTHER in woken)
    assert set(woken) == {OTHER}


FOREIGN = replace(OWNER, installation=Installation("staging", "redis:6379"))


def test_the_tick_log_of_another_installation_is_refused(source: Source) -> None:
    """At the start: no tick of it is given, and the error names the owner. Later the log can be its own."""
    source.commit([FOREIGN.message(), *messages(1, 3)])
    source.checks.trouble = StoreMismatch("log 3 of the tick log belongs to the installation 'staging'")
    opened = source.open()
    opened.step(0.05)

    for call in (lambda: opened.after(CLOCK, 0, 10), lambda: opened.newest(CLOCK)):
        with pytest.raises(StoreMismatch, match="'staging'"):
            call()

    source.commit([OWNER.message(), *messages(4)])
    source.checks.trouble = None
    step_until(opened, lambda: opened.newest(CLOCK) == 4 * MINUTE_MS)


@pytest.mark.parametrize("trouble", [StoreUnavailable("the store does not answer"), StoreMismatch("another Redis")])
def test_ticks_of_a_new_owner_wait_for_its_check(source: Source, trouble: Exception) -> None:
    """The store does not answer, or is not marked yet. What was read before stays usable."""
    source.commit([OWNER.message(), *messages(1)])
    opened = follow(source, 1)
    successor = replace(OWNER, store_id="b2")
    source.checks.trouble = trouble
    source.commit([successor.message(), *messages(2)])
    step_until(opened, lambda: successor in source.checks.asked)
    opened.step(0.05)
    assert opened.newest(CLOCK) == MINUTE_MS
    assert minutes(opened.after(CLOCK, 0, 10)) == [1]

    source.checks.trouble = None
    step_until(opened, lambda: opened.newest(CLOCK) == 2 * MINUTE_MS)
    assert minutes(opened.after(CLOCK, 0, 10)) == [1, 2]
