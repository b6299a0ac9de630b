"""The behaviour of all tick logs for writers. Reading and faults have files of their own."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from clocksvc.clock.log_record import Message, decode_message, encode_message
from clocksvc.clock.logs import LOGS
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import Fenced, OffsetGap, OutcomeUnknown, RecordRejected, TickLogMisconfigured, TickLogUnavailable
from clocksvc.interfaces.tick_log import LogBounds, TickLog
from tests.interfaces.tick_log_examples import LOG, KeepAliveCounter, control, messages, minutes
from tests.interfaces.tick_log_implementations import (
    KafkaTickLogImplementation,
    MemoryTickLogImplementation,
    PlainTickLogImplementation,
    SharedTickLogImplementation,
    TickLogImplementation,
    end_of,
    entries,
    writer,
)

keep_alive = KeepAliveCounter()


@pytest.fixture(
    params=[
        pytest.param("memory", marks=pytest.mark.core),
        pytest.param("faulty", marks=pytest.mark.core),
        pytest.param("kafka", marks=pytest.mark.servers),
    ]
)
def implementation(request: pytest.FixtureRequest) -> Iterator[TickLogImplementation]:
    """Each implementation of the tick log."""
    made: TickLogImplementation
    if request.param == "memory":
        made = PlainTickLogImplementation()
    elif request.param == "faulty":
        made = MemoryTickLogImplementation()
    else:
        made = KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


@pytest.fixture(
    params=[pytest.param("faulty", marks=pytest.mark.core), pytest.param("kafka", marks=pytest.mark.servers)]
)
def shared(request: pytest.FixtureRequest) -> Iterator[SharedTickLogImplementation]:
    """Each implementation that checks settings and rejects records."""
    faulty = request.param == "faulty"
    made = MemoryTickLogImplementation() if faulty else KafkaTickLogImplementation(request.getfixturevalue("bootstrap"))
    yield made
    made.free()


# The topic


def test_a_missing_log_is_created(implementation: TickLogImplementation) -> None:
    """`ensure_topic` creates the log, empty from offset 0, and accepts it when called again."""
    log = implementation.process()
    log.ensure_topic(keep_alive)
    log.ensure_topic(keep_alive)

    assert log.bounds(keep_alive) == log.stable_bounds(keep_alive) == LogBounds(0, 0)
    assert log.read(0, 0, keep_alive) == []
    assert log.offset_at(1, keep_alive) == 0


@pytest.mark.servers
def test_the_created_topic_keeps_the_last_record_of_each_clock(on_kafka: KafkaTickLogImplementation) -> None:
    """16 partitions, compacted after `tick_log.keep`, with the brokers' timestamps."""
    log = on_kafka.process()
    log.ensure_topic(keep_alive)
    config = on_kafka.config()

    names = ("cleanup.policy", "min.compaction.lag.ms", "message.timestamp.type", "min.insync.replicas")
    assert [config[name] for name in names] == ["compact", "604800000", "LogAppendTime", "1"]
    assert on_kafka.replicas() == [1] * LOGS


@pytest.mark.parametrize("partitions", [1, 17])
def test_another_number_of_partitions_is_refused(shared: SharedTickLogImplementation, partitions: int) -> None:
    """Clocks would belong to other logs. The message names the topic, the number and what to do."""
    shared.make(partitions, "compact")
    with pytest.raises(
        TickLogMisconfigured, match=rf"'{shared.topic}' has {partitions} partitions, wanted 16.*kafka-topics --delete"
    ):
        shared.process().ensure_topic(keep_alive)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_policy_that_can_delete_the_last_tick_is_refused(shared: SharedTickLogImplementation, policy: str) -> None:
    """The message names the topic, the value, and the exact change."""
    shared.make(LOGS, policy)
    with pytest.raises(TickLogMisconfigured) as refused:
        shared.process().ensure_topic(keep_alive)

    assert f"'{shared.topic}' has cleanup.policy={policy}" in str(refused.value)
    assert f"--entity-name {shared.topic} --add-config cleanup.policy=compact" in str(refused.value)


