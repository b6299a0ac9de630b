"""BufferedConsumer with a real Kafka."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import urllib3

from clocksvc.consumer import BufferedConsumer, RetryPolicy
from clocksvc.dev.child_server import free_ports
from clocksvc.errors import ConsumerFailed, InvalidValue
from clocksvc.interfaces.topics import HEARTBEAT_HEADER
from tests.unit.client.consumer.kafka_topic import FAST_REBALANCES, Topic, running
from tests.waiting import eventually

pytestmark = pytest.mark.servers


class Sink:
    """Where batches are written: a `flush` that can fail."""

    def __init__(self) -> None:
        self.written: Counter[int] = Counter()
        self.batches: list[list[int]] = []
        self.poison: set[int] = set()
        self.lock = threading.Lock()

    def flush(self, batch: list[int]) -> None:
        """Write a batch."""
        if self.poison & set(batch):
            raise RuntimeError("the sink rejects the batch")
        with self.lock:
            self.batches.append(batch)
            self.written.update(batch)


class ObservedTimestamps:
    """A reporter that counts."""

    def __init__(self) -> None:
        self.highest_ms: dict[int, int] = {}
        self.forgotten: set[int] = set()

    def observe_message(self, message: Any) -> None:
        """Observe."""
        number = message.partition()
        self.highest_ms[number] = max(message.timestamp()[1], self.highest_ms.get(number, 0))

    def on_assign(self, consumer: object, partitions: Any) -> None:
        """Do nothing."""

    def on_revoke(self, consumer: object, partitions: Any) -> None:
        """Remember."""
        self.forgotten |= {one.partition for one in partitions}

    def on_lost(self, consumer: object, partitions: Any) -> None:
        """Do nothing."""

    def ahead(self, read: Any) -> Any:
        """No partition is ahead."""
        return ()


def new_consumer(topic: Topic, sink: Sink, **options: Any) -> BufferedConsumer[int]:
    """A consumer of integers with short intervals."""
    defaults: dict[str, Any] = {
        "group": f"{topic.name}-group",
        "process": lambda message: int(message.value()),
        "bootstrap_servers": topic.bootstrap,
        "batch_records": 100,
        "batch_seconds": 0.05,
        "commit_interval_seconds": 0.05,
        "settings": FAST_REBALANCES,
    }
    return BufferedConsumer(topic.name, **({"flush": sink.flush} | defaults | options))


def test_records_are_flushed_committed_and_reported(bootstrap: str, key_prefix: str) -> None:
    """Each record once, in batches, and at the end the commit is the end of each partition."""
    topic, sink, reporter = Topic(bootstrap, key_prefix, 2), Sink(), ObservedTimestamps()
    topic.produce(range(1_000))

    with running(new_consumer(topic, sink, reporter=reporter)):
        eventually(lambda: len(sink.written) == 1_000)
        eventually(lambda: topic.committed(f"{key_prefix}-group") == [500, 500])
        eventually(lambda: set(reporter.highest_ms) == {0, 1})

    assert set(sink.written.values()) == {1}
    assert max(map(len, sink.batches)) <= 100
    assert reporter.forgotten == {0, 1}


def test_poison_goes_to_the_dead_letter_topic(bootstrap: str, key_prefix: str) -> None:
    """A record that process or flush rejects is sent with its cause and origin, and all others are flushed.

    Heartbeats are not processed.
    """
    topic, dead = Topic(bootstrap, key_prefix), Topic(bootstrap, f"{key_prefix}-dead")
    sink = Sink()
    sink.poison = {33}
    topic.produce(["no number", *range(50)], headers={"trace": b"7"})
    topic.produce(["beat"], headers={HEARTBEAT_HEADER: b"1"})

    with running(new_consumer(topic, sink, dead_letters=dead.name, retry=RetryPolicy(2, 0.01, 0.01))) as thread:
        eventually(lambda: topic.committed(f"{key_prefix}-group") == [52])
        assert thread.is_alive()

    assert set(sink.written) == set(range(50)) - {33}
    letters = {letter.value(): dict(letter.headers()) for letter in dead.read(2)}
    assert set(letters) == {b"no number", b"33"}
    headers = letters[b"no number"]
    assert headers["trace"] == b"7"
    assert headers["__streams.errors.exception"] == b"ValueError"
    assert b"invalid literal" in headers["__streams.errors.message"]
    assert b"in process_records" in headers["__streams.errors.stacktrace"]
    assert headers["__streams.errors.topic"] == key_prefix.encode()
    assert (headers["__streams.errors.partition"], headers["__streams.errors.offset"]) == (b"0", b"0")
    assert letters[b"33"]["__streams.errors.message"] == b"the sink rejects the batch"


def test_without_a_dead_letter_topic_the_consumer_ends(bootstrap: str, key_prefix: str) -> None:
    """It flushes and commits the records before the poison, and raises the cause."""
    topic, sink = Topic(bootstrap, key_prefix), Sink()
    topic.produce([*range(10), "no number", *range(10, 20)])

    with pytest.raises(
        ConsumerFailed, match=r"offset 10 of \S+ can't be processed: ValueError: invalid literal"
    ) as raised:
        new_consumer(topic, sink).run()

    assert isinstance(raised.value.__cause__, ValueError)
    assert set(sink.written) == set(range(10))
    assert topic.committed(f"{key_prefix}-group") == [10]


def test_a_dead_letter_topic_that_does_not_exist_is_refused(bootstrap: str, key_prefix: str) -> None:
    """Before the consumer joins its group, not with the first poison."""
    consumer = BufferedConsumer(
        "orders", group="g", process=str, flush=list, bootstrap_servers=bootstrap, dead_letters=f"{key_prefix}-missing"
    )

    with pytest.raises(InvalidValue, match=r"dead_letters: .* wanted a topic that exists .*Unknown topic"):
        consumer.run()


def test_a_topic_that_does_not_exist_stops_no_other(
    bootstrap: str, key_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error event of Kafka is logged with the topic's name, and the records of the other topic are flushed."""
    topic, sink = Topic(bootstrap, key_prefix, 1), Sink()
    topic.produce(range(10))
    defaults = new_consumer(topic, sink)
    consumer = BufferedConsumer(
        [topic.name, f"{key_prefix}-missing"],
        group=f"{key_prefix}-group",
        process=defaults.plan.process,
        flush=sink.flush,
        bootstrap_servers=bootstrap,
        batch_seconds=0.05,
        settings=FAST_REBALANCES,
    )

    with running(consumer):
        eventually(lambda: len(sink.written) == 10)
        eventually(lambda: f"records of topic {key_prefix}-missing can't be read" in caplog.text)


