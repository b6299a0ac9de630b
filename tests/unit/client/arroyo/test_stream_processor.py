"""ReportingStreamProcessor with pipelines of Arroyo's own strategies."""

from concurrent.futures import Future
from typing import Any

import pytest
from arroyo.backends.abstract import ProducerFuture
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, build_kafka_consumer_configuration
from arroyo.commit import IMMEDIATE, ONCE_PER_SECOND, CommitPolicy
from arroyo.dlq import DlqPolicy, InvalidMessage, NoopDlqProducer
from arroyo.processing.strategies import CommitOffsets, FilterStep, ProcessingStrategy, Reduce, RunTask
from arroyo.types import BaseValue, BrokerValue, Commit, Message, Topic

from clocksvc.arroyo import ReportingStreamProcessor
from clocksvc.errors import InvalidValue
from tests.unit.client.arroyo.scripted_pipeline import FIRST_MS, Factory, Pipeline, ScriptedConsumer
from tests.unit.client.fake_sink import TOPIC, SteppedReporter

pytestmark = pytest.mark.core


class Sink:
    """A pipeline with batches of `size`, and what was flushed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.flushed: list[bytes] = []

    def build(self, commit: Commit) -> ProcessingStrategy[Any]:
        """Decode, batch, flush, commit."""
        flush: RunTask[list[bytes], None] = RunTask(self._flush, CommitOffsets(commit))
        batches: Reduce[bytes, list[bytes]] = Reduce(self.size, 3_600, self._collect, list, flush)
        return RunTask(self._decode, batches)

    def _decode(self, message: Message[KafkaPayload]) -> bytes:
        assert message.payload.value != b"heartbeat"
        if message.payload.value == b"bad":
            assert isinstance(message.value, BrokerValue)
            raise InvalidMessage(message.value.partition, message.value.offset)
        return message.payload.value

    def _collect(self, batch: list[bytes], value: BaseValue[bytes]) -> list[bytes]:
        return [*batch, value.payload]

    def _flush(self, message: Message[list[bytes]]) -> None:
        self.flushed += message.payload


def test_a_report_follows_the_commit() -> None:
    """Records in the buffer are not reported, and staged records are not before they are committed."""
    sink = Sink(2)
    pipeline = Pipeline(sink.build, CommitPolicy(None, 3))
    pipeline.run(b"a", b"b", b"c")

    assert sink.flushed == [b"a", b"b"]
    assert pipeline.consumer.committed == {}
    assert pipeline.reported() == {}

    pipeline.run(b"d")

    assert pipeline.consumer.committed == {0: 4}
    assert pipeline.reported() == {0: 3}


def test_an_invalid_message_is_not_committed_before_the_buffer() -> None:
    """Arroyo's Reduce forwards the offset of an invalid message, and keeps the records in front of it."""
    sink = Sink(3)
    pipeline = Pipeline(sink.build, dlq=DlqPolicy(NoopDlqProducer()))
    pipeline.run(b"a", b"b", b"bad")

    assert sink.flushed == []
    assert pipeline.consumer.committed == {0: 0}
    assert pipeline.reported() == {}

    pipeline.run(b"c", b"bad")

    assert sink.flushed == [b"a", b"b", b"c"]
    assert pipeline.consumer.committed == {0: 5}
    assert pipeline.reported() == {0: 4}


def test_an_invalid_message_counts_without_a_dead_letter_queue() -> None:
    """Arroyo drops it. It counts as processed when it is committed."""
    pipeline = Pipeline(Sink(1).build)
    pipeline.run(b"a", b"bad")

    assert pipeline.consumer.committed == {0: 2}
    assert pipeline.reported() == {0: 1}


class SlowLetters(NoopDlqProducer):
    """A dead-letter queue in which a delivery ends when its result is awaited. The first one can fail at once."""

    def __init__(self, error: Exception | None = None) -> None:
        self.awaited, self.error = 0, error

    def produce(
        self, value: BrokerValue[KafkaPayload], reason: str | None = None
    ) -> ProducerFuture[BrokerValue[KafkaPayload]]:
        letters = self

        class Delivery(Future[BrokerValue[KafkaPayload]]):
            def result(self, timeout: float | None = None) -> BrokerValue[KafkaPayload]:
                letters.awaited += 1
                return value

        if self.error is None:
            return Delivery()
        failed: Future[BrokerValue[KafkaPayload]] = Future()
        failed.set_exception(self.error)
        self.error = None
        return failed


def test_nothing_is_committed_after_a_dead_letter_that_failed() -> None:
    """Arroyo forgets a failed delivery when it produces the next one, and would commit its offset."""
    letters = SlowLetters(OSError("not delivered"))
    pipeline = Pipeline(Sink(1).build, CommitPolicy(None, 3), DlqPolicy(letters))
    with pytest.raises(OSError, match="not delivered"):
        pipeline.run(b"bad", b"a", b"bad", b"b", b"c", b"d")

    assert pipeline.consumer.committed == {}


def test_a_commit_waits_for_the_dead_letter_queue() -> None:
    """Also if an earlier call than the one that commits has staged the invalid message."""
    letters = SlowLetters()
    pipeline = Pipeline(Sink(1).build, CommitPolicy(None, 2), DlqPolicy(letters))
    pipeline.run(b"bad")
    assert letters.awaited == 0

    pipeline.run(b"a", b"b", partition=1)

    assert pipeline.consumer.committed == {0: 1, 1: 2}
    assert letters.awaited == 1


