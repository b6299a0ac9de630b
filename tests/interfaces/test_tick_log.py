"""The behaviour of all tick logs for writers; reading and faults have files of their own."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clocksvc.errors import Fenced, OutcomeUnknown, TickLogMisconfigured, TickLogUnavailable
from clocksvc.interfaces.tick_log import Tail, TickLog
from tests.interfaces.tick_log_examples import KeepAliveCounter, control, minutes, tick, ticks
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    MemoryTickLogImplementation,
    TickLogImplementation,
    writer,
)
from tests.waiting import eventually

keep_alive = KeepAliveCounter()


@pytest.fixture(
    params=[pytest.param("memory", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[TickLogImplementation]:
    """Each implementation of the tick log."""
    memory = request.param == "memory"
    made = MemoryTickLogImplementation() if memory else KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


# The log's topic


def test_a_missing_log_is_created(implementation: TickLogImplementation) -> None:
    """`ensure_topic` makes the log, empty from offset 0, and finds it in order when called again."""
    log = implementation.process()
    log.ensure_topic(keep_alive)
    log.ensure_topic(keep_alive)

    assert log.tail(keep_alive) == Tail(None, 0)


@pytest.mark.servers
def test_the_created_topic_keeps_the_last_record_for_ever(on_kafka: KafkaTickLogImplementation) -> None:
    """One partition, compacted after 30 days, stamped by the broker, replicated as far as there are brokers."""
    log = on_kafka.process()
    log.ensure_topic(keep_alive)
    config = on_kafka.config()

    names = ("cleanup.policy", "min.compaction.lag.ms", "message.timestamp.type", "min.insync.replicas")
    assert [config[name] for name in names] == ["compact", "2592000000", "LogAppendTime", "1"]
    assert on_kafka.replicas() == [1]


def test_a_log_of_two_partitions_is_refused(implementation: TickLogImplementation) -> None:
    """Ticks would have no one order; the message names the topic, the number and the way out."""
    implementation.make(2, "compact")
    with pytest.raises(
        TickLogMisconfigured, match=rf"'{implementation.topic}' has 2 partitions, wanted 1.*kafka-topics --delete"
    ):
        implementation.process().ensure_topic(keep_alive)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_policy_that_can_delete_the_last_tick_is_refused(implementation: TickLogImplementation, policy: str) -> None:
    """The message names the topic, the value, and the exact change."""
    implementation.make(1, policy)
    with pytest.raises(TickLogMisconfigured) as refused:
        implementation.process().ensure_topic(keep_alive)

    assert f"'{implementation.topic}' has cleanup.policy={policy}" in str(refused.value)
    assert f"--entity-name {implementation.topic} --add-config cleanup.policy=compact" in str(refused.value)


def test_an_existing_valid_log_is_accepted(implementation: TickLogImplementation) -> None:
    """A compacted topic of one partition is accepted, also if it was created by hand."""
    implementation.make(1, "compact")
    implementation.process().ensure_topic(keep_alive)


def test_a_log_that_is_not_there_is_unavailable(implementation: TickLogImplementation) -> None:
    """A deleted topic is no empty log."""
    with pytest.raises(TickLogUnavailable):
        implementation.process().tail(keep_alive)


# Appending


def test_an_append_is_seen_whole_and_in_order(implementation: TickLogImplementation) -> None:
    """A subscriber gets the records in order, with the clock as key and the type as a header."""
    log = writer(implementation)
    log.append([control(4)], keep_alive)
    log.append(ticks(5, 3), keep_alive)
    seen = implementation.seen()

    assert [(one.key, one.type) for one in seen] == [(b"checkins", "control")] + [(b"checkins", "tick")] * 3
    assert [json.loads(one.value or b"")["state"]["last_tick"] for one in seen] == [
        "1970-01-01T00:04:00Z",
        "1970-01-01T00:05:00Z",
        "1970-01-01T00:06:00Z",
        "1970-01-01T00:07:00Z",
    ]
    assert minutes(seen) == [5, 6, 7]


def test_a_long_append_is_one(implementation: TickLogImplementation) -> None:
    """A thousand ticks go out in one transaction, in order."""
    log = writer(implementation)
    log.append(ticks(1, 1_000), keep_alive)

    assert minutes(implementation.seen()) == list(range(1, 1_001))
    assert log.tail(keep_alive) == Tail(tick(1_000), 0)


@pytest.mark.servers
def test_a_control_record_is_in_the_log_for_good_at_once(on_kafka: KafkaTickLogImplementation) -> None:
    """With the marker of its transaction: not even a broker that is killed now can forget that it was committed."""
    log = writer(on_kafka)
    ends = []
    for minute in range(1, 101):
        log.append([control(minute)], keep_alive)
        ends.append(on_kafka.stable_end())

    assert ends == [2 * minute for minute in range(1, 101)]


def test_an_append_of_nothing_writes_nothing(implementation: TickLogImplementation) -> None:
    """Not even a marker."""
    log = writer(implementation)
    log.append([], keep_alive)

    assert implementation.end() == 0


@pytest.mark.servers
def test_a_refused_record_costs_its_append_alone(on_kafka: KafkaTickLogImplementation) -> None:
    """A record that the brokers don't take: nothing of its append is seen, and the same writer goes on."""
    log = writer(on_kafka)
    with pytest.raises(TickLogUnavailable, match="too large"):
        log.append([tick(1), tick(2, clock="c" * 2_000_000)], keep_alive)
    log.append([tick(3)], keep_alive)

    assert minutes(on_kafka.seen()) == [3]