def test_sigterm_drains(bootstrap: str, key_prefix: str, tmp_path: Path) -> None:
    """What was received is flushed and committed, the health file is removed, and earlier handlers are set again.

    `/livez` answers meanwhile.
    """
    topic, sink, health_file, (port,) = Topic(bootstrap, key_prefix), Sink(), tmp_path / "healthy", free_ports(1)
    topic.produce(range(150))
    existed: list[bool] = []
    answers: list[int] = []

    def flush(batch: list[int]) -> None:
        if not sink.batches:
            existed.append(health_file.exists())
            answers.append(urllib3.request("GET", f"http://127.0.0.1:{port}/livez", retries=False, timeout=5).status)
            os.kill(os.getpid(), signal.SIGTERM)
        sink.flush(batch)

    before = signal.getsignal(signal.SIGTERM)
    new_consumer(topic, sink, batch_seconds=30, health_file=health_file, flush=flush, livez=("127.0.0.1", port)).run()

    assert (existed, answers) == ([True], [200])
    assert not health_file.exists()
    assert signal.getsignal(signal.SIGTERM) is before
    assert sorted(sink.written) == list(range(150))
    assert topic.committed(f"{key_prefix}-group") == [150]


@pytest.mark.parametrize("assignor", ["cooperative-sticky", "range"])
def test_a_rebalance_loses_and_repeats_nothing(bootstrap: str, key_prefix: str, assignor: str) -> None:
    """For incremental and eager rebalances. Those of KIP-848 take 10 s: `make soak`."""
    check_rebalance(bootstrap, key_prefix, {**FAST_REBALANCES, "partition.assignment.strategy": assignor}, within=15)


def check_rebalance(bootstrap: str, name: str, settings: dict[str, Any], *, within: float) -> None:
    """A second consumer gets partitions, then the first one leaves: what it had is flushed and committed before."""
    topic, sink, reporter = Topic(bootstrap, name, 4), Sink(), ObservedTimestamps()
    # Only a revocation flushes before 60 s: batches are not filled.
    options: dict[str, Any] = {"settings": settings, "batch_records": 10_000, "batch_seconds": 60}
    first = new_consumer(topic, sink, reporter=reporter, **options)
    second = new_consumer(topic, sink, **options)
    topic.produce(range(2_000))

    def received() -> int:
        return first.stats.records_total + second.stats.records_total

    with running(second):
        with running(first):
            eventually(lambda: received() == 2_000, within=within)
            eventually(lambda: min(first.stats.assignments_total, second.stats.assignments_total) >= 2, within=within)
            topic.produce(range(2_000, 4_000))
            eventually(lambda: received() == 4_000, within=within)
        eventually(lambda: second.stats.partitions == 4, within=within)

    assert first.stats.revocations_total >= 2
    assert set(sink.written) == set(range(4_000))
    assert set(sink.written.values()) == {1}
    assert topic.committed(f"{name}-group") == [1_000] * 4


def test_processes_keep_the_order_of_each_partition(bootstrap: str, key_prefix: str) -> None:
    """Two processes call the function; poison in one of them is sent with its cause."""
    topic, dead, sink = Topic(bootstrap, key_prefix, 2), Topic(bootstrap, f"{key_prefix}-dead"), Sink()
    topic.produce([*range(2_000), "no number", "no number"])
    options: dict[str, Any] = {"processes": 2, "concurrent_flushes": 1, "dead_letters": dead.name}

    with running(new_consumer(topic, sink, process=value_of, **options)):
        eventually(lambda: topic.committed(f"{key_prefix}-group") == [1_001, 1_001], within=30)

    written = [value for batch in sink.batches for value in batch]
    for number in range(2):
        assert [value for value in written if value % 2 == number] == list(range(number, 2_000, 2))
    assert [letter.value() for letter in dead.read(2)] == [b"no number"] * 2


def value_of(message: Any) -> int:
    """For other processes."""
    return int(message.value())
