"""The state of a log, read from its newest complete snapshot, is the state of the complete log."""

import json
import random
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.clock import log_state
from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import LogEntry, Message
from clocksvc.clock.log_state import KEPT_ENTRIES, LogState, read_log_state, snapshot_messages

pytestmark = pytest.mark.core

CLOCKS = ("a", "b", "c")
OWNER = LogOwner(Installation("clocksvc", "redis:6379"), "a1")


class Log:
    """A log with its committed entries.

    Attributes:
        truth: the newest record of each clock, ever; without those that a foreign record or a truncation can replace.
        reads: the number of offsets of each read.
    """

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self.first = self.end = 0
        self.truth: dict[str, bytes | None] = {}
        self.reads: list[int] = []

    def commit(self, messages: Sequence[Message]) -> None:
        """One transaction: its records, and its marker."""
        self.entries += [LogEntry(offset, message) for offset, message in enumerate(messages, self.end)]
        self.end += len(messages) + 1

    def write(self, clock: str, kind: str, value: bytes) -> None:
        """A tick or a control record."""
        self.commit([Message(clock.encode(), value, kind)])
        self.truth[clock] = value

    def foreign(self, key: bytes | None, kind: str | None, value: bytes | None) -> None:
        """Another program's record. If it has the key of a clock, compaction can delete the clock's record."""
        self.commit([Message(key, value, kind)])
        self.truth.pop((key or b"").decode(errors="replace"), None)

    def snapshot(self, kept: int | None = None) -> None:
        """A snapshot as a leader writes it. A torn one has the first `kept` records."""
        state = self.state()
        messages = snapshot_messages(OWNER, state.newest, self.end, complete=state.complete)
        self.commit(messages if kept is None else messages[: min(kept, len(messages) - 1)])

    def compact(self, rng: random.Random) -> None:
        """Remove random records that are not the newest ones of their keys."""
        newest = {entry.message.key: entry.offset for entry in self.entries}
        share = rng.choice((0.0, rng.random()))
        self.entries = [
            entry
            for entry in self.entries
            if newest[entry.message.key] == entry.offset or entry.message.key is None or rng.random() > share
        ]

    def truncate(self, part: float) -> None:
        """Delete a part of the log's beginning, as an operator can."""
        self.first += int((self.end - self.first) * part)
        self.entries = [entry for entry in self.entries if entry.offset >= self.first]
        left = {entry.message.key for entry in self.entries}
        self.truth = {clock: value for clock, value in self.truth.items() if clock.encode() in left}

    def read(self, start: int, end: int) -> list[LogEntry]:
        """The entries between two offsets."""
        assert self.first <= start < end <= self.end
        self.reads.append(end - start)
        return [entry for entry in self.entries if start <= entry.offset < end]

    def state(self) -> LogState:
        """The state, as a leader reads it."""
        return read_log_state(self.first, self.end, self.read)


def random_log(rng: random.Random, steps: int) -> Log:
    """A log with snapshots, torn and forged ones, compaction, truncation and foreign records."""
    log = Log()
    for _ in range(steps):
        step = rng.choices(("write", "snapshot", "torn", "forged", "foreign", "compact", "truncate"), WEIGHTS)[0]
        if step == "write":
            log.write(rng.choice(CLOCKS), rng.choice(("tick", "control")), rng.randbytes(2))
        elif step == "snapshot":
            log.snapshot()
        elif step == "torn":
            log.snapshot(rng.randrange(5))
        elif step == "forged":
            forge_end(log, rng.randrange(-4, 8))
        elif step == "foreign":
            log.foreign(rng.choice(FOREIGN_KEYS), rng.choice(FOREIGN_TYPES), rng.choice(FOREIGN_VALUES))
        elif step == "compact":
            log.compact(rng)
        else:
            log.truncate(rng.random())
    return log


def forge_end(log: Log, count: int) -> None:
    """The end of a snapshot that has not all of these copies."""
    copies = [entry.offset for entry in log.entries if entry.message.type == "snapshot"]
    body = {"offset": log.end - count, "count": count, "complete": True}
    if count < 0 or not all(at in copies for at in range(log.end - count, log.end)):
        log.commit([Message(b"_snapshot-end", json.dumps(body).encode(), "snapshot-end")])


WEIGHTS = (8, 3, 3, 1, 1, 2, 0.3)
FOREIGN_KEYS = (None, b"x", b"_x", b"\xff", b"a")
FOREIGN_TYPES = (None, "summary", "tick", "snapshot", "snapshot-end", "installation")
FOREIGN_VALUES = (
    *(None, b"", b"hello", b"[]", b"[" * 100_000, b'{"offset": "1"}', b'{"offset": 0, "count": true}'),
    b'{"prefix": "p", "store": "s", "store_id": 1}',
)


@settings(max_examples=1_500)
@given(st.randoms(use_true_random=False), st.integers(0, 60), st.integers(1, 4), st.integers(1, 8), st.integers(1, 90))
def test_the_newest_snapshot_replaces_the_log_before_it(
    rng: random.Random, steps: int, first_chunk: int, chunk: int, searched: int
) -> None:
    """For any log, in any chunks, the state is the one of all entries."""
    chunk = max(first_chunk, chunk)
    log = random_log(random.Random(rng.getrandbits(64)), steps)
    with patch.multiple(log_state, _FIRST_CHUNK=first_chunk, _CHUNK=chunk, _SEARCHED=searched):
        log.reads.clear()
        state = log.state()
    complete, newest, owner, since = naive_state(log)

    assert (state.newest, state.owner, state.since_snapshot) == (newest, owner, since)
    assert state.complete == complete
    assert list(state.recent) == log.entries[len(log.entries) - len(state.recent) :]
    assert len(state.recent) >= min(since, KEPT_ENTRIES)
    assert {clock: state.newest[clock].value for clock in log.truth} == log.truth
    assert all(count <= chunk for count in log.reads)
    assert sum(log.reads) <= log.end - log.first + searched + chunk


