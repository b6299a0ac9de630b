"""`ConsumerRun`, step by step: what an author does in a test, and what the consumer answers."""

import re
from typing import Any

import pytest

from clocksvc.consumer import BufferedConsumer, RetryPolicy
from clocksvc.testing import BrokenPromise, ConsumerRun, Interleaving, Record

pytestmark = pytest.mark.core

P0, P1 = ("orders", 0), ("orders", 1)
NOW_MS = 1_795_348_800_000


def process(message: Any) -> bytes | None:
    value: bytes = message.value()
    if value == b"broken":
        raise ValueError("no order")
    return value or None


def run_with(sink: list[bytes], **settings: Any) -> ConsumerRun:
    def consumer() -> BufferedConsumer[bytes]:
        given: dict[str, Any] = {
            "batch_records": 2,
            "retry": RetryPolicy(attempts=2),
            "dead_letters": "dead",
        } | settings
        return BufferedConsumer("orders", group="g", process=process, flush=sink.extend, **given)

    return ConsumerRun(consumer, partitions=2, sink=sink)


def test_records_are_committed_and_reported_after_their_flush() -> None:
    """A batch is cut by count, another one by age. The offset and the timestamp follow the flush."""
    run = run_with([])

    run.feed(b"1", b"2", b"3", timestamp_ms=NOW_MS)
    assert (run.running, run.flushed, run.committed) == ([[b"1", b"2"]], [], {})
    run.finish_flush()
    run.advance(1)
    assert (run.running, run.committed, run.reported) == ([[b"3"]], {P0: 2}, {P0: NOW_MS})
    run.finish_flush()
    run.advance(1)

    assert run.sink == [b"1", b"2", b"3"]
    assert run.committed == {P0: 3}


def test_flushes_finish_in_any_order() -> None:
    """The commit waits for the first batch, although the second one is flushed."""
    run = run_with([])
    run.feed(b"1", b"2", b"3", b"4")

    run.finish_flush(1)
    run.advance(2)
    assert (run.flushed, run.committed) == ([[b"3", b"4"]], {})
    run.finish_flush(0)
    run.advance(2)

    assert run.committed == {P0: 4}


def test_a_flush_that_fails_is_repeated() -> None:
    """With an effect, or without one."""
    run = run_with([])
    run.feed(b"1", b"2")

    run.fail_flush(OSError("no route"), after_effect=True)
    assert (run.running, run.sink) == ([], [b"1", b"2"])
    run.advance(1)
    run.finish_flush()
    run.advance(1)

    assert run.sink == [b"1", b"2", b"1", b"2"]
    assert run.committed == {P0: 2}


def test_a_crash_between_effect_and_commit_flushes_again() -> None:
    """The next process gets the records again."""
    run = run_with([])
    run.feed(b"1", b"2")
    run.crash(effects=True)
    assert (run.ended, run.sink, run.committed) == (True, [b"1", b"2"], {})

    run.start()
    run.finish_all()

    assert run.sink == [b"1", b"2"] * 2
    assert run.committed == {P0: 2}


def test_a_revocation_waits_for_flushes_and_commits() -> None:
    """If they finish in time. Otherwise the records belong to the next member, and a late result changes nothing."""
    run = run_with([])
    run.feed(b"1", partition=0)
    run.revoke(0)
    assert (run.flushed, run.committed) == ([[b"1"]], {P0: 1})

    run.feed(b"2", partition=1)
    run.revoke(1, flushes_finish=False)
    assert (run.running, run.committed) == ([[b"2"]], {P0: 1})
    run.another_member(1)
    run.finish_flush()
    run.advance(2)

    assert run.committed == {P0: 1, P1: 1}
    assert run.sink == [b"1", b"2", b"2"]


@pytest.mark.parametrize("end", ["revoke", "drain"])
def test_an_offset_is_committed_again_before_the_partition_moves_if_its_answer_is_outstanding(end: str) -> None:
    """Otherwise its timestamp would never be reported: the next member begins behind the record."""
    run = run_with([])
    run.policy.answer_commits = False
    run.feed(b"1", timestamp_ms=NOW_MS)
    run.advance(1)
    run.finish_flush()
    run.advance(1)
    assert run.reported == {}

    if end == "revoke":
        run.revoke()
    else:
        run.drain()
        run.advance(21)

    assert (run.committed, run.reported) == ({P0: 1}, {P0: NOW_MS})
    assert run.ended == (end == "drain")


def test_a_lost_partition_is_neither_flushed_nor_committed() -> None:
    """Its records are delivered again."""
    run = run_with([])
    run.feed(b"1")
    run.lose()
    run.advance(5)
    assert (run.running, run.committed) == ([], {})

    run.assign()
    run.finish_all()

    assert run.flushed == [[b"1"]]


