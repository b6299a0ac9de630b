"""The behaviour of all tick logs while their brokers fail."""

import gc
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from clocksvc.clock.logs import LOGS
from clocksvc.errors import Fenced, LeaseLost, OffsetGap, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive, LogBounds, TickLog
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.faulty.commits import CommitFault, TornTransaction
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import LOG, KeepAliveCounter, messages, minutes
from tests.interfaces.tick_log_implementations import (
    KEEP_MS,
    TIMEOUT_S,
    FaultyKafkaTickLog,
    FaultyTickLogImplementation,
    MemoryTickLogImplementation,
    end_of,
    entries,
    writer,
)
from tests.process import module

keep_alive = KeepAliveCounter()


def _ensure_topic(log: TickLog, waiting: KeepAlive) -> None:
    log.ensure_topic(waiting)


def _fence(log: TickLog, waiting: KeepAlive) -> None:
    log.fence(waiting)


def _bounds(log: TickLog, waiting: KeepAlive) -> None:
    log.bounds(waiting)


def _stable_bounds(log: TickLog, waiting: KeepAlive) -> None:
    log.stable_bounds(waiting)


def _read(log: TickLog, waiting: KeepAlive) -> None:
    log.read(0, 2, waiting)


def _offset_at(log: TickLog, waiting: KeepAlive) -> None:
    log.offset_at(1, waiting)


def _append(log: TickLog, waiting: KeepAlive) -> None:
    log.append(messages(2, 3), 2, waiting)


Call = Callable[[TickLog, KeepAlive], None]
READS: list[Call] = [_bounds, _stable_bounds, _read, _offset_at]
EVERY_CALL = pytest.mark.parametrize("call", [_ensure_topic, _fence, *READS, _append])


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[FaultyTickLogImplementation]:
    """Each implementation of the tick log, over brokers that can fail."""
    memory = request.param == "memory"
    made = MemoryTickLogImplementation() if memory else FaultyKafkaTickLog(request.getfixturevalue("faulty_kafka"))
    yield made
    made.free()


@EVERY_CALL
def test_without_an_answer_a_call_ends(implementation: FaultyTickLogImplementation, call: Call) -> None:
    """It raises TickLogUnavailable in time, and calls keep_alive while it waits. An append commits nothing."""
    log, waits = writer(implementation), KeepAliveCounter()
    log.append(messages(1), 0, keep_alive)
    implementation.stall()
    begun = time.monotonic()
    with pytest.raises(TickLogUnavailable):
        call(log, waits)
    assert time.monotonic() - begun < TIMEOUT_S + 1
    assert waits.calls >= 1
    implementation.heal()

    log = writer(implementation)
    log.append(messages(2), end_of(log), keep_alive)
    assert minutes(implementation.seen()) == [1, 2]


@EVERY_CALL
def test_the_error_of_keep_alive_ends_a_call(implementation: FaultyTickLogImplementation, call: Call) -> None:
    """At once. A writer that was interrupted in `fence` or `append` never writes again."""
    log = writer(implementation)
    end = log.append(messages(1), 0, keep_alive)
    implementation.stall()
    with pytest.raises(LeaseLost):
        call(log, KeepAliveCounter(LeaseLost()))
    implementation.heal()
    if call in (_fence, _append):
        with pytest.raises(Fenced):
            log.append(messages(9), end, keep_alive)

    log = writer(implementation)
    log.append(messages(2), end_of(log), keep_alive)
    assert minutes(implementation.seen()) == [1, 2]


@pytest.mark.parametrize("lands", [True, False])
def test_the_outcome_of_an_unanswered_commit_is_found_after_a_fence(
    implementation: FaultyTickLogImplementation, lands: bool
) -> None:
    """It landed or it did not. The writer writes no more. `fence` and `bounds` decide."""
    log, waits = writer(implementation), KeepAliveCounter()
    end = log.append(messages(1), 0, keep_alive)
    implementation.lose_commits(lands=lands)
    with pytest.raises(OutcomeUnknown):
        log.append(messages(2, 3), end, waits)
    assert waits.calls >= 1
    implementation.heal()
    with pytest.raises(Fenced):
        log.append(messages(9), end, keep_alive)
    log.fence(keep_alive)
    end, last = end_of(log), 4 if lands else 1

    assert end == 6
    assert minutes(entries(log)) == list(range(1, last + 1))
    log.append(messages(last + 1), end, keep_alive)
    assert minutes(implementation.seen()) == list(range(1, last + 2))


