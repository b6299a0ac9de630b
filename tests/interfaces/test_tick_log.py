"""What every keeper of the tick log promises to a writer; reading and faults have files of their own."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.errors import Fenced, OutcomeUnknown, TickLogMisconfigured, TickLogUnavailable
from clocksvc.interfaces.tick_log import (
    Tail,
    TickLog,
)
from tests.interfaces.ticklog_keepers import (
    KafkaLogKeeper,
    LogKeeper,
    MemoryLogKeeper,
    writer,
)
from tests.interfaces.ticklog_values import (
    Word,
    control,
    minutes,
    tick,
    ticks,
)
from tests.waiting import eventually

word = Word()


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def keeper(request: pytest.FixtureRequest) -> Iterator[LogKeeper]:
    """Each keeper of the tick log's promise in turn."""
    memory = request.param == "memory"
    made = MemoryLogKeeper() if memory else KafkaLogKeeper(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


# The log's topic


def test_a_missing_log_is_created(keeper: LogKeeper) -> None:
    """`ensure_topic` makes the log, empty from offset 0, and finds it in order when called again."""
    log = keeper.process()
    log.ensure_topic(word)
    log.ensure_topic(word)

    assert log.tail(word) == Tail(None, 0)


@pytest.mark.servers
def test_the_created_topic_keeps_the_last_record_for_ever(on_kafka: KafkaLogKeeper) -> None:
    """One partition, compacted after 30 days, stamped by the broker, replicated as far as there are brokers."""
    log = on_kafka.process()
    log.ensure_topic(word)
    config = on_kafka.config()

    names = ("cleanup.policy", "min.compaction.lag.ms", "message.timestamp.type", "min.insync.replicas")
    assert [config[name] for name in names] == ["compact", "2592000000", "LogAppendTime", "1"]
    assert on_kafka.replicas() == [1]


def test_a_log_of_two_partitions_is_refused(keeper: LogKeeper) -> None:
    """Ticks would have no one order; the message names the topic, the number and the way out."""
    keeper.make(2, "compact")
    with pytest.raises(
        TickLogMisconfigured, match=rf"'{keeper.topic}' has 2 partitions, wanted 1.*kafka-topics --delete"
    ):
        keeper.process().ensure_topic(word)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_policy_that_can_delete_the_last_tick_is_refused(keeper: LogKeeper, policy: str) -> None:
    """The message names the topic, the value, and the exact change."""
    keeper.make(1, policy)
    with pytest.raises(TickLogMisconfigured) as refused:
        keeper.process().ensure_topic(word)

    assert f"'{keeper.topic}' has cleanup.policy={policy}" in str(refused.value)
    assert f"--entity-name {keeper.topic} --add-config cleanup.policy=compact" in str(refused.value)


def test_a_log_that_somebody_made_rightly_is_taken(keeper: LogKeeper) -> None:
    """A compacted topic of one partition will do, whoever made it."""
    keeper.make(1, "compact")
    keeper.process().ensure_topic(word)


def test_a_log_that_is_not_there_is_unavailable(keeper: LogKeeper) -> None:
    """A deleted topic is no empty log."""
    with pytest.raises(TickLogUnavailable):
        keeper.process().tail(word)


# Appending


def test_an_append_is_seen_whole_and_in_order(keeper: LogKeeper) -> None:
    """A subscriber gets the records in order, with the clock as key and the type as a header."""
    log = writer(keeper)
    log.append([control(4)], word)
    log.append(ticks(5, 3), word)
    seen = keeper.seen()

    assert [(one.key, one.type) for one in seen] == [(b"checkins", "control")] + [(b"checkins", "tick")] * 3
    assert [json.loads(one.value or b"")["state"]["last_tick"] for one in seen] == [
        "1970-01-01T00:04:00Z",
        "1970-01-01T00:05:00Z",
        "1970-01-01T00:06:00Z",
        "1970-01-01T00:07:00Z",
    ]
    assert minutes(seen) == [5, 6, 7]


def test_a_long_append_is_one(keeper: LogKeeper) -> None:
    """A thousand ticks go out in one transaction, in order."""
    log = writer(keeper)
    log.append(ticks(1, 1_000), word)

    assert minutes(keeper.seen()) == list(range(1, 1_001))
    assert log.tail(word) == Tail(tick(1_000), 0)


@pytest.mark.servers
def test_a_control_record_is_in_the_log_for_good_at_once(on_kafka: KafkaLogKeeper) -> None:
    """With the marker of its transaction: not even a broker that is killed now can forget that it was committed."""
    log = writer(on_kafka)
    ends = []
    for minute in range(1, 101):
        log.append([control(minute)], word)
        ends.append(on_kafka.stable_end())

    assert ends == [2 * minute for minute in range(1, 101)]


def test_an_append_of_nothing_writes_nothing(keeper: LogKeeper) -> None:
    """Not even a marker."""
    log = writer(keeper)
    log.append([], word)

    assert keeper.end() == 0


@pytest.mark.servers
def test_a_refused_record_costs_its_append_alone(on_kafka: KafkaLogKeeper) -> None:
    """A record that the brokers don't take: nothing of its append is seen, and the same writer goes on."""
    log = writer(on_kafka)
    with pytest.raises(TickLogUnavailable, match="too large"):
        log.append([tick(1), tick(2, clock="c" * 2_000_000)], word)
    log.append([tick(3)], word)

    assert minutes(on_kafka.seen()) == [3]


# Fencing


def test_only_who_fenced_writes(keeper: LogKeeper) -> None:
    """A process that has not fenced has no right to write."""
    keeper.make(1, "compact")
    with pytest.raises(Fenced):
        keeper.process().append([tick(1)], word)

    assert keeper.seen() == []


@pytest.mark.parametrize("count", [1, 1_000])
def test_nothing_of_an_older_writer_lands(keeper: LogKeeper, count: int) -> None:
    """After somebody else's `fence` returned, an append raises Fenced, each time, and nothing of it is seen."""
    old, new = writer(keeper), keeper.process()
    old.append([tick(1)], word)
    new.fence(word)
    for _ in range(2):
        with pytest.raises(Fenced):
            old.append(ticks(2, count), word)
    new.append([tick(2)], word)

    assert minutes(keeper.seen()) == [1, 2]


def test_writers_fence_each_other_in_turn(keeper: LogKeeper) -> None:
    """The last one to fence writes, whichever process it is, one that was fenced itself included."""
    one, other = writer(keeper), keeper.process()
    for minute, newest, loser in ((1, one, other), (2, other, one), (3, one, other)):
        newest.fence(word)
        newest.append([tick(minute)], word)
        with pytest.raises(Fenced):
            loser.append([tick(99)], word)

    assert minutes(keeper.seen()) == [1, 2, 3]


@pytest.mark.servers
def test_a_fence_cuts_a_busy_writer_off(on_kafka: KafkaLogKeeper) -> None:
    """While an old writer appends as fast as it can: after the new one's `fence` nothing of the old one lands."""
    writer(on_kafka)
    for round_ in range(1, 6):
        old, new = on_kafka.process(), on_kafka.process()
        old.fence(word)
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(_append_until_fenced, old, 1_000 * round_)
            eventually(lambda first=1_000 * round_: first in minutes(on_kafka.seen()))  # type: ignore[misc]
            new.fence(word)
            found = new.tail(word).record
            new.append([tick(1_000 * round_ + 999)], word)
            busy.result()
        old.close()
        new.close()
        seen = minutes(on_kafka.seen())
        landed = [minute for minute in seen if 0 <= minute - 1_000 * round_ < 999]

        assert seen[-1] == 1_000 * round_ + 999
        assert found == tick(landed[-1])
        assert landed == list(range(1_000 * round_, landed[-1] + 1))


@pytest.mark.servers
def test_librdkafka_logs_to_python(
    on_kafka: KafkaLogKeeper, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A fenced client's complaint is a warning of the logger `clocksvc.kafka`; nothing goes to stderr."""
    old = writer(on_kafka)
    old.append([tick(1)], word)
    on_kafka.process().fence(word)
    with pytest.raises(Fenced):
        old.append([tick(2)], word)

    assert {(record.name, record.levelname) for record in caplog.records} == {("clocksvc.kafka", "WARNING")}
    assert capfd.readouterr().err == ""


def test_who_closed_writes_no_more(keeper: LogKeeper) -> None:
    """`close` may come twice; afterwards there is no right to write."""
    log = writer(keeper)
    log.close()
    log.close()
    with pytest.raises(Fenced):
        log.append([tick(1)], word)


def _append_until_fenced(log: TickLog, first: int) -> None:
    for minute in itertools.count(first):
        try:
            log.append([tick(minute)], word)
        except (Fenced, OutcomeUnknown):
            return
