"""The behaviour of all tick consumers: one process at a time reads a clock's committed ticks, from a given offset."""

import itertools
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Protocol

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from clocksvc.clock.log_record import TYPE_HEADER, Message, encode_message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.logs import LOGS, log_of
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_consumer import TickConsumer, TickWithOffset
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.tick_consumer import KafkaTickConsumer
from clocksvc.kafka.tick_log import KafkaTickLog
from clocksvc.kafka.tick_log_topic import TickLogTopic
from clocksvc.memory.tick_consumer import MemoryGroup
from clocksvc.testing import ManualTime
from tests.faulty.tick_consumer import FaultyTickConsumer
from tests.faulty.tick_log import FaultyLog
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import CLOCK, MINUTE_MS, OWNER, KeepAliveCounter, control, tick, ticks
from tests.waiting import eventually

WITHIN_S = 30.0
OTHER = next(name for n in itertools.count() if log_of(name := f"clock-{n}") == log_of(CLOCK))
"""Another clock in the same log."""


_CONFIG = {"cleanup.policy": "compact", "message.timestamp.after.max.ms": "9223372036854775807"}


class Writer(Protocol):
    """Writes to the clock's log, as leaders do."""

    def commit(self, messages: Sequence[Message], at_ms: int | None = None) -> None:
        """Commit these messages in one transaction. The brokers' clock shows `at_ms`, or the present time."""

    def begin_foreign(self, *messages: Message) -> None:
        """Write these messages in a transaction that stays open."""


class KafkaWriter:
    """A `Writer` with producers of its own. It creates the topic."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap, self._topic = bootstrap, topic
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        (future,) = self._admin.create_topics([NewTopic(topic, LOGS, config=_CONFIG)]).values()
        future.result(30)
        self._open: list[Producer] = []

    def commit(self, messages: Sequence[Message], at_ms: int | None = None) -> None:
        self._begin(messages, at_ms).commit_transaction(30)

    def begin_foreign(self, *messages: Message) -> None:
        self._open.append(self._begin(messages))

    def free(self) -> None:
        """End the open transactions, and delete the topic."""
        for producer in self._open:
            producer.abort_transaction(30)
        (future,) = self._admin.delete_topics([self._topic]).values()
        future.result(30)

    def _begin(self, messages: Sequence[Message], at_ms: int | None = None) -> Producer:
        producer = Producer({"bootstrap.servers": self._bootstrap, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(30)
        producer.begin_transaction()
        for one in messages:
            headers: dict[str, str | bytes | None] | None = None if one.type is None else {TYPE_HEADER: one.type}
            # The topic has CreateTime.
            producer.produce(
                self._topic, one.value, one.key, partition=log_of(CLOCK), headers=headers, timestamp=at_ms or 0
            )
        assert producer.flush(30) == 0
        return producer


class Installation:
    """A clock's log with three ticks, and the processes of one dispatcher."""

    def __init__(self, log: Writer, subscribe: Callable[[], TickConsumer]) -> None:
        self.log, self.subscribe = log, subscribe
        log.commit([encode_message(one) for one in ticks(1, 3)])

    def until_assigned(self, one: TickConsumer, *others: TickConsumer) -> int:
        """Poll until a process has the assignment."""

        def polled() -> int | None:
            for each in (one, *others):
                each.poll(0.1)
            return one.assignment_epoch

        return eventually(polled, within=WITHIN_S, what="the assignment") or 0

    def read(self, one: TickConsumer, count: int) -> list[TickWithOffset]:
        """Poll until the consumer has returned at least `count` ticks."""
        found: list[TickWithOffset] = []

        def enough() -> bool:
            found.extend(one.poll(0.1))
            return len(found) >= count

        eventually(enough, within=WITHIN_S, what=f"{count} ticks")
        return found


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def made(request: pytest.FixtureRequest) -> Installation:
    """Each implementation."""
    return memory() if request.param == "memory" else on_kafka(request)


class WrittenLog(FaultyLog):
    """A log as a test writes it, with the brokers' clock."""

    def commit(self, messages: Sequence[Message], at_ms: int | None = None) -> None:
        present, self.time = self.time, self.time if at_ms is None else ManualTime(at_ms / 1000)
        super().commit(messages)
        self.time = present


def memory() -> Installation:
    log = WrittenLog(shape=TickLogTopic("clocksvc-ticks"))
    group = MemoryGroup(log, CLOCK)
    return Installation(log, lambda: FaultyTickConsumer(group, log))