def test_a_topic_that_rejects_records_is_refused(shared: SharedTickLogImplementation) -> None:
    """A record of 64 KiB must fit into max.message.bytes."""
    shared.make(LOGS, "compact")
    shared.configure("max.message.bytes", "100000")
    with pytest.raises(TickLogMisconfigured, match=r"max.message.bytes=100000.*--add-config max.message.bytes=131072"):
        shared.process().ensure_topic(keep_alive)


def test_an_existing_valid_log_is_accepted(implementation: TickLogImplementation) -> None:
    """A compacted topic of 16 partitions is accepted, also if it was created by hand."""
    implementation.make(LOGS, "compact")
    implementation.process().ensure_topic(keep_alive)


def test_a_missing_log_is_not_an_empty_log(implementation: TickLogImplementation) -> None:
    """Every call that reads raises TickLogUnavailable."""
    log = implementation.process()
    for call in (log.bounds, log.stable_bounds):
        with pytest.raises(TickLogUnavailable):
            call(keep_alive)
    with pytest.raises(TickLogUnavailable):
        log.offset_at(1, keep_alive)
    with pytest.raises(TickLogUnavailable):
        log.read(0, 1, keep_alive)


# Appending


def test_an_append_is_complete_and_in_order(implementation: TickLogImplementation) -> None:
    """A subscriber gets the records in order, with the clock as key and the type as a header."""
    log = writer(implementation)
    end = log.append([encode_message(control(4))], 0, keep_alive)
    end = log.append(messages(5, 3), end, keep_alive)
    seen = implementation.seen()

    assert end == end_of(log) == 6
    assert [(one.key, one.type) for one in seen] == [(b"checkins", "control")] + [(b"checkins", "tick")] * 3
    assert [to_rfc3339(decode_message(one).state.last_tick_ms or 0) for one in seen] == [
        "1970-01-01T00:04:00Z",
        "1970-01-01T00:05:00Z",
        "1970-01-01T00:06:00Z",
        "1970-01-01T00:07:00Z",
    ]
    assert minutes(seen) == [5, 6, 7]


def test_each_append_begins_where_the_last_one_ended(implementation: TickLogImplementation) -> None:
    """n records take n + 1 offsets. A reader sees each record at its offset."""
    log, reader = writer(implementation), implementation.process()
    end, offsets, minute = 0, [], 1
    for count in (1, 3, 1, 2, 5, 1):
        offsets += list(range(end, end + count))
        end = log.append(messages(minute, count), end, keep_alive)
        minute += count
        assert reader.stable_bounds(keep_alive) == reader.bounds(keep_alive) == LogBounds(0, end)
    found = reader.read(0, end, keep_alive)

    assert [entry.offset for entry in found] == offsets
    assert [entry.message for entry in found] == messages(1, 13)


def test_a_long_append_is_one_transaction(implementation: TickLogImplementation) -> None:
    """A thousand ticks are committed in order, in several batches."""
    log = writer(implementation)
    assert log.append(messages(1, 1_000), 0, keep_alive) == 1_001

    assert minutes(implementation.seen()) == list(range(1, 1_001))
    assert log.append(messages(1_001), 1_001, keep_alive) == 1_003


@pytest.mark.servers
def test_an_append_is_confirmed(on_kafka: KafkaTickLogImplementation) -> None:
    """When it returns, the marker of its transaction is in the log. Kafka acknowledges a commit before that."""
    log, end, ends = writer(on_kafka), 0, []
    for minute in range(1, 201):
        end = log.append(messages(minute), end, keep_alive)
        ends.append(on_kafka.stable_end())

    assert ends == [2 * minute for minute in range(1, 201)]


def test_an_append_of_nothing_writes_nothing(implementation: TickLogImplementation) -> None:
    """Not even a marker. The writer can still write."""
    log = writer(implementation)
    assert log.append([], 0, keep_alive) == 0
    assert implementation.end() == 0

    assert log.append(messages(1), 0, keep_alive) == 2


