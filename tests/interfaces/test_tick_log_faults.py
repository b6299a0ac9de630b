"""The behaviour of all tick logs while their brokers fail."""

import gc
import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from clocksvc.errors import Fenced, LeaseLost, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import KeepAlive, Tail, TickLog
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import CLOCK, KeepAliveCounter, minutes, tick, ticks
from tests.interfaces.tick_log_implementations import (
    TIMEOUT_S,
    FaultyKafkaTickLog,
    FaultyTickLogImplementation,
    MemoryTickLogImplementation,
    writer,
)

keep_alive = KeepAliveCounter()


def _ensure_topic(log: TickLog, waiting: KeepAlive) -> None:
    log.ensure_topic(waiting)


def _fence(log: TickLog, waiting: KeepAlive) -> None:
    log.fence(waiting)


def _tail(log: TickLog, waiting: KeepAlive) -> None:
    log.tail(waiting)


def _backwards(log: TickLog, waiting: KeepAlive) -> None:
    next(log.backwards(waiting))


def _append(log: TickLog, waiting: KeepAlive) -> None:
    log.append(ticks(2, 3), waiting)


EVERY_CALL = pytest.mark.parametrize("call", [_ensure_topic, _fence, _tail, _append])


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
def test_without_an_answer_a_call_gives_up(
    implementation: FaultyTickLogImplementation, call: Callable[[TickLog, KeepAlive], None]
) -> None:
    """In time, by TickLogUnavailable, having told who waits; nothing is seen of an append."""
    log, waits = writer(implementation), KeepAliveCounter()
    log.append([tick(1)], keep_alive)
    log.tail(keep_alive)
    implementation.stall()
    begun = time.monotonic()
    with pytest.raises(TickLogUnavailable):
        call(log, waits)
    assert time.monotonic() - begun < TIMEOUT_S + 1
    assert waits.calls >= 1
    implementation.heal()

    writer(implementation).append([tick(2)], keep_alive)
    assert minutes(implementation.seen()) == [1, 2]


@EVERY_CALL
def test_giving_up_gets_through(
    implementation: FaultyTickLogImplementation, call: Callable[[TickLog, KeepAlive], None]
) -> None:
    """What `waiting` raises comes out of the call at once; a writer that was interrupted never writes again."""
    log = writer(implementation)
    log.append([tick(1)], keep_alive)
    log.tail(keep_alive)
    implementation.stall()
    with pytest.raises(LeaseLost):
        call(log, KeepAliveCounter(LeaseLost()))
    implementation.heal()
    if call in (_fence, _append):
        with pytest.raises(Fenced):
            log.append([tick(9)], keep_alive)

    writer(implementation).append([tick(2)], keep_alive)
    assert minutes(implementation.seen()) == [1, 2]


@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_without_an_answer_is_open_until_the_log_is_asked(
    implementation: FaultyTickLogImplementation, lands: bool
) -> None:
    """It may have landed or not; the writer writes no more, and `fence` and `tail` tell."""
    log, waits = writer(implementation), KeepAliveCounter()
    log.append([tick(1)], keep_alive)
    implementation.lose_commits(lands=lands)
    with pytest.raises(OutcomeUnknown):
        log.append(ticks(2, 3), waits)
    assert waits.calls >= 1
    implementation.heal()
    with pytest.raises(Fenced):
        log.append([tick(9)], keep_alive)
    log.fence(keep_alive)
    last = 4 if lands else 1

    assert log.tail(keep_alive) == Tail(tick(last), 0)
    log.append([tick(last + 1)], keep_alive)
    assert minutes(implementation.seen()) == list(range(1, last + 2))