# Fencing


def test_only_who_fenced_writes(implementation: TickLogImplementation) -> None:
    """A process that has not fenced has no right to write."""
    implementation.make(1, "compact")
    with pytest.raises(Fenced):
        implementation.process().append([tick(1)], keep_alive)

    assert implementation.seen() == []


@pytest.mark.parametrize("count", [1, 1_000])
def test_nothing_of_an_older_writer_lands(implementation: TickLogImplementation, count: int) -> None:
    """After the `fence` of another writer has returned, each append raises Fenced and writes nothing."""
    old, new = writer(implementation), implementation.process()
    old.append([tick(1)], keep_alive)
    new.fence(keep_alive)
    for _ in range(2):
        with pytest.raises(Fenced):
            old.append(ticks(2, count), keep_alive)
    new.append([tick(2)], keep_alive)

    assert minutes(implementation.seen()) == [1, 2]


def test_writers_fence_each_other_in_turn(implementation: TickLogImplementation) -> None:
    """The last one to fence writes, whichever process it is, one that was fenced itself included."""
    one, other = writer(implementation), implementation.process()
    for minute, newest, loser in ((1, one, other), (2, other, one), (3, one, other)):
        newest.fence(keep_alive)
        newest.append([tick(minute)], keep_alive)
        with pytest.raises(Fenced):
            loser.append([tick(99)], keep_alive)

    assert minutes(implementation.seen()) == [1, 2, 3]


@pytest.mark.servers
def test_a_fence_cuts_a_busy_writer_off(on_kafka: KafkaTickLogImplementation) -> None:
    """While an old writer appends as fast as it can: after the new one's `fence` nothing of the old one lands."""
    writer(on_kafka)
    for round_ in range(1, 6):
        old, new = on_kafka.process(), on_kafka.process()
        old.fence(keep_alive)
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(_append_until_fenced, old, 1_000 * round_)
            eventually(lambda first=1_000 * round_: first in minutes(on_kafka.seen()))  # type: ignore[misc]
            new.fence(keep_alive)
            found = new.tail(keep_alive).record
            new.append([tick(1_000 * round_ + 999)], keep_alive)
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
    on_kafka: KafkaTickLogImplementation, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A fenced client's complaint is a warning of the logger `clocksvc.kafka`; nothing goes to stderr."""
    old = writer(on_kafka)
    old.append([tick(1)], keep_alive)
    on_kafka.process().fence(keep_alive)
    with pytest.raises(Fenced):
        old.append([tick(2)], keep_alive)

    assert {(record.name, record.levelname) for record in caplog.records} == {("clocksvc.kafka", "WARNING")}
    assert capfd.readouterr().err == ""


def test_who_closed_writes_no_more(implementation: TickLogImplementation) -> None:
    """`close` may come twice; afterwards there is no right to write."""
    log = writer(implementation)
    log.close()
    log.close()
    with pytest.raises(Fenced):
        log.append([tick(1)], keep_alive)


def _append_until_fenced(log: TickLog, first: int) -> None:
    for minute in itertools.count(first):
        try:
            log.append([tick(minute)], keep_alive)
        except (Fenced, OutcomeUnknown):
            return
