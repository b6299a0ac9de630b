"""Tests of the whole consumer without a server: the real BufferedConsumer, with Kafka and time under their control."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consumer import make_consumer
from recordings import Storage

from clocksvc.testing import ConsumerRun

EVENTS = [{"at_ms": 0, "type": "click"}, {"at_ms": 40, "type": "scroll"}]


def segment(session: str, number: int, events: list[dict[str, Any]] = EVENTS) -> bytes:
    """The value of a record."""
    return json.dumps({"session": session, "segment": number, "events": events}).encode()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """An empty storage."""
    return Storage(tmp_path)


@pytest.fixture
def run(storage: Storage) -> ConsumerRun:
    """A consumer with two partitions, which writes into the storage."""
    return ConsumerRun(lambda: make_consumer(storage), partitions=2, sink=storage)


def test_a_segment_is_stored_committed_and_reported_in_this_order(run: ConsumerRun, storage: Storage) -> None:
    """Nothing is committed while the write runs, and nothing is reported before the commit is acknowledged."""
    run.policy.answer_commits = False
    run.feed(segment("a1", 0))
    run.advance(1)
    assert (storage.segments(), run.committed) == ([], {})

    run.finish_flush()
    assert storage.segments() == [("a1", 0)]
    assert storage.events("a1", 0) == EVENTS
    assert run.reported == {}

    run.answer_commit()
    assert run.committed == {("recordings", 0): 1}
    assert set(run.reported) == {("recordings", 0)}


def test_a_record_that_cannot_be_decoded_is_a_dead_letter(run: ConsumerRun, storage: Storage) -> None:
    """The segments around it are stored, and it does not stop the consumer."""
    run.feed(segment("a1", 0), b"{broken", segment("../../etc", 0), segment("a1", 1))
    run.finish_all()

    assert storage.segments() == [("a1", 0), ("a1", 1)]
    assert [message.offset() for message, _ in run.dead_letters] == [1, 2]
    assert run.committed == {("recordings", 0): 4}


def test_a_segment_without_events_is_not_stored(run: ConsumerRun, storage: Storage) -> None:
    """It counts as done."""
    run.feed(segment("a1", 0, []))
    run.finish_all()

    assert storage.segments() == []
    assert run.committed == {("recordings", 0): 1}


def test_a_failed_write_is_repeated(run: ConsumerRun, storage: Storage) -> None:
    """Also if it has had its effect: the files and rows are the same."""
    run.feed(segment("a1", 0), segment("a1", 1))
    run.advance(1)
    run.fail_flush(OSError("disk full"))
    run.advance(1)
    run.fail_flush(TimeoutError("no answer"), after_effect=True)
    assert run.committed == {}
    run.finish_all()

    assert storage.segments() == [("a1", 0), ("a1", 1)]
    assert run.committed == {("recordings", 0): 2}


def test_a_segment_is_stored_once_after_a_crash_before_its_commit(run: ConsumerRun, storage: Storage) -> None:
    """Kafka delivers the segment again, and it is stored once."""
    run.feed(segment("a1", 0))
    run.advance(1)
    run.crash(effects=True)
    assert (storage.segments(), run.committed) == ([("a1", 0)], {})

    run.start()
    run.finish_all()
    assert storage.segments() == [("a1", 0)]
    assert run.committed == {("recordings", 0): 1}


def test_a_write_that_outlasts_its_partition_is_not_committed(run: ConsumerRun, storage: Storage) -> None:
    """A write that does not finish in time is not committed. Another process stores the segment."""
    run.feed(segment("a1", 0))
    run.advance(1)
    run.revoke(0, flushes_finish=False)
    run.finish_flush()
    assert run.committed == {}

    run.another_member(0)
    assert run.committed == {("recordings", 0): 1}
    assert storage.segments() == [("a1", 0)]


def test_no_order_of_events_loses_a_segment(tmp_path: Path) -> None:
    """100 orders of writes, errors, rebalances and crashes: each segment is stored, and nothing is committed before."""
    segments = [segment("a1", number) for number in range(12)]
    folders: Iterator[Path] = (tmp_path / str(number) for number in range(1_000_000))

    def build() -> ConsumerRun:
        storage = Storage(next(folders))
        return ConsumerRun(lambda: make_consumer(storage), partitions=2, sink=storage)

    def check(run: ConsumerRun) -> None:
        assert run.sink.segments() == [("a1", number) for number in range(12)]

    ConsumerRun.explore(build, records=segments, check=check, seeds=range(100))
