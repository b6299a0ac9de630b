"""The pipeline of test_arroyo.py with a BufferedStrategy, over real Kafka. `make consumers` runs it."""

import random
import threading
from collections.abc import Mapping

import pytest
from arroyo.backends.kafka import KafkaPayload
from arroyo.processing.strategies import ProcessingStrategy, ProcessingStrategyFactory
from arroyo.types import BrokerValue, Commit, Message, Partition

from clocksvc.arroyo import BufferedStrategyFactory
from tests.system.path.test_arroyo import BATCH, Evidence, Position, check_pipeline

pytestmark = pytest.mark.servers


class BufferedFactory(ProcessingStrategyFactory[KafkaPayload]):
    """Decode, buffer, flush in threads, commit."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self._rng = evidence, random.Random(1)
        self._buffered: BufferedStrategyFactory[Position] = BufferedStrategyFactory(
            self._decode, self._flush, batch_records=BATCH, batch_seconds=0.1, concurrent_flushes=16, dead_letters=True
        )

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        self._evidence.assignments += 1
        return self._buffered.create_with_partitions(commit, partitions)

    def shutdown(self) -> None:
        self._buffered.shutdown()

    def _decode(self, message: Message[KafkaPayload]) -> Position:
        assert isinstance(message.value, BrokerValue)
        assert message.payload.value != b"heartbeat"
        if message.payload.value == b"bad":
            raise ValueError("not valid")
        return message.value.partition.index, message.value.offset

    def _flush(self, batch: list[Position]) -> None:
        threading.Event().wait(self._rng.choice((0.001, 0.3)))  # the duration of I/O
        self._evidence.finish(batch)


def test_a_buffer_on_arroyo(bootstrap: str, key_prefix: str) -> None:
    """Flushes end out of order. The same checks as for Arroyo's own steps."""
    check_pipeline(bootstrap, key_prefix, BufferedFactory)