@pytest.mark.parametrize("lands", [True, False])
def test_the_fence_of_another_process_decides(implementation: FaultyTickLogImplementation, lands: bool) -> None:
    """Nothing changes when the old writer reaches its brokers again."""
    log, other = writer(implementation), implementation.process()
    end = log.append(messages(1), 0, keep_alive)
    implementation.lose_commits(lands=lands)
    with pytest.raises(OutcomeUnknown):
        log.append(messages(2), end, keep_alive)
    implementation.heal()
    other.fence(keep_alive)
    found = other.bounds(keep_alive), entries(other)
    with pytest.raises(Fenced):
        log.append(messages(9), end, keep_alive)

    assert minutes(found[1]) == ([1, 2] if lands else [1])
    assert (other.bounds(keep_alive), entries(other)) == found


def test_an_interrupted_commit_is_aborted_by_the_next_fence(implementation: FaultyTickLogImplementation) -> None:
    """A lease is lost while the writer waits for the answer to a commit. The writer never writes again."""
    log, other = writer(implementation), implementation.process()
    implementation.lose_commits(lands=False)
    with pytest.raises(LeaseLost):
        log.append(messages(1), 0, KeepAliveCounter(LeaseLost()))
    implementation.heal()
    with pytest.raises(Fenced):
        log.append(messages(1), 0, keep_alive)
    other.fence(keep_alive)

    assert other.bounds(keep_alive) == LogBounds(0, 2)
    assert entries(other) == []


@pytest.mark.servers
def test_a_commit_near_the_end_of_a_slice_does_not_end_the_process(faulty_kafka: FaultyKafka) -> None:
    """librdkafka ends the process if a call that continues a commit has no time to begin."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    implementation.make(LOGS, "compact")
    faulty_kafka.proxy.slow_down(0.001)
    done = subprocess.run(
        module("tests.interfaces.commits_in_many_calls", faulty_kafka.bootstrap, implementation.topic, "50"),
        capture_output=True,
        text=True,
        check=False,
    )
    faulty_kafka.proxy.heal()

    assert done.returncode == 0, done.stderr
    assert minutes(implementation.seen()) == list(range(1, 51))


def test_reading_continues_after_an_outage(implementation: FaultyTickLogImplementation) -> None:
    """The same process reads again as soon as the brokers answer."""
    log = writer(implementation)
    end = log.append(messages(1), 0, keep_alive)
    implementation.stall()
    for call in READS:
        with pytest.raises(TickLogUnavailable):
            call(log, keep_alive)
    implementation.heal()

    assert log.bounds(keep_alive) == LogBounds(0, end)
    assert minutes(log.read(0, end, keep_alive)) == [1]


def test_a_failed_fence_leaves_no_writer(implementation: FaultyTickLogImplementation) -> None:
    """Also if the process was the writer before."""
    log = writer(implementation)
    implementation.stall()
    with pytest.raises(TickLogUnavailable):
        log.fence(keep_alive)
    implementation.heal()
    with pytest.raises(Fenced):
        log.append(messages(1), 0, keep_alive)


@pytest.mark.servers
def test_no_call_creates_a_topic(faulty_kafka: FaultyKafka) -> None:
    """Only `ensure_topic` does, even if brokers create topics on metadata requests."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    log = implementation.process()
    log.fence(keep_alive)
    for call in (*READS, _append):
        with pytest.raises(TickLogUnavailable):
            call(log, keep_alive)
    implementation.free()

    assert implementation.topic not in implementation.topics()


@pytest.mark.servers
def test_an_interruption_leaves_no_client_behind(faulty_kafka: FaultyKafka) -> None:
    """Not even in a stored traceback: librdkafka aborts the process when a client with an open request
    is collected as garbage on its own thread."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    before = _admin_clients()
    implementation.stall()
    with pytest.raises(LeaseLost) as kept:
        implementation.process().ensure_topic(KeepAliveCounter(LeaseLost()))
    after = _admin_clients()
    implementation.free()

    assert (after, kept.type) == (before, LeaseLost)


@pytest.mark.servers
@pytest.mark.parametrize("call", [_ensure_topic, _fence, *READS])
def test_without_rights_the_log_is_unavailable(faulty_kafka: FaultyKafka, call: Call) -> None:
    """The error contains Kafka's reason."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    writer(implementation)
    log = KafkaTickLog(implementation.topic, LOG, faulty_kafka.stranger, SystemTime(), KEEP_MS, TIMEOUT_S)
    with pytest.raises(TickLogUnavailable, match=r"(?i)authori[sz]"):
        call(log, keep_alive)
    log.close()
    implementation.free()


