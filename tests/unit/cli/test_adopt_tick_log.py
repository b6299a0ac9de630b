"""`clocksvc init --adopt-tick-log` over a tick log and a store in memory."""

import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from clocksvc.cli.main import main
from clocksvc.clock.log_owner import Installation, LogOwner, StoreMark
from clocksvc.clock.log_record import ClockState, Record, encode_message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.memory.tick_log import MemoryLog, MemoryTickLog
from clocksvc.service import bootstrap
from clocksvc.testing import ManualTime

Captured = pytest.CaptureFixture[str]
CONFIG = """
redis: {url: "redis://new.example"}
clocks: {checkins: {topics: [ingest-checkins], group: checkins-consumer}}
"""
BEFORE = Installation("clocksvc", "old.example:6379, database 0")
ADOPT = ["init", "--adopt-tick-log"]


class TickLogs:
    """The 16 logs of a tick log, and the configured Redis."""

    def __init__(self) -> None:
        manual = ManualTime(0)
        self.logs = {log: MemoryLog(manual) for log in range(16)}
        self.server = MemoryStoreServer(manual)

    def lead(self, owner: LogOwner, logs: Iterable[int]) -> None:
        """A leader begins a term in each of these logs."""
        for log in logs:
            self.logs[log].exists = True
            self.logs[log].commit(snapshot_messages(owner, {}, self.logs[log].end, complete=True))

    def marks(self) -> dict[int, StoreMark]:
        """The marks in the configured Redis."""
        found = {log: self.server.leases(log).read_mark() for log in self.logs}
        return {log: mark for log, mark in found.items() if mark is not None}


@pytest.fixture
def tick_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TickLogs:
    """All logs exist; 3 and 5 belong to another Redis. The environment names the configuration."""
    made = TickLogs()
    made.lead(LogOwner(BEFORE, "a1"), (3, 5))
    for log in made.logs.values():
        log.exists = True
    (tmp_path / "clocksvc.yaml").write_text(CONFIG)
    monkeypatch.setenv("CLOCKSVC_CONFIG", str(tmp_path / "clocksvc.yaml"))
    monkeypatch.setattr(bootstrap, "open_store_server", lambda _: made.server)
    monkeypatch.setattr(bootstrap, "open_tick_log", lambda _, log, __: MemoryTickLog(made.logs[log]))
    return made


def test_the_logs_of_another_redis_are_adopted(tick_logs: TickLogs, capsys: Captured) -> None:
    """The configured Redis gets a new id for each of them. The command can be repeated."""
    assert main([*ADOPT, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    marks = tick_logs.marks()

    assert printed == {"logs": [3, 5], "redis": "new.example:6379, database 0", "redis_before": [BEFORE.store]}
    assert [(log, mark.adopts) for log, mark in marks.items()] == [(3, "a1"), (5, "a1")]
    assert len({mark.store_id for mark in marks.values()} - {"a1"}) == 2
    assert main(ADOPT) == 0
    assert "nothing to adopt" in capsys.readouterr().out
    assert tick_logs.marks() == marks


def test_the_replaced_redis_is_named(tick_logs: TickLogs, capsys: Captured) -> None:
    """Because its leaders would hold."""
    assert main(ADOPT) == 0

    assert capsys.readouterr().out == (
        "2 logs of clocksvc-ticks: led with new.example:6379, database 0 from now on\n"
        "before: old.example:6379, database 0. Nothing may use that Redis with this tick log any more\n"
    )


@pytest.mark.parametrize(
    ("owner", "mark", "error"),
    [
        (LogOwner(BEFORE, "a1"), StoreMark("b2"), "this Redis has led log 5 before, and another Redis, old.example"),
        (LogOwner(Installation("staging", BEFORE.store), "a1"), None, "log 5 of the tick log belongs to redis.prefix"),
    ],
)
def test_nothing_is_adopted_if_one_log_can_not_be(
    tick_logs: TickLogs, capsys: Captured, owner: LogOwner, mark: StoreMark | None, error: str
) -> None:
    """Redis is marked with another id, or the prefix is another one."""
    tick_logs.lead(owner, [5])
    assert mark is None or tick_logs.server.leases(5).adopt(mark)
    before = tick_logs.marks()

    assert main(ADOPT) == 1

    assert error in capsys.readouterr().err
    assert tick_logs.marks() == before


def last_tick(
    clock: str = "checkins", topic: str = "ingest-checkins", group: str = "checkins-consumer", old_s: float = 900.0
) -> Record:
    """The last record of a clock that has a tick each minute. The newest one is so old."""
    emitted_ms = round((time.time() - old_s) * 1000)
    at_ms = emitted_ms // 60_000 * 60_000
    topics = {topic: TopicMetadata("id", 3)}
    state = ClockState(last_tick_ms=at_ms, last_emitted_ms=emitted_ms, group=group, topics=topics)
    return Record(clock, state, Tick(clock, at_ms, at_ms - 60_000, 60_000, emitted_ms))


OTHERS = {
    "topics": (partial(last_tick, topic="ingest-b"), "has the topics ingest-b there, and ingest-checkins here"),
    "group": (partial(last_tick, group="b"), "has the group 'b' there, and 'checkins-consumer' here"),
    "leads": (partial(last_tick), "this Redis leads other logs of the tick log (3)"),
    "new tick": (partial(last_tick, old_s=5), "is 5 s old: a leader with another Redis may still run"),
    "new tick of a clock that is not here": (partial(last_tick, "b", old_s=62), "run the command again 65 s after"),
}


@pytest.mark.parametrize("sign", OTHERS)
def test_a_log_of_another_installation_is_not_adopted(tick_logs: TickLogs, capsys: Captured, sign: str) -> None:
    """The error names what shows it. With the address of the replaced Redis, only a new tick is a sign."""
    record, words = OTHERS[sign]
    tick_logs.logs[5].commit([encode_message(record())])
    if sign == "leads":
        tick_logs.lead(LogOwner(Installation("clocksvc", "new.example:6379, database 0"), "b2"), [3])
        tick_logs.server.leases(3).adopt(StoreMark("b2"))
    before = tick_logs.marks()

    assert main(ADOPT) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "its own redis.prefix and tick_log.topic" in error
    assert tick_logs.marks() == before

    assert main([*ADOPT, "--redis-before", "unknown.example:6379"]) == 1
    assert "no log of clocksvc-ticks belongs to the Redis 'unknown.example:6379'" in capsys.readouterr().err
    assert main([*ADOPT, "--redis-before", BEFORE.store]) == int("new tick" in sign)
    assert (5 in tick_logs.marks()) is ("new tick" not in sign)


def test_a_log_with_the_same_clock_and_old_ticks_is_adopted(tick_logs: TickLogs) -> None:
    """One interval and 5 s after its newest tick."""
    tick_logs.logs[5].commit([encode_message(last_tick(old_s=66))])

    assert main(ADOPT) == 0

    assert sorted(tick_logs.marks()) == [3, 5]


@pytest.mark.parametrize(
    "arguments",
    [[*ADOPT, "checkins"], [*ADOPT, "--last-tick", "0"], ["init"], ["init", "checkins", "--redis-before", "x"]],
)
def test_arguments_other_than_a_clock_or_all_logs_are_refused(
    tick_logs: TickLogs, capsys: Captured, arguments: list[str]
) -> None:
    """Either a clock and its last tick, or all logs."""
    assert main(arguments) == 2

    assert "--adopt-tick-log" in capsys.readouterr().err.splitlines()[-1]
    assert tick_logs.marks() == {}