def on_kafka(request: pytest.FixtureRequest, **settings: str) -> Installation:
    bootstrap, topic = request.getfixturevalue("bootstrap"), f"ticks-{uuid.uuid4().hex[:12]}"
    log = KafkaWriter(bootstrap, topic)
    request.addfinalizer(log.free)

    def subscribe() -> TickConsumer:
        clients = {"bootstrap.servers": bootstrap, **settings}
        one = KafkaTickConsumer(topic, CLOCK, "beat", clients, tick_log(topic, clients))
        request.addfinalizer(one.close)
        return one

    return Installation(log, subscribe)


def tick_log(topic: str, clients: dict[str, str]) -> KafkaTickLog:
    return KafkaTickLog(topic, log_of(CLOCK), clients, SystemTime(), 60_000)


def minutes(found: list[TickWithOffset]) -> list[int]:
    return [one.tick.at_ms // MINUTE_MS for one in found]


def test_one_process_has_the_assignment_and_reads_from_the_beginning(made: Installation) -> None:
    """Nothing before `seek`."""
    one = made.subscribe()
    made.until_assigned(one)
    assert one.poll(0.0) == []

    one.seek(None)

    assert minutes(made.read(one, 3)) == [1, 2, 3]


def test_reading_begins_at_a_checkpoints_offset(made: Installation) -> None:
    """The checkpoint's tick comes first, so that the dispatcher can check it; then the following ones."""
    one = made.subscribe()
    made.until_assigned(one)
    one.seek(None)
    second = made.read(one, 3)[1]

    one.seek(Checkpoint(second.tick.at_ms, second.offset))
    assert minutes(made.read(one, 2)) == [2, 3]
    made.log.commit([encode_message(one) for one in ticks(4, 2)])

    assert minutes(made.read(one, 2)) == [4, 5]


def test_without_a_valid_offset_reading_begins_at_the_beginning(made: Installation) -> None:
    """The log was recreated and is shorter now."""
    one = made.subscribe()
    made.until_assigned(one)

    one.seek(Checkpoint(3 * MINUTE_MS, 1_000))

    assert minutes(made.read(one, 3)) == [1, 2, 3]


def test_without_an_offset_reading_begins_before_the_checkpoints_time(made: Installation) -> None:
    """So a log that other clocks share is not read completely. Brokers' clocks can be an hour behind."""
    one = made.subscribe()
    made.until_assigned(one)
    later_ms = time.time_ns() // 1_000_000 + 7_200_000
    made.log.commit([encode_message(tick(4))], later_ms)

    one.seek(Checkpoint(later_ms))
    assert minutes(made.read(one, 1)) == [4]
    one.seek(Checkpoint(later_ms - 7_200_000))

    assert minutes(made.read(one, 4)) == [1, 2, 3, 4]


def test_only_committed_ticks_are_read(made: Installation) -> None:
    """Control records are skipped; records of an open transaction are not read."""
    one = made.subscribe()
    made.until_assigned(one)
    one.seek(None)
    made.read(one, 3)
    made.log.commit([encode_message(control(3))])
    made.log.commit([encode_message(tick(4))])
    assert minutes(made.read(one, 1)) == [4]
    made.log.begin_foreign(encode_message(tick(5)))

    assert one.poll(0.3) == []


def test_other_records_of_the_log_are_skipped(made: Installation) -> None:
    """Those of other clocks, a snapshot's copies, and types and formats of newer versions."""
    one = made.subscribe()
    made.until_assigned(one)
    one.seek(None)
    snapshot = snapshot_messages(OWNER, {CLOCK: encode_message(tick(3))}, 4, complete=True)
    newer = [Message(CLOCK.encode(), b"?", "later"), Message(CLOCK.encode(), b"?", None), Message(b"_x", None, None)]
    made.log.commit([*snapshot, encode_message(tick(7, OTHER)), *newer, encode_message(tick(4))])

    assert minutes(made.read(one, 4)) == [1, 2, 3, 4]


def test_the_assignment_passes_on_when_a_consumer_leaves(made: Installation) -> None:
    """Two processes never have it at the same time, as far as both know."""
    first = made.subscribe()
    made.until_assigned(first)
    second = made.subscribe()
    second.poll(0.0)
    first.close()

    made.until_assigned(second)
    second.seek(None)

    assert first.assignment_epoch is None
    assert minutes(made.read(second, 3)) == [1, 2, 3]


# The last tick


def test_the_last_tick_is_known_without_an_assignment(made: Installation) -> None:
    """Also if `init` set it."""
    assert made.subscribe().last_tick(KeepAliveCounter()).at_ms == 3 * MINUTE_MS
    made.log.commit([encode_message(control(9)), encode_message(tick(11, OTHER))])
    assert made.subscribe().last_tick(KeepAliveCounter()).at_ms == 9 * MINUTE_MS


def test_the_last_tick_is_known_from_a_snapshot() -> None:
    """If only the copy of the clock's last record is left."""
    made = memory()
    assert isinstance(made.log, FaultyLog)
    end = made.log.end
    made.log.commit(snapshot_messages(OWNER, {CLOCK: encode_message(control(9))}, end, complete=True))
    made.log.truncate_before(end)
    assert made.subscribe().last_tick(KeepAliveCounter()).at_ms == 9 * MINUTE_MS


def test_a_clock_without_records_has_no_last_tick() -> None:
    """If the log has lost records, it is not known whether the clock has ticked."""
    log = FaultyLog(shape=TickLogTopic("clocksvc-ticks"))
    log.commit([encode_message(tick(1, OTHER)), encode_message(tick(2, OTHER))])
    one = FaultyTickConsumer(MemoryGroup(log, CLOCK), log)
    assert one.last_tick(KeepAliveCounter()) == (None, 3, None)
    log.truncate_before(1)

    with pytest.raises(TickLogUnavailable, match=f"has lost records, and contains none of clock '{CLOCK}'"):
        one.last_tick(KeepAliveCounter())


# Only with Kafka


@pytest.mark.servers
def test_only_the_member_with_the_clocks_log_has_the_assignment(request: pytest.FixtureRequest) -> None:
    """Kafka divides the logs between three processes. One of them reads the ticks."""
    made = on_kafka(request)
    members = [made.subscribe() for _ in range(3)]

    def assigned() -> list[TickConsumer]:
        for member in members:
            member.poll(0.1)
        return [member for member in members if member.assignment_epoch is not None]

    eventually(lambda: len(assigned()) == 1, within=WITHIN_S, what="one assignment")
    for _ in range(30):
        assert len(assigned()) <= 1
    (one,) = eventually(assigned, within=WITHIN_S, what="one assignment") or []
    one.seek(None)

    assert minutes(made.read(one, 3)) == [1, 2, 3]


@pytest.mark.servers
def test_a_users_consumer_settings_do_not_affect_the_assignment(request: pytest.FixtureRequest) -> None:
    """The assignor and the poll interval are settings for the users' own consumers."""
    settings = {"partition.assignment.strategy": "cooperative-sticky", "max.poll.interval.ms": "6000"}
    made = on_kafka(request, **settings)
    first = made.subscribe()
    made.until_assigned(first)
    first.seek(None)
    assert minutes(made.read(first, 3)) == [1, 2, 3]
    second = made.subscribe()
    second.poll(0.0)
    first.close()
    made.until_assigned(second)
    second.seek(None)

    assert minutes(made.read(second, 3)) == [1, 2, 3]


@pytest.mark.servers
def test_a_missing_permission_is_an_error_at_each_poll(faulty_kafka: FaultyKafka) -> None:
    """Although the client library reports it only once. The error names the permission."""
    one = KafkaTickConsumer(
        "clocksvc-ticks", CLOCK, "beat", faulty_kafka.stranger, tick_log("clocksvc-ticks", faulty_kafka.stranger)
    )

    def failure() -> str:
        try:
            one.poll(1.0)
        except TickLogUnavailable as error:
            return str(error)
        return ""

    text = eventually(failure, within=WITHIN_S, what="an error")
    again = [failure() for _ in range(3)]
    one.close()

    assert "authorization failed: the Kafka user lacks Read on " in (text or "")
    assert all("authorization failed: the Kafka user lacks Read on " in one for one in again)


@pytest.mark.servers
def test_a_tick_log_that_does_not_exist_yet_is_an_error_until_it_does(request: pytest.FixtureRequest) -> None:
    """A dispatcher can start before the first leader."""
    bootstrap, topic = request.getfixturevalue("bootstrap"), f"ticks-{uuid.uuid4().hex[:12]}"
    settings = {"bootstrap.servers": bootstrap, "topic.metadata.refresh.interval.ms": "500"}
    one = KafkaTickConsumer(topic, CLOCK, "beat", settings, tick_log(topic, settings))
    request.addfinalizer(one.close)

    def fails() -> bool:
        try:
            one.poll(0.5)
        except TickLogUnavailable as error:
            return topic in str(error) and "Unknown topic" in str(error)
        return False

    eventually(fails, within=WITHIN_S, what="an error")
    log = KafkaWriter(bootstrap, topic)
    request.addfinalizer(log.free)
    eventually(lambda: not fails() and one.assignment_epoch, within=WITHIN_S, what="the assignment")
