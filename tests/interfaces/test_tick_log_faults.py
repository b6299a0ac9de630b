"""What every keeper of the tick log promises while its brokers fail."""

import gc
import itertools
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from clocksvc.errors import Fenced, LeaseLost, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import (
    KeepAlive,
    Tail,
    TickLog,
)
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.ticklog_keepers import (
    TIMEOUT_S,
    FaultyKafkaLogKeeper,
    FaultyLogKeeper,
    MemoryLogKeeper,
    writer,
)
from tests.interfaces.ticklog_values import (
    CLOCK,
    Word,
    minutes,
    tick,
    ticks,
)

word = Word()


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
def keeper(request: pytest.FixtureRequest) -> Iterator[FaultyLogKeeper]:
    """Each keeper of the tick log's promise in turn, over brokers that can fail."""
    memory = request.param == "memory"
    made = MemoryLogKeeper() if memory else FaultyKafkaLogKeeper(request.getfixturevalue("faulty_kafka"))
    yield made
    made.free()


@EVERY_CALL
def test_without_an_answer_a_call_gives_up(keeper: FaultyLogKeeper, call: Callable[[TickLog, KeepAlive], None]) -> None:
    """In time, by TickLogUnavailable, having told who waits; nothing is seen of an append."""
    log, waits = writer(keeper), Word()
    log.append([tick(1)], word)
    log.tail(word)
    keeper.stall()
    begun = time.monotonic()
    with pytest.raises(TickLogUnavailable):
        call(log, waits)
    assert time.monotonic() - begun < TIMEOUT_S + 1
    assert waits.calls >= 1
    keeper.heal()

    writer(keeper).append([tick(2)], word)
    assert minutes(keeper.seen()) == [1, 2]


@EVERY_CALL
def test_giving_up_gets_through(keeper: FaultyLogKeeper, call: Callable[[TickLog, KeepAlive], None]) -> None:
    """What `waiting` raises comes out of the call at once; a writer that was interrupted never writes again."""
    log = writer(keeper)
    log.append([tick(1)], word)
    log.tail(word)
    keeper.stall()
    with pytest.raises(LeaseLost):
        call(log, Word(LeaseLost()))
    keeper.heal()
    if call in (_fence, _append):
        with pytest.raises(Fenced):
            log.append([tick(9)], word)

    writer(keeper).append([tick(2)], word)
    assert minutes(keeper.seen()) == [1, 2]


@pytest.mark.parametrize("lands", [True, False])
def test_a_commit_without_an_answer_is_open_until_the_log_is_asked(keeper: FaultyLogKeeper, lands: bool) -> None:
    """It may have landed or not; the writer writes no more, and `fence` and `tail` tell."""
    log, waits = writer(keeper), Word()
    log.append([tick(1)], word)
    keeper.lose_commits(lands=lands)
    with pytest.raises(OutcomeUnknown):
        log.append(ticks(2, 3), waits)
    assert waits.calls >= 1
    keeper.heal()
    with pytest.raises(Fenced):
        log.append([tick(9)], word)
    log.fence(word)
    last = 4 if lands else 1

    assert log.tail(word) == Tail(tick(last), 0)
    log.append([tick(last + 1)], word)
    assert minutes(keeper.seen()) == list(range(1, last + 2))


@pytest.mark.parametrize("lands", [True, False])
def test_another_process_settles_an_open_commit(keeper: FaultyLogKeeper, lands: bool) -> None:
    """Whoever fences next finds the log settled: nothing changes any more when the old writer's brokers are back."""
    log, other = writer(keeper), keeper.process()
    log.append([tick(1)], word)
    keeper.lose_commits(lands=lands)
    with pytest.raises(OutcomeUnknown):
        log.append([tick(2)], word)
    keeper.heal()
    other.fence(word)
    found = other.tail(word)
    with pytest.raises(Fenced):
        log.append([tick(9)], word)

    assert found == Tail(tick(2 if lands else 1), 0)
    assert other.tail(word) == found