def test_a_broken_record_is_done_when_the_dead_letter_is_acknowledged() -> None:
    """Not before, and again after a failure."""
    run = run_with([])
    run.policy.answer_dead_letters = False
    run.feed(b"broken", b"2", b"3")
    run.finish_flush()
    run.advance(1)
    assert (run.committed, run.dead_letters) == ({}, [])

    run.answer_dead_letter("no such topic")
    run.advance(1)
    run.answer_dead_letter()
    run.advance(1)

    assert run.committed == {P0: 3}
    assert [(message.offset(), cause.message) for message, cause in run.dead_letters] == [(0, "no order")]


def test_commits_are_answered_by_the_test() -> None:
    """A rejected commit is repeated, and its timestamp is reported after the next one."""
    run = run_with([])
    run.policy.answer_commits = False
    run.feed(b"1", b"2", timestamp_ms=NOW_MS)
    run.finish_flush()
    run.advance(1)

    run.answer_commit("NOT_COORDINATOR")
    assert (run.committed, run.reported) == ({}, {})
    run.advance(1)
    run.answer_commit()

    assert (run.committed, run.reported) == ({P0: 2}, {P0: NOW_MS})


def test_a_full_buffer_pauses_the_partitions() -> None:
    """Until half of it is free."""
    run = run_with([], buffer_records=4, concurrent_flushes=1)
    run.feed(*[b"%d" % number for number in range(8)])
    run.advance(2)
    assert run.paused == [P0, P1]

    run.finish_flush()

    assert run.paused == []


def test_an_error_without_a_dead_letter_topic_ends_the_consumer() -> None:
    """Nothing behind the record is committed."""
    run = run_with([], dead_letters=None)
    run.feed(b"1", b"broken")
    run.finish_flush()

    assert run.ended
    assert "the record at offset 1 of orders:0 can't be processed: ValueError: no order" in str(run.error)
    assert run.committed == {P0: 1}


def test_what_is_not_there_can_t_be_finished() -> None:
    """A wrong step of the test is an error that says why."""
    run = run_with([])
    for step, text in (
        (run.finish_flush, "0 flushes are running"),
        (run.answer_commit, "no commit waits"),
        (run.answer_dead_letter, "no dead letter waits"),
        (run.start, "the consumer runs already"),
        (lambda: run.another_member(0), "orders:0 is assigned to this consumer"),
    ):
        with pytest.raises(AssertionError, match=text):
            step()


def test_what_never_succeeds_is_named() -> None:
    """A consumer that can't finish its records."""

    def fail(batch: object) -> None:
        raise OSError("disk full")

    run = ConsumerRun(lambda: BufferedConsumer("orders", group="g", process=process, flush=fail), partitions=1)
    run.feed(b"1")

    with pytest.raises(BrokenPromise, match="orders:0 is not done"):
        run.finish_all()


def explored_build() -> ConsumerRun:
    return run_with([])


RECORDS = [Record(b"%d" % number, number % 2) for number in range(20)]


def test_an_exploration_counts_its_interleavings() -> None:
    """All seeds pass, and the author's check is called for each one."""
    checked = []

    def check(run: ConsumerRun) -> None:
        checked.append(run)
        assert {record.value for record in RECORDS} == {
            *run.sink,
            *(message.value() for message, _ in run.dead_letters),
        }

    explored = ConsumerRun.explore(explored_build, records=RECORDS, check=check, seeds=range(40))

    assert (explored.seeds, len(checked)) == (40, 40)
    assert sum(explored.hits.values()) > 400
    assert "40 seeds" in str(explored)


def test_timeouts_of_zero_break_no_promise() -> None:
    """A consumer that does not wait for its flushes drops records, and commits what is done."""
    settings = {"revoke_timeout_seconds": 0, "drain_timeout_seconds": 0, "buffer_records": 4}

    explored = ConsumerRun.explore(lambda: run_with([], **settings), records=RECORDS, seeds=range(40))

    assert explored.hits[Interleaving.DRAIN_TOO_LATE] > 5


def test_a_failing_seed_is_shown_step_by_step() -> None:
    """With the seed, and fewer steps that lead to the same failure. The seed's own steps can be replayed."""

    def check(run: ConsumerRun) -> None:
        assert run.sink.count(b"7") < 2, "7 was flushed twice"

    with pytest.raises(AssertionError) as raised:
        ConsumerRun.explore(explored_build, records=RECORDS, check=check, seeds=range(1_000))

    found = re.match(r"seed (\d+): 7 was flushed twice", str(raised.value))
    assert found
    steps = re.findall(r"^ +\d+\. .*", str(raised.value), re.MULTILINE)
    story = ConsumerRun.replay(explored_build, records=RECORDS, check=check, seed=int(found[1]))
    assert 5 < len(steps) < len(re.findall(r"^ +\d+\. .*", story, re.MULTILINE))
    assert "7 was flushed twice" in story