@pytest.mark.parametrize(("known", "count"), [(2, 1), (2, 1_000), (3, 1), (5, 3), (0, 2)])
def test_a_wrong_end_commits_nothing(implementation: TickLogImplementation, known: int, count: int) -> None:
    """The log ends at 4. A writer that knows another end must fence again before it writes."""
    log = writer(implementation)
    log.append(messages(1, 3), 0, keep_alive)
    with pytest.raises(OffsetGap):
        log.append(messages(4, count), known, keep_alive)
    for end in (known, 4):
        with pytest.raises(Fenced):
            log.append(messages(4, count), end, keep_alive)
    assert minutes(implementation.seen()) == [1, 2, 3]
    assert end_of(implementation.process()) >= 4  # no transaction is open
    log.fence(keep_alive)

    log.append(messages(4, count), end_of(log), keep_alive)
    assert minutes(implementation.seen()) == list(range(1, 4 + count))


def test_a_rejected_record_is_named(shared: SharedTickLogImplementation) -> None:
    """Nothing of its append is seen. The next append without it, after a fence, succeeds."""
    log, large = writer(shared), shared.too_large()
    with pytest.raises(RecordRejected) as rejected:
        log.append([*messages(1, 2), large, *messages(3, 2)], 0, keep_alive)
    assert rejected.value.keys == (large.key,)
    with pytest.raises(Fenced):
        log.append(messages(1), 0, keep_alive)
    log.fence(keep_alive)
    log.append(messages(1, 4), end_of(log), keep_alive)

    assert minutes(shared.seen()) == [1, 2, 3, 4]


@pytest.mark.servers
@pytest.mark.parametrize("at", [0, 1, 250, 499])
def test_brokers_reject_only_the_large_record(on_kafka: KafkaTickLogImplementation, at: int) -> None:
    """The client accepts it, the topic's limit does not. The other records are not rejected with it."""
    log = writer(on_kafka)
    on_kafka.configure("max.message.bytes", "131072")
    ticks = messages(1, 499)
    large = on_kafka.too_large()._replace(value=b"x" * 140_000)
    with pytest.raises(RecordRejected) as rejected:
        log.append([*ticks[:at], large, *ticks[at:]], 0, keep_alive)

    assert rejected.value.keys == (large.key,)
    log.fence(keep_alive)
    log.append(ticks, end_of(log), keep_alive)
    assert minutes(on_kafka.seen()) == list(range(1, 500))


class _RejectedWhileSent(list[Message]):
    """Records that are sent so slowly that the brokers answer the first one before the others are sent."""

    def __iter__(self) -> Iterator[Message]:
        for index, one in enumerate(super().__iter__()):
            if index == 1:
                time.sleep(0.5)
            yield one


@pytest.mark.servers
def test_brokers_reject_a_record_while_others_are_sent(on_kafka: KafkaTickLogImplementation) -> None:
    """The client then accepts no more records. The reason is still the large record."""
    log = writer(on_kafka)
    on_kafka.configure("max.message.bytes", "131072")
    large = on_kafka.too_large()._replace(value=b"x" * 140_000)
    with pytest.raises(RecordRejected) as rejected:
        log.append(_RejectedWhileSent([large, *messages(1, 499)]), 0, keep_alive)

    assert rejected.value.keys == (large.key,)


# Fencing


def test_without_a_fence_a_process_can_not_write(implementation: TickLogImplementation) -> None:
    """A process that only read has no right to write."""
    implementation.make(LOGS, "compact")
    log = implementation.process()
    end = end_of(log)
    with pytest.raises(Fenced):
        log.append(messages(1), end, keep_alive)

    assert implementation.seen() == []


@pytest.mark.parametrize("count", [1, 1_000])
def test_an_older_writer_commits_nothing(implementation: TickLogImplementation, count: int) -> None:
    """After the `fence` of another writer has returned, each append raises Fenced and writes nothing."""
    old, new = writer(implementation), implementation.process()
    end = old.append(messages(1), 0, keep_alive)
    new.fence(keep_alive)
    for _ in range(2):
        with pytest.raises(Fenced):
            old.append(messages(2, count), end, keep_alive)
    new.append(messages(2), end_of(new), keep_alive)

    assert minutes(implementation.seen()) == [1, 2]