def test_giving_up_during_a_commit_leaves_it_open(keeper: FaultyLogKeeper) -> None:
    """A lease that is lost while the commit's answer is awaited: the writer never writes again."""
    log, other = writer(keeper), keeper.process()
    keeper.lose_commits(lands=False)
    with pytest.raises(LeaseLost):
        log.append([tick(1)], Word(LeaseLost()))
    keeper.heal()
    with pytest.raises(Fenced):
        log.append([tick(1)], word)
    other.fence(word)

    assert other.tail(word) == Tail(None, 0)


def test_reading_goes_on_after_an_outage(keeper: FaultyLogKeeper) -> None:
    """The same process reads again as soon as the brokers answer."""
    log = writer(keeper)
    log.append([tick(1)], word)
    keeper.stall()
    with pytest.raises(TickLogUnavailable):
        _backwards(log, word)
    keeper.heal()

    assert log.tail(word) == Tail(tick(1), 0)
    assert list(log.backwards(word)) == [tick(1)]


@pytest.mark.servers
def test_backwards_reads_as_it_is_asked(faulty_kafka: FaultyKafka) -> None:
    """Records that are never asked for are never read: trouble in reading them stops nobody who needs newer ones."""
    keeper = FaultyKafkaLogKeeper(faulty_kafka)
    log = writer(keeper)
    log.append(ticks(1, 1_500), word)
    records = log.backwards(word)
    newest = next(records)
    keeper.stall()
    newer = [newest, *itertools.islice(records, 100)]
    with pytest.raises(TickLogUnavailable):
        list(records)
    keeper.free()

    assert newer == list(reversed(ticks(1_400, 101)))


@pytest.mark.servers
def test_no_call_makes_a_topic(faulty_kafka: FaultyKafka) -> None:
    """Only `ensure_topic` does, even where brokers make a topic for whoever asks about one."""
    keeper = FaultyKafkaLogKeeper(faulty_kafka)
    log = keeper.process()
    log.fence(word)
    for call in (_tail, _backwards, _append):
        with pytest.raises(TickLogUnavailable):
            call(log, word)
    keeper.free()

    assert keeper.topic not in keeper.topics()


@pytest.mark.servers
def test_giving_up_leaves_no_client_behind(faulty_kafka: FaultyKafka) -> None:
    """Not even in a traceback that somebody keeps: librdkafka aborts the process when a client with an open question
    is collected as garbage on its own thread."""
    keeper = FaultyKafkaLogKeeper(faulty_kafka)
    before = _admin_clients()
    keeper.stall()
    with pytest.raises(LeaseLost) as kept:
        keeper.process().ensure_topic(Word(LeaseLost()))
    after = _admin_clients()
    keeper.free()

    assert (after, kept.type) == (before, LeaseLost)


@pytest.mark.servers
@pytest.mark.parametrize("call", [_ensure_topic, _fence, _tail])
def test_without_rights_the_log_is_unavailable(
    faulty_kafka: FaultyKafka, call: Callable[[TickLog, KeepAlive], None]
) -> None:
    """The reason is Kafka's, in words."""
    keeper = FaultyKafkaLogKeeper(faulty_kafka)
    writer(keeper)
    log = KafkaTickLog(keeper.topic, CLOCK, faulty_kafka.stranger, SystemTime(), TIMEOUT_S)
    with pytest.raises(TickLogUnavailable, match=r"(?i)authori[sz]"):
        call(log, word)
    log.close()
    keeper.free()


@pytest.mark.core
@pytest.mark.parametrize("call", [_ensure_topic, _fence, _tail])
def test_a_setting_that_librdkafka_refuses_is_said(call: Callable[[TickLog, KeepAlive], None]) -> None:
    """Its words name the setting."""
    log = KafkaTickLog("ticks", CLOCK, {"security.protocol": "MAGIC"}, SystemTime(), TIMEOUT_S)
    with pytest.raises(TickLogUnavailable, match="MAGIC"):
        call(log, word)


def _admin_clients() -> int:
    return sum(isinstance(one, AdminClient) for one in gc.get_objects())
