"""What every keeper of the tick log says about its right to write."""

from collections.abc import Callable, Iterator

import pytest

from clocksvc.errors import Fenced, LeaseLost, OutcomeUnknown, TickLogUnavailable
from clocksvc.interfaces.tick_log import TickLog
from tests.interfaces.ticklog_keepers import (
    FaultyKafkaLogKeeper,
    FaultyLogKeeper,
    MemoryLogKeeper,
    writer,
)
from tests.interfaces.ticklog_values import (
    Word,
    tick,
)

word = Word()


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def keeper(request: pytest.FixtureRequest) -> Iterator[FaultyLogKeeper]:
    """Each keeper of the tick log's promise in turn, over brokers that can fail."""
    memory = request.param == "memory"
    made = MemoryLogKeeper() if memory else FaultyKafkaLogKeeper(request.getfixturevalue("faulty_kafka"))
    yield made
    made.free()


def _is_fenced(keeper: FaultyLogKeeper, log: TickLog) -> None:
    keeper.process().fence(word)
    with pytest.raises(Fenced):
        log.append([tick(2)], word)


def _is_interrupted_in_an_append(keeper: FaultyLogKeeper, log: TickLog) -> None:
    keeper.stall()
    with pytest.raises(LeaseLost):
        log.append([tick(2)], Word(LeaseLost()))


def _is_interrupted_in_a_fence(keeper: FaultyLogKeeper, log: TickLog) -> None:
    keeper.stall()
    with pytest.raises(LeaseLost):
        log.fence(Word(LeaseLost()))


def _fences_without_an_answer(keeper: FaultyLogKeeper, log: TickLog) -> None:
    keeper.stall()
    with pytest.raises(TickLogUnavailable):
        log.fence(word)


def _commits_without_an_answer(keeper: FaultyLogKeeper, log: TickLog) -> None:
    keeper.lose_commits(lands=True)
    with pytest.raises(OutcomeUnknown):
        log.append([tick(2)], word)


def _is_closed(_: FaultyLogKeeper, log: TickLog) -> None:
    log.close()


def test_only_a_fence_makes_a_writer(keeper: FaultyLogKeeper) -> None:
    """A process may write once it has fenced, not before; reading and writing leave it so."""
    log = keeper.process()
    assert not log.writable
    log.ensure_topic(word)
    assert not log.writable
    log.fence(word)
    assert log.writable
    log.append([tick(1)], word)
    log.tail(word)
    list(log.backwards(word))

    assert log.writable
    assert not keeper.process().writable


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
    keeper: FaultyLogKeeper, trouble: Callable[[FaultyLogKeeper, TickLog], None]
) -> None:
    """Fenced, interrupted, or with a commit whose outcome is open: it may write again only after its next fence."""
    log = writer(keeper)
    log.append([tick(1)], word)
    trouble(keeper, log)
    assert not log.writable
    keeper.heal()
    assert not log.writable
    log.fence(word)

    assert log.writable
