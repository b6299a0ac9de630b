"""A pipeline of Arroyo whose consumer and time come from the test, and that runs step by step."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from arroyo.backends.abstract import Consumer
from arroyo.backends.kafka import KafkaPayload
from arroyo.commit import IMMEDIATE, CommitPolicy
from arroyo.dlq import DlqPolicy
from arroyo.processing.strategies import ProcessingStrategy, ProcessingStrategyFactory
from arroyo.types import BrokerValue, Commit, Partition, Topic

from clocksvc.arroyo import ReportingStreamProcessor
from tests.unit.client.fake_sink import NOW_MS, TOPIC, SteppedReporter

FIRST_MS = NOW_MS - 600_000


class ScriptedConsumer(Consumer[KafkaPayload]):
    """A consumer whose records and rebalances come from the test.

    Attributes:
        committed: the committed offset by partition.
        commits: how many commits were not empty.
    """

    def __init__(self, *, auto_commit: bool = False) -> None:
        self.committed: dict[int, int] = {}
        self.commits = 0
        self._assigned: dict[Partition, int] = {}
        self._staged: dict[Partition, int] = {}
        self._log: dict[Partition, list[BrokerValue[KafkaPayload]]] = {}
        self._auto_commit = auto_commit
        self._closed = False

    def write(self, *values: bytes, partition: int = 0) -> None:
        """Append records. The value `heartbeat` makes a heartbeat. Timestamps are the offset in s after FIRST_MS."""
        key = Partition(Topic(TOPIC), partition)
        log = self._log.setdefault(key, [])
        for value in values:
            at_ms = FIRST_MS + 1_000 * len(log)
            timestamp = datetime(1970, 1, 1) + timedelta(milliseconds=at_ms)  # noqa: DTZ001 as Arroyo has them
            headers = [("clocksvc-heartbeat", b"1")] if value == b"heartbeat" else []
            log.append(BrokerValue(KafkaPayload(None, value, headers), key, len(log), timestamp))

    def assign(self, *partitions: int) -> None:
        """Assign partitions at their committed offsets. The consumer keeps those that it has."""
        new = {Partition(Topic(TOPIC), each): self.committed.get(each, 0) for each in partitions}
        self._assigned.update(new)
        self._on_assign(new)

    def revoke(self, *partitions: int) -> None:
        """Revoke partitions. The consumer keeps the others."""
        old = [Partition(Topic(TOPIC), each) for each in partitions]
        self._on_revoke(old)
        for partition in old:
            del self._assigned[partition]
            self._staged.pop(partition, None)

    def subscribe(self, topics: Sequence[Topic], on_assign: Any = None, on_revoke: Any = None) -> None:
        self._on_assign, self._on_revoke = on_assign, on_revoke

    def poll(self, timeout: float | None = None) -> BrokerValue[KafkaPayload] | None:
        for partition, offset in self._assigned.items():
            log = self._log.get(partition, [])
            if offset < len(log):
                self._assigned[partition] = offset + 1
                return log[offset]
        return None

    def stage_offsets(self, offsets: Mapping[Partition, int]) -> None:
        self._staged.update(offsets)

    def commit_offsets(self) -> Mapping[Partition, int] | None:
        if self._auto_commit:
            return None
        assert self._staged.keys() <= self._assigned.keys(), "Kafka would reject the offsets of other partitions"
        done, self._staged = self._staged, {}
        self.commits += bool(done)
        self.committed.update({partition.index: offset for partition, offset in done.items()})
        return done

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self._assigned.update(offsets)

    def tell(self) -> Mapping[Partition, int]:
        return self._assigned

    def close(self, timeout: float | None = None) -> None:
        self._closed = True

    def pause(self, partitions: Sequence[Partition]) -> None: ...

    def resume(self, partitions: Sequence[Partition]) -> None: ...

    def unsubscribe(self) -> None: ...

    def paused(self) -> Sequence[Partition]:
        return []

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def member_id(self) -> str:
        return "member"


class Factory(ProcessingStrategyFactory[KafkaPayload]):
    """Builds the strategies with a function."""

    def __init__(self, build: Callable[[Commit], ProcessingStrategy[Any]]) -> None:
        self._build = build

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        return self._build(commit)


class Pipeline:
    """A pipeline that runs step by step, with partitions 0 and 1."""

    def __init__(
        self,
        build: Callable[[Commit], ProcessingStrategy[Any]],
        policy: CommitPolicy = IMMEDIATE,
        dlq: DlqPolicy[KafkaPayload] | None = None,
    ) -> None:
        self.stepped = SteppedReporter()
        self.consumer = ScriptedConsumer()
        self.processor = ReportingStreamProcessor(
            self.consumer,
            Topic(TOPIC),
            Factory(build),
            policy,
            dlq,
            join_timeout=0.1,
            reporter=self.stepped.reporter,
            time=self.stepped.time,
        )
        self.consumer.assign(0, 1)

    def run(self, *values: bytes, partition: int = 0, seconds: float = 0.0) -> None:
        """Write records, let time pass, and run the loop of the processor until it is idle."""
        self.consumer.write(*values, partition=partition)
        self.stepped.time.advance(seconds)
        for _ in range(len(values) + 10):
            self.processor._run_once()

    def sent(self) -> dict[int, float]:
        """What was reported last for each partition, in seconds after FIRST_MS."""
        return {number: (at_ms - FIRST_MS) / 1_000 for number, at_ms in self.stepped.sink.last_sent().items()}

    def reported(self) -> dict[int, float]:
        """Send what is observed, and return what `sent` returns."""
        self.stepped.reporter.flush(0)
        return self.sent()