def naive_state(log: Log) -> tuple[bool, dict[str, Message], LogOwner | None, int]:
    """The same, from all entries."""
    by_offset = {entry.offset: entry.message for entry in log.entries}
    owner: LogOwner | None = None
    complete, since = log.first == 0, 0
    newest: dict[str, Message] = {}
    for offset, message in log.entries:
        since += 1
        key = message.key or b""
        if message.type in ("tick", "control", "snapshot") and message.key is not None and not key.startswith(b"_"):
            newest[key.decode(errors="replace")] = message
        body = _json(message.value) if message.type in ("installation", "snapshot-end") else {}
        if message.type == "installation":
            prefix, store, store_id = (body.get(field) for field in ("prefix", "store", "store_id"))
            if isinstance(prefix, str) and isinstance(store, str) and isinstance(store_id, str):
                owner = LogOwner(Installation(prefix, store), store_id)
        if message.type == "snapshot-end" and "offset" in body and body.get("count", -1) >= 0:
            begin, end = body["offset"], body["offset"] + body["count"]
            copies = [by_offset.get(at) for at in range(begin, end)]
            if end == offset and all(copy is not None and copy.type == "snapshot" for copy in copies):
                since, complete = 0, complete or body["complete"]
    return complete, newest, owner, since


def _json(value: bytes | None) -> dict[str, Any]:
    try:
        body = json.loads(value or b"")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def ticks(count: int, clocks: int = 1) -> Log:
    """A log with ticks of `clocks` clocks in turn, in transactions of 100."""
    log = Log()
    for start in range(0, count, 100):
        log.commit([Message(b"c%d" % (at % clocks), b"%d" % at, "tick") for at in range(start, start + 100)])
    return log


def test_a_leader_reads_few_records() -> None:
    """The number does not depend on the length of the log."""
    log = ticks(100_000, 50)
    log.snapshot()
    log.commit([Message(b"c7", b"new", "tick")] * 1_500)
    log.reads.clear()
    state = log.state()

    assert sum(log.reads) <= 3_000
    assert (len(state.newest), state.since_snapshot, state.complete) == (50, 1_500, True)
    assert state.newest["c7"] == Message(b"c7", b"new", "tick")
    assert state.newest["c8"] == Message(b"c8", b"99958", "snapshot")


def test_without_a_snapshot_the_log_is_read_once() -> None:
    """Its end at most twice, in bounded parts. Of the entries, only the newest are kept."""
    log = ticks(100_000, 50)
    state = log.state()

    assert sum(log.reads) <= log.end + 60_000
    assert max(log.reads) <= 10_000
    assert (len(state.newest), state.since_snapshot, len(state.recent)) == (50, 100_000, KEPT_ENTRIES)


def test_a_truncated_log_is_not_complete() -> None:
    """A clock without a record may have ticked. A snapshot of such a log records it, also for later leaders."""
    log = ticks(300)
    log.truncate(0.5)
    before = log.state().complete
    log.snapshot()

    assert not before
    assert not log.state().complete


def test_a_complete_snapshot_makes_a_truncated_log_complete() -> None:
    """It has all clocks, wherever the log begins."""
    log = ticks(300, 3)
    log.snapshot()
    log.write("c1", "tick", b"x")
    log.truncate(0.9)
    state = log.state()

    assert log.first > 0
    assert state.complete
    assert set(state.newest) == {"c0", "c1", "c2"}


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_torn_snapshot_is_not_a_snapshot(kept: int) -> None:
    """An older complete one counts. The copies of the torn one are the same records."""
    log = ticks(300, 2)
    log.snapshot()
    log.write("c1", "tick", b"x")
    log.snapshot(kept)
    state = log.state()

    assert state.since_snapshot == 1 + kept
    assert {clock: message.value for clock, message in state.newest.items()} == {"c0": b"298", "c1": b"x"}


def test_an_empty_log() -> None:
    """It is complete: no clock has ticked. Its first snapshot has no copies."""
    log = Log()
    empty = log.state()
    log.snapshot()
    state = log.state()

    assert (empty.complete, empty.newest, empty.owner) == (True, {}, None)
    assert (state.complete, state.newest, state.owner, state.since_snapshot) == (True, {}, OWNER, 0)


def test_the_messages_of_a_snapshot() -> None:
    """Keys that begin with `_` belong to no clock. Copies are verbatim, with another type."""
    newest = {"b": Message(b"b", b"1", "tick"), "a": Message(b"a", b"2", "control")}
    first, *copies, last = snapshot_messages(OWNER, newest, 40, complete=False)

    assert (first.key, first.type, _json(first.value)) == (
        b"_installation",
        "installation",
        {"format": 4, "prefix": "clocksvc", "store": "redis:6379", "store_id": "a1"},
    )
    assert copies == [Message(b"a", b"2", "snapshot"), Message(b"b", b"1", "snapshot")]
    assert (last.key, last.type, _json(last.value)) == (
        b"_snapshot-end",
        "snapshot-end",
        {"format": 4, "offset": 41, "count": 2, "complete": False},
    )
