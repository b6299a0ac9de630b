"""What every implementation of the tick log says about its right to write."""

from collections.abc import Callable, Iterator

import pytest

from clocksvc.errors import Fenced, LeaseLost, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import TickLog
from tests.interfaces.tick_log_examples import KeepAliveCounter, tick
from tests.interfaces.tick_log_implementations import (
    FaultyKafkaTickLog,
    FaultyTickLogImplementation,
    MemoryTickLogImplementation,
    writer,
)

keep_alive = KeepAliveCounter()


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[FaultyTickLogImplementation]:
    """Each implementation of the tick log, over brokers that can fail."""
    memory = request.param == "memory"
    made = MemoryTickLogImplementation() if memory else FaultyKafkaTickLog(request.getfixturevalue("faulty_kafka"))
    yield made
    made.free()


def _is_fenced(implementation: FaultyTickLogImplementation, log: TickLog) -> None:
    implementation.process().fence(keep_alive)
    with pytest.raises(Fenced):
        log.append([tick(2)], keep_alive)


def _is_interrupted_in_an_append(implementation: FaultyTickLogImplementation, log: TickLog) -> None:
    implementation.stall()
    with pytest.raises(LeaseLost):
        log.append([tick(2)], KeepAliveCounter(LeaseLost()))


def _is_interrupted_in_a_fence(implementation: FaultyTickLogImplementation, log: TickLog) -> None:
    implementation.stall()
    with pytest.raises(LeaseLost):
        log.fence(KeepAliveCounter(LeaseLost()))


def _fences_without_an_answer(implementation: FaultyTickLogImplementation, log: TickLog) -> None:
    implementation.stall()
    with pytest.raises(TickLogUnavailable):
        log.fence(keep_alive)


def _commits_without_an_answer(implementation: FaultyTickLogImplementation, log: TickLog) -> None:
    implementation.lose_commits(lands=True)
    with pytest.raises(OutcomeUnknown):
        log.append([tick(2)], keep_alive)


def _is_closed(_: FaultyTickLogImplementation, log: TickLog) -> None:
    log.close()


def test_only_a_fence_makes_a_writer(implementation: FaultyTickLogImplementation) -> None:
    """A process may write once it has fenced, not before; reading and writing leave it so."""
    log = implementation.process()
    assert not log.writable
    log.ensure_topic(keep_alive)
    assert not log.writable
    log.fence(keep_alive)
    assert log.writable
    log.append([tick(1)], keep_alive)
    log.tail(keep_alive)
    list(log.backwards(keep_alive))

    assert log.writable
    assert not implementation.process().writable


@pytest.mark.parametrize(
    "trouble",
    [
        _is_fenced,
        _is_interrupted_in_an_append,
        _is_interrupted_in_a_fence,
        _fences_without_an_answer,
        _commits_without_an_answer,
        _is_closed,
    ],
)
def test_a_writer_that_met_trouble_must_fence_again(
    implementation: FaultyTickLogImplementation, trouble: Callable[[FaultyTickLogImplementation, TickLog], None]
) -> None:
    """Fenced, interrupted, or with a commit whose outcome is open: it may write again only after its next fence."""
    log = writer(implementation)
    log.append([tick(1)], keep_alive)
    trouble(implementation, log)
    assert not log.writable
    implementation.heal()
    assert not log.writable
    log.fence(keep_alive)

    assert log.writable