@pytest.mark.parametrize("policy", [IMMEDIATE, ONCE_PER_SECOND], ids=["immediate", "once per second"])
def test_heartbeats_of_a_quiet_pipeline_are_committed(policy: CommitPolicy) -> None:
    """They do not come to the strategies. All that arrive within a second are committed at once."""
    pipeline = Pipeline(Sink(1).build, policy)
    pipeline.run(b"a", seconds=1)
    pipeline.processor._StreamProcessor__commit({}, force=True)  # type: ignore[attr-defined]
    before = pipeline.consumer.commits
    for _ in range(3):
        pipeline.run(b"heartbeat", partition=0)
        pipeline.run(b"heartbeat", partition=1)
    pipeline.run(seconds=1)

    assert pipeline.consumer.committed == {0: 4, 1: 3}
    assert pipeline.reported() == {0: 3, 1: 2}
    assert pipeline.consumer.commits - before == 2


def test_a_heartbeat_waits_for_the_records_in_front_of_it() -> None:
    """The clock does not pass a record in the buffer."""
    pipeline = Pipeline(Sink(2).build)
    pipeline.run(b"a", b"heartbeat", seconds=2)

    assert pipeline.consumer.committed == {}
    assert pipeline.reported() == {}

    pipeline.run(b"b", b"heartbeat", seconds=2)

    assert pipeline.consumer.committed == {0: 4}
    assert pipeline.reported() == {0: 3}


def test_staged_offsets_are_committed_by_the_pipeline_alone() -> None:
    """A heartbeat does not commit them, because the pipeline may still wait for its dead-letter queue."""
    pipeline = Pipeline(Sink(1).build, CommitPolicy(None, 2))
    pipeline.run(b"a")
    pipeline.run(b"heartbeat", seconds=2)

    assert pipeline.consumer.committed == {}


def test_revoked_partitions_are_reported_and_forgotten() -> None:
    """What the strategies commit at the end of an assignment is sent before the partition goes."""
    pipeline = Pipeline(Sink(2).build, CommitPolicy(None, 100))
    pipeline.run(b"a", b"b", b"heartbeat")
    assert pipeline.consumer.committed == {}
    pipeline.consumer.revoke(0, 1)

    assert pipeline.consumer.committed == {0: 3}
    assert pipeline.sent() == {0: 2}
    pipeline.stepped.sink.reports.clear()
    assert pipeline.stepped.pass_time(15) == []


class Lost(ProcessingStrategy[Any]):
    """Finishes none of its records."""

    def __init__(self) -> None:
        self.records = 0

    def submit(self, message: Message[Any]) -> None:
        self.records += 1

    def poll(self) -> None: ...

    def close(self) -> None: ...

    def terminate(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...


def test_unfinished_records_of_a_kept_partition_are_read_again() -> None:
    """An incremental rebalance ends the strategies. What they have not finished within their timeout is not lost."""
    sink, lost = Sink(1), Lost()
    pipeline = Pipeline(lambda commit: sink.build(commit) if lost.records else lost)
    pipeline.run(b"a", b"b")
    assert lost.records == 2
    pipeline.consumer.revoke(1)
    pipeline.run(b"c")

    assert sink.flushed == [b"a", b"b", b"c"]
    assert pipeline.reported() == {0: 2}


def test_a_pipeline_that_commits_too_early_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """FilterStep with a commit policy in front of Reduce: only the second offset shows that the first was too high."""
    sink = Sink(3)

    def build(commit: Commit) -> ProcessingStrategy[Any]:
        return FilterStep(lambda message: message.payload.value != b"no", sink.build(commit), IMMEDIATE)

    pipeline = Pipeline(build)
    pipeline.run(b"a", b"b", b"no", b"no", b"no")
    assert sink.flushed == []
    pipeline.consumer.revoke(0, 1)

    assert sink.flushed == [b"a", b"b"]
    errors = [record.message for record in caplog.records if record.name == "clocksvc.arroyo"]
    assert len(errors) == 1
    assert "the pipeline staged offset" in errors[0]


def test_a_consumer_that_commits_by_itself_is_refused() -> None:
    """It does not return what it has committed."""
    stepped, consumer = SteppedReporter(), ScriptedConsumer(auto_commit=True)

    with pytest.raises(InvalidValue, match="enable_auto_commit=False"):
        ReportingStreamProcessor(consumer, Topic(TOPIC), Factory(Sink(1).build), reporter=stepped.reporter)


def test_a_consumer_of_another_group_is_refused() -> None:
    """Its records are not those of the reporter's group."""
    settings = build_kafka_consumer_configuration(
        {"log_level": 0}, bootstrap_servers=["localhost:1"], group_id="dev", enable_auto_commit=False
    )
    stepped, consumer = SteppedReporter(), KafkaConsumer(settings)
    try:
        with pytest.raises(InvalidValue, match="wanted a Reporter with group='dev'"):
            ReportingStreamProcessor(consumer, Topic(TOPIC), Factory(Sink(1).build), reporter=stepped.reporter)
    finally:
        consumer.close()


def test_the_end_sends_what_is_not_reported_yet() -> None:
    """The processor closes the consumer, and not the reporter."""
    pipeline = Pipeline(Sink(1).build)
    pipeline.run(b"a", b"b")
    pipeline.processor.signal_shutdown()
    pipeline.processor.run()

    assert pipeline.consumer.closed
    assert pipeline.stepped.sink.last_sent() == {0: FIRST_MS + 1_000}
    pipeline.stepped.reporter.observe(0, FIRST_MS)
