"""Arroyo's StreamProcessor with a clock."""

from collections.abc import Mapping
from dataclasses import replace

from arroyo.backends.abstract import Consumer, ProducerFuture
from arroyo.backends.kafka import KafkaPayload
from arroyo.commit import ONCE_PER_SECOND, CommitPolicy
from arroyo.dlq import DlqLimit, DlqLimitState, DlqPolicy, DlqProducer, InvalidMessage
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import ProcessingStrategy, ProcessingStrategyFactory
from arroyo.types import BrokerValue, Commit, Message, Partition, Topic

from clocksvc.client.arroyo.reporting_consumer import ReportingConsumer
from clocksvc.client.consumer.reporting import ProgressReporter
from clocksvc.interfaces.time import SystemTime, Time


class ReportingStreamProcessor(StreamProcessor[KafkaPayload]):
    """A StreamProcessor that reports the records which its pipeline has committed to Kafka.

    It takes the arguments of Arroyo's StreamProcessor, and a reporter. The strategies stay as they are. They do not get
    heartbeats. An invalid message counts as processed when its offset is committed.

    When partitions are revoked, and at the end, the reporter sends what is not reported yet. This blocks for up to 2 s
    after the strategies are closed. No answer of the store or the service raises an error in the pipeline.

    Args:
        reporter: a Reporter, or a similar object, of the group in the consumer's `group.id`. It is not closed.
        time: the source of the time.

    Raises:
        InvalidValue: the consumer commits by itself (`arroyo.enable.auto.commit`), or the reporter has another group.
    """

    def __init__(
        self,
        consumer: Consumer[KafkaPayload],
        topic: Topic,
        processor_factory: ProcessingStrategyFactory[KafkaPayload],
        commit_policy: CommitPolicy = ONCE_PER_SECOND,
        dlq_policy: DlqPolicy[KafkaPayload] | None = None,
        join_timeout: float | None = None,
        stuck_detector_timeout: int | None = None,
        *,
        reporter: ProgressReporter,
        time: Time | None = None,
    ) -> None:
        reporting = ReportingConsumer(consumer, reporter, time or SystemTime())
        super().__init__(
            reporting,
            topic,
            _WatchedFactory(processor_factory, reporting),
            commit_policy,
            dlq_policy and replace(dlq_policy, producer=_WatchedDlqProducer(dlq_policy.producer, reporting)),
            join_timeout,
            stuck_detector_timeout,
        )


class _WatchedFactory(ProcessingStrategyFactory[KafkaPayload]):
    def __init__(self, factory: ProcessingStrategyFactory[KafkaPayload], consumer: ReportingConsumer) -> None:
        self._factory, self._consumer = factory, consumer

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        return _WatchedStrategy(self._factory.create_with_partitions(commit, partitions), self._consumer)

    def shutdown(self) -> None:
        self._factory.shutdown()


class _WatchedStrategy(ProcessingStrategy[KafkaPayload]):
    """The first strategy of a pipeline. The consumer gets its InvalidMessage errors before StreamProcessor does."""

    def __init__(self, strategy: ProcessingStrategy[KafkaPayload], consumer: ReportingConsumer) -> None:
        self._strategy, self._consumer = strategy, consumer

    def __repr__(self) -> str:
        return repr(self._strategy)

    def poll(self) -> None:
        try:
            self._strategy.poll()
        except InvalidMessage as error:
            self._consumer.add_invalid(error.partition, error.offset)
            raise

    def submit(self, message: Message[KafkaPayload]) -> None:
        try:
            self._strategy.submit(message)
        except InvalidMessage as error:
            self._consumer.add_invalid(error.partition, error.offset)
            raise

    def join(self, timeout: float | None = None) -> None:
        try:
            self._strategy.join(timeout)
        except InvalidMessage as error:
            self._consumer.add_invalid(error.partition, error.offset)
            raise

    def close(self) -> None:
        self._strategy.close()

    def terminate(self) -> None:
        self._strategy.terminate()


class _WatchedDlqProducer(DlqProducer[KafkaPayload]):
    def __init__(self, producer: DlqProducer[KafkaPayload], consumer: ReportingConsumer) -> None:
        self._producer, self._consumer = producer, consumer

    def produce(
        self, value: BrokerValue[KafkaPayload], reason: str | None = None
    ) -> ProducerFuture[BrokerValue[KafkaPayload]]:
        delivery = self._producer.produce(value, reason)
        self._consumer.add_dead_letter(delivery)
        return delivery

    def build_initial_state(  # type: ignore[override] # a class method there, which Arroyo calls on the object
        self, limit: DlqLimit | None, assignment: Mapping[Partition, int]
    ) -> DlqLimitState:
        return self._producer.build_initial_state(limit, assignment)