@pytest.mark.core
@pytest.mark.parametrize("call", [_ensure_topic, _fence, *READS])
def test_the_error_names_a_setting_that_librdkafka_rejects(call: Call) -> None:
    """The client can't be created."""
    log = KafkaTickLog("ticks", LOG, {"security.protocol": "MAGIC"}, SystemTime(), KEEP_MS, TIMEOUT_S)
    with pytest.raises(TickLogUnavailable, match="MAGIC"):
        call(log, keep_alive)


# Faults that only the in-memory implementation can produce at will. For real brokers: test_delayed_requests.py.

ALL = 4


@pytest.mark.core
@pytest.mark.parametrize(
    ("torn", "error", "left"),
    [
        (TornTransaction(2), TickLogUnavailable, 2),
        (TornTransaction(2, answered=True), OffsetGap, 2),
        (TornTransaction(2, committed=False), TickLogUnavailable, 0),
        (TornTransaction(2, committed=False, answered=True), OffsetGap, 0),
        (TornTransaction(0, answered=True), OutcomeUnknown, 0),
        (TornTransaction(ALL, committed=False), TickLogUnavailable, 0),
    ],
)
def test_a_torn_transaction_is_detected(torn: TornTransaction, error: type[Exception], left: int) -> None:
    """Some of the first records are committed. After a fence, the log continues behind them."""
    implementation = MemoryTickLogImplementation()
    log = writer(implementation)
    end = log.append(messages(1), 0, keep_alive)
    implementation.log.torn.append(torn)
    with pytest.raises(error):
        log.append(messages(2, ALL), end, keep_alive)
    with pytest.raises(Fenced):
        log.append(messages(9), end, keep_alive)
    log.fence(keep_alive)
    end = end_of(log)
    assert minutes(entries(log)) == list(range(1, 2 + left))
    log.append(messages(2 + left), end, keep_alive)

    assert minutes(implementation.seen()) == list(range(1, 3 + left))


@pytest.mark.core
def test_a_delayed_commit_of_all_records_is_a_commit() -> None:
    """The brokers answer the writer's own commit with OK. All records are there once."""
    implementation = MemoryTickLogImplementation()
    log = writer(implementation)
    implementation.log.torn.append(TornTransaction(ALL))

    assert log.append(messages(1, ALL), 0, keep_alive) == end_of(log) == ALL + 1
    assert minutes(entries(log)) == [1, 2, 3, 4]


@pytest.mark.core
@pytest.mark.parametrize("missing", [1, 2, 3, 9])
def test_a_stale_end_commits_nothing(missing: int) -> None:
    """A deposed partition leader answers with an end before acknowledged records."""
    implementation = MemoryTickLogImplementation()
    log, end = writer(implementation), 0
    for minute in (1, 2, 3):
        end = log.append(messages(minute), end, keep_alive)
    log.fence(keep_alive)
    implementation.log.stale_ends += [missing, missing]
    stale = end_of(log)

    assert stale == log.stable_bounds(keep_alive).end == max(0, end - 2 * missing)
    assert minutes(log.read(0, stale, keep_alive)) == [1, 2, 3][: max(0, 3 - missing)]
    with pytest.raises(OffsetGap):
        log.append(messages(1), stale, keep_alive)
    assert minutes(implementation.seen()) == [1, 2, 3]


@pytest.mark.core
@pytest.mark.parametrize("lands", [True, False])
def test_an_unanswered_commit_waits_for_the_timeout(lands: bool) -> None:
    """It may land later, until the next fence."""
    implementation, waits = MemoryTickLogImplementation(), KeepAliveCounter()
    log = writer(implementation)
    implementation.log.commit_faults.append(CommitFault.UNANSWERED)
    with pytest.raises(OutcomeUnknown):
        log.append(messages(1), 0, waits)
    assert waits.calls == 6
    if lands:
        implementation.log.end_own(committed=True)
    log.fence(keep_alive)

    assert minutes(entries(log)) == ([1] if lands else [])


def _admin_clients() -> int:
    return sum(isinstance(one, AdminClient) for one in gc.get_objects())
