"""The Kafka consumers that all logs of a process share: what each log reads, and what can delay another log."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from clocksvc.clock.log_record import Message
from clocksvc.clock.logs import LOGS
from clocksvc.errors import TickLogUnavailable
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.client import SlicedDeadline
from clocksvc.kafka.internal_topic import InternalTopic
from clocksvc.kafka.log_consumers import ConsumerClient, LogConsumers, SharedConsumer
from clocksvc.kafka.tick_log import KafkaTickLog
from tests.interfaces.faulty_kafka import FaultyKafka
from tests.interfaces.tick_log_examples import KeepAliveCounter
from tests.interfaces.tick_log_implementations import KEEP_MS, SETTLE_S, TIMEOUT_S, KafkaTickLogImplementation
from tests.waiting import eventually

pytestmark = pytest.mark.servers

keep_alive = KeepAliveCounter()
UNKNOWN = InternalTopic("no-such-topic", "tick log", TickLogUnavailable, 0)


@pytest.fixture
def consumers(on_kafka: KafkaTickLogImplementation) -> Iterator[LogConsumers]:
    """The consumers of one process."""
    on_kafka.make(LOGS, "compact")
    with closing(LogConsumers.of_many_logs(on_kafka.settings)) as made:
        yield made


def opened(
    on_kafka: KafkaTickLogImplementation, consumers: LogConsumers, log: int, timeout_s: float = TIMEOUT_S
) -> KafkaTickLog:
    """One log of this process."""
    return KafkaTickLog(
        on_kafka.topic, log, on_kafka.settings, SystemTime(), KEEP_MS, timeout_s, SETTLE_S, consumers=consumers
    )


def client_of(consumer: SharedConsumer) -> ConsumerClient:
    """The client that the next request will use."""
    with consumer.using(UNKNOWN) as client:
        return client


def test_logs_that_read_and_write_at_once_get_their_own_records(
    on_kafka: KafkaTickLogImplementation, consumers: LogConsumers
) -> None:
    """All logs of a process use two consumers."""

    def run(log: int) -> list[bytes | None]:
        found: list[bytes | None] = []
        with closing(opened(on_kafka, consumers, log, timeout_s=20.0)) as one:
            one.fence(keep_alive)
            end = one.bounds(keep_alive).end
            for number in range(5):
                begin, end = end, one.append([Message(b"%d" % log, b"%d" % number, "tick")] * 20, end, keep_alive)
                found += [entry.message.key for entry in one.read(begin, end, keep_alive)]
        return found

    before = client_of(consumers.offsets), client_of(consumers.records)
    with ThreadPoolExecutor(LOGS) as threads:
        read = list(threads.map(run, range(LOGS)))

    assert read == [[b"%d" % log] * 100 for log in range(LOGS)]
    assert (client_of(consumers.offsets), client_of(consumers.records)) == before


def test_a_long_read_delays_no_transaction_of_another_log(
    on_kafka: KafkaTickLogImplementation, consumers: LogConsumers
) -> None:
    """Only another read of records waits for a long read: it calls its keep-alive, and fails at its deadline."""
    other, waits = opened(on_kafka, consumers, 1), KeepAliveCounter()
    other.fence(keep_alive)
    end = other.append([Message(b"a", b"1", "tick")], other.bounds(keep_alive).end, keep_alive)

    with consumers.records.using(UNKNOWN) as client, client.reading:
        assert client is not client_of(consumers.offsets)
        end = other.append([Message(b"a", b"2", "tick")], end, keep_alive)
        with pytest.raises(TickLogUnavailable, match="reads of other logs took too long"):
            opened(on_kafka, consumers, 1, timeout_s=1.1).read(0, end, waits)

    assert waits.calls >= 1
    assert len(other.read(0, end, keep_alive)) == 2
    other.close()


def test_a_consumer_that_gets_no_answer_is_replaced_once() -> None:
    """Requests that fail together replace it once. The last user closes it."""
    shared = SharedConsumer({"bootstrap.servers": "127.0.0.1:1"})
    with shared.using(UNKNOWN) as first:
        shared.replace(first)
        second = client_of(shared)
        shared.replace(first)
        first.consumer.assignment()  # it is open

    assert second is not first
    assert client_of(shared) is second
    with pytest.raises(RuntimeError, match="closed"):
        first.consumer.assignment()
    shared.close()


def test_logs_that_fail_together_continue_together(faulty_kafka: FaultyKafka) -> None:
    """After an outage, all logs of the process read again."""
    settings = {"bootstrap.servers": faulty_kafka.bootstrap}
    implementation = KafkaTickLogImplementation(faulty_kafka.bootstrap)
    implementation.make(LOGS, "compact")
    with closing(LogConsumers.of_many_logs(settings)) as consumers:
        logs = [opened(implementation, consumers, log) for log in range(4)]

        def is_readable(log: KafkaTickLog) -> bool:
            try:
                return log.stable_bounds(keep_alive).end == 0
            except TickLogUnavailable:
                return False

        with ThreadPoolExecutor(len(logs)) as threads:
            assert all(threads.map(is_readable, logs))
            faulty_kafka.proxy.stall()
            assert not any(threads.map(is_readable, logs))
            faulty_kafka.proxy.heal()
            for log in logs:
                eventually(lambda one=log: is_readable(one), what="the log to be readable")  # type: ignore[misc]
    implementation.free()


def test_a_read_without_time_reads_nothing(on_kafka: KafkaTickLogImplementation, consumers: LogConsumers) -> None:
    """If the deadline passes while other logs are read, the read fails. It does not return an end of the log."""
    log = opened(on_kafka, consumers, 0)
    log.fence(keep_alive)
    end = log.append([Message(b"a", b"1", "tick")], log.bounds(keep_alive).end, keep_alive)

    with pytest.raises(TickLogUnavailable):
        log._reader.read(0, end, SlicedDeadline(SystemTime(), 0.0), lambda polled: polled)
    log.close()