def test_two_writers_fence_each_other_in_turn(implementation: TickLogImplementation) -> None:
    """The last one that fenced writes, also one that was fenced itself before."""
    one, other = writer(implementation), implementation.process()
    for minute, newest, loser in ((1, one, other), (2, other, one), (3, one, other)):
        newest.fence(keep_alive)
        end = newest.append(messages(minute), end_of(newest), keep_alive)
        with pytest.raises(Fenced):
            loser.append(messages(99), end, keep_alive)

    assert minutes(implementation.seen()) == [1, 2, 3]


def test_a_fence_after_a_success_is_harmless(implementation: TickLogImplementation) -> None:
    """The same process fences again, with a new producer, and continues."""
    log = writer(implementation)
    end = log.append(messages(1), 0, keep_alive)
    log.fence(keep_alive)

    assert end_of(log) == end
    log.append(messages(2), end, keep_alive)
    assert minutes(implementation.seen()) == [1, 2]


@pytest.mark.servers
def test_logs_are_independent(on_kafka: KafkaTickLogImplementation) -> None:
    """A fence of one log does not fence the writers of the other logs of the topic."""
    log, other = writer(on_kafka), on_kafka.process((LOG + 1) % LOGS)
    log.append(messages(1), 0, keep_alive)
    other.fence(keep_alive)

    assert other.append(messages(7, 2), end_of(other), keep_alive) == 3
    assert log.append(messages(2), 2, keep_alive) == 4
    assert minutes(entries(other)) == [7, 8]
    assert minutes(entries(log)) == minutes(on_kafka.seen()) == [1, 2]


@pytest.mark.servers
def test_a_fence_interrupts_a_busy_writer(on_kafka: KafkaTickLogImplementation) -> None:
    """An old writer appends as fast as it can. After the `fence` of a new one, it commits nothing more."""
    writer(on_kafka)
    for first in range(100_000, 600_000, 100_000):
        old, new = on_kafka.process(), on_kafka.process()
        old.fence(keep_alive)
        with ThreadPoolExecutor(1) as pool:
            committed = Event()
            busy = pool.submit(_append_until_fenced, old, first, committed)
            assert committed.wait(30)
            new.fence(keep_alive)
            end = end_of(new)
            new.append(messages(first + 99_999), end, keep_alive)
            busy.result()
        old.close()
        new.close()
        seen = minutes(on_kafka.seen())
        landed = [minute for minute in seen if first <= minute < first + 99_999]

        assert seen[-1] == first + 99_999
        assert landed == list(range(first, landed[-1] + 1))


@pytest.mark.servers
def test_librdkafka_logs_to_python(
    on_kafka: KafkaTickLogImplementation, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A fenced client's complaint is a warning of the logger `clocksvc.kafka`. Nothing goes to stderr."""
    old = writer(on_kafka)
    end = old.append(messages(1), 0, keep_alive)
    on_kafka.process().fence(keep_alive)
    with pytest.raises(Fenced):
        old.append(messages(2), end, keep_alive)

    assert {(record.name, record.levelname) for record in caplog.records} == {("clocksvc.kafka", "WARNING")}
    assert capfd.readouterr().err == ""


def test_a_closed_log_writes_no_more(implementation: TickLogImplementation) -> None:
    """`close` can be called twice. Afterwards the process can't write."""
    log = writer(implementation)
    log.close()
    log.close()
    with pytest.raises(Fenced):
        log.append(messages(1), 0, keep_alive)


def _append_until_fenced(log: TickLog, minute: int, committed: Event) -> None:
    end = end_of(log)
    while True:
        try:
            end = log.append(messages(minute), end, keep_alive)
        except (Fenced, OutcomeUnknown, OffsetGap):
            return
        committed.set()
        minute += 1