@pytest.mark.parametrize("lands", [True, False])
def test_another_process_settles_an_open_commit(implementation: FaultyTickLogImplementation, lands: bool) -> None:
    """The next `fence` settles the log: nothing changes when the old writer reaches its brokers again."""
    log, other = writer(implementation), implementation.process()
    log.append([tick(1)], keep_alive)
    implementation.lose_commits(lands=lands)
    with pytest.raises(OutcomeUnknown):
        log.append([tick(2)], keep_alive)
    implementation.heal()
    other.fence(keep_alive)
    found = other.tail(keep_alive)
    with pytest.raises(Fenced):
        log.append([tick(9)], keep_alive)

    assert found == Tail(tick(2 if lands else 1), 0)
    assert other.tail(keep_alive) == found


def test_giving_up_during_a_commit_leaves_it_open(implementation: FaultyTickLogImplementation) -> None:
    """A lease that is lost while the commit's answer is awaited: the writer never writes again."""
    log, other = writer(implementation), implementation.process()
    implementation.lose_commits(lands=False)
    with pytest.raises(LeaseLost):
        log.append([tick(1)], KeepAliveCounter(LeaseLost()))
    implementation.heal()
    with pytest.raises(Fenced):
        log.append([tick(1)], keep_alive)
    other.fence(keep_alive)

    assert other.tail(keep_alive) == Tail(None, 0)


def test_reading_goes_on_after_an_outage(implementation: FaultyTickLogImplementation) -> None:
    """The same process reads again as soon as the brokers answer."""
    log = writer(implementation)
    log.append([tick(1)], keep_alive)
    implementation.stall()
    with pytest.raises(TickLogUnavailable):
        _backwards(log, keep_alive)
    implementation.heal()

    assert log.tail(keep_alive) == Tail(tick(1), 0)
    assert list(log.backwards(keep_alive)) == [tick(1)]


@pytest.mark.servers
def test_backwards_reads_as_it_is_asked(faulty_kafka: FaultyKafka) -> None:
    """Records are read on demand: an error in older ones does not affect a reader of newer ones."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    log = writer(implementation)
    log.append(ticks(1, 1_500), keep_alive)
    records = log.backwards(keep_alive)
    newest = next(records)
    implementation.stall()
    newer = [newest, *itertools.islice(records, 100)]
    with pytest.raises(TickLogUnavailable):
        list(records)
    implementation.free()

    assert newer == list(reversed(ticks(1_400, 101)))


@pytest.mark.servers
def test_no_call_makes_a_topic(faulty_kafka: FaultyKafka) -> None:
    """Only `ensure_topic` does, even if brokers create topics on metadata requests."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    log = implementation.process()
    log.fence(keep_alive)
    for call in (_tail, _backwards, _append):
        with pytest.raises(TickLogUnavailable):
            call(log, keep_alive)
    implementation.free()

    assert implementation.topic not in implementation.topics()


@pytest.mark.servers
def test_giving_up_leaves_no_client_behind(faulty_kafka: FaultyKafka) -> None:
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
@pytest.mark.parametrize("call", [_ensure_topic, _fence, _tail])
def test_without_rights_the_log_is_unavailable(
    faulty_kafka: FaultyKafka, call: Callable[[TickLog, KeepAlive], None]
) -> None:
    """The reason is Kafka's, in words."""
    implementation = FaultyKafkaTickLog(faulty_kafka)
    writer(implementation)
    log = KafkaTickLog(implementation.topic, CLOCK, faulty_kafka.stranger, SystemTime(), TIMEOUT_S)
    with pytest.raises(TickLogUnavailable, match=r"(?i)authori[sz]"):
        call(log, keep_alive)
    log.close()
    implementation.free()


@pytest.mark.core
@pytest.mark.parametrize("call", [_ensure_topic, _fence, _tail])
def test_a_setting_that_librdkafka_refuses_is_said(call: Callable[[TickLog, KeepAlive], None]) -> None:
    """Its words name the setting."""
    log = KafkaTickLog("ticks", CLOCK, {"security.protocol": "MAGIC"}, SystemTime(), TIMEOUT_S)
    with pytest.raises(TickLogUnavailable, match="MAGIC"):
        call(log, keep_alive)


def _admin_clients() -> int:
    return sum(isinstance(one, AdminClient) for one in gc.get_objects())
