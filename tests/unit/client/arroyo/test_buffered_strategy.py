"""BufferedStrategyFactory in a StreamProcessor of Arroyo, with flushes that the test ends."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from arroyo.backends.abstract import ProducerFuture
from arroyo.backends.kafka import KafkaPayload
from arroyo.commit import IMMEDIATE
from arroyo.dlq import DlqPolicy, InvalidMessage, NoopDlqProducer
from arroyo.processing.strategies import CommitOffsets, FilterStep, MessageRejected, ProcessingStrategy, RunTask
from arroyo.types import FILTERED_PAYLOAD, BrokerValue, Commit, Message, Partition, Topic, Value

from clocksvc.arroyo import BufferedStrategyFactory, RetryPolicy
from clocksvc.client.arroyo.buffered_strategy import BufferedStrategy
from clocksvc.client.arroyo.strategy_core import StrategyCore
from clocksvc.client.consumer.flush_threads import FinishedFlush
from clocksvc.errors import ConsumerFailed, InvalidValue
from clocksvc.testing import ManualTime
from tests.unit.client.arroyo.scripted_pipeline import Pipeline
from tests.unit.client.fake_sink import TOPIC
from tests.waiting import eventually

pytestmark = pytest.mark.core

FEW = RetryPolicy(attempts=2, first_seconds=1.0, limit_seconds=1.0)


class Executor:
    """Runs a flush when the test asks for it, or at once. A wait for outcomes lets time pass."""

    def __init__(self, time: ManualTime) -> None:
        self._time = time
        self.waiting: dict[int, Callable[[], object]] = {}
        self._finished: list[FinishedFlush] = []
        self.at_once = True

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        self.waiting[flush_id] = call
        if self.at_once:
            self.run(flush_id)

    def run(self, flush_id: int) -> None:
        """Run a flush."""
        call = self.waiting.pop(flush_id)
        try:
            outcome = FinishedFlush(flush_id, call(), None)
        except Exception as error:
            outcome = FinishedFlush(flush_id, None, error)
        self._finished.append(outcome)

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        found, self._finished = self._finished, []
        if not found:
            self._time.advance(timeout_s)
        return found

    def stack(self, flush_id: int) -> str:
        return "its stack"

    def close(self) -> None: ...


class Letters(NoopDlqProducer):
    """The offsets and reasons of invalid messages."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str | None]] = []

    def produce(
        self, value: BrokerValue[KafkaPayload], reason: str | None = None
    ) -> ProducerFuture[BrokerValue[KafkaPayload]]:
        self.sent.append((value.offset, reason))
        return super().produce(value, reason)


class Buffered:
    """A pipeline with a buffer, and what was flushed."""

    def __init__(
        self,
        *,
        before: Callable[[ProcessingStrategy[Any]], ProcessingStrategy[Any]] = lambda strategy: strategy,
        after: Callable[[Commit], ProcessingStrategy[Any]] = CommitOffsets,
        **options: Any,
    ) -> None:
        self.time = ManualTime()
        self.executor, self.letters = Executor(self.time), Letters()
        self.flushed: list[Any] = []
        self.poison: set[Any] = set()
        factory = BufferedStrategyFactory(self._process, options.pop("flush", self._flush), **options)
        plan = factory.plan
        core: StrategyCore[Any] = StrategyCore(
            plan.flush, plan.state, plan.options, self.executor, self.time, random.Random(1)
        )
        self.strategies: list[BufferedStrategy[Any]] = []

        def build(commit: Commit) -> ProcessingStrategy[Any]:
            self.strategies.append(BufferedStrategy(core, plan, after(commit)))
            return before(self.strategies[-1])

        dlq = DlqPolicy(self.letters) if plan.options.machine.dead_letters else None
        self.pipeline = Pipeline(build, IMMEDIATE, dlq)
        self.committed = self.pipeline.consumer.committed

    def run(self, *values: bytes, seconds: float = 0.0, partition: int = 0) -> None:
        """Write records, let time pass, and run the loop until it is idle."""
        self.time.advance(seconds)
        self.pipeline.run(*values, seconds=seconds, partition=partition)

    def _process(self, message: Message[Any]) -> Any:
        value = message.payload.value
        if value == b"bad":
            raise ValueError("not valid")
        return None if value == b"drop" else value

    def _flush(self, batch: list[Any]) -> None:
        if self.poison.intersection(batch):
            raise OSError("the sink refuses it")
        self.flushed += batch


def test_batches_are_flushed_by_count_and_age() -> None:
    """Dropped messages count as done with the batch in front of them."""
    buffered = Buffered(batch_records=2, batch_seconds=5)
    buffered.run(b"a", b"b", b"c", b"drop")

    assert buffered.flushed == [b"a", b"b"]
    assert buffered.committed == {0: 2}

    buffered.run(seconds=5)

    assert buffered.flushed == [b"a", b"b", b"c"]
    assert buffered.committed == {0: 4}
    assert buffered.pipeline.reported() == {0: 3}


def test_a_batch_has_messages_of_several_partitions() -> None:
    """In the order in which they came."""
    buffered = Buffered(batch_records=4)
    for number, value in enumerate((b"a", b"b", b"c", b"d")):
        buffered.run(value, partition=number % 2)

    assert buffered.flushed == [b"a", b"b", b"c", b"d"]
    assert buffered.committed == {0: 2, 1: 2}


def test_the_next_batch_is_filled_during_a_flush() -> None:
    """Flushes end out of order; only the contiguous offsets are committed."""
    buffered = Buffered(batch_records=2, concurrent_flushes=2)
    buffered.executor.at_once = False
    buffered.run(b"a", b"b", b"c", b"d", b"e", b"f")
    assert list(buffered.executor.waiting) == [1, 2]
    buffered.executor.run(2)
    buffered.run()

    assert buffered.flushed == [b"c", b"d"]
    assert buffered.committed == {}

    buffered.executor.run(1)
    buffered.run()

    assert buffered.committed == {0: 4}


def test_a_full_buffer_refuses_messages() -> None:
    """The StreamProcessor keeps the message that was refused, and submits it again."""
    buffered = Buffered(batch_records=2, buffer_records=2, concurrent_flushes=1)
    buffered.executor.at_once = False
    buffered.run(b"a", b"b", b"c")
    assert list(buffered.executor.waiting) == [1]
    buffered.executor.at_once = True
    buffered.executor.run(1)
    buffered.run(b"d")

    assert buffered.flushed == [b"a", b"b", b"c", b"d"]
    assert buffered.committed == {0: 4}


def test_a_flush_is_retried_and_then_ends_the_processor() -> None:
    """Without dead letters, nothing is skipped."""
    buffered = Buffered(batch_records=1, retry=FEW)
    buffered.poison.add(b"a")
    buffered.run(b"a")
    buffered.poison.clear()
    buffered.run(seconds=1)
    assert buffered.flushed == [b"a"]

    buffered.poison.add(b"b")
    buffered.run(b"b")
    with pytest.raises(ConsumerFailed, match="the sink refuses it"):
        buffered.run(b"c", seconds=1)
    assert buffered.committed == {0: 1}


def test_messages_that_cannot_be_processed_are_invalid_in_order() -> None:
    """An earlier message can still fail to be flushed. Arroyo could not find it any more after a later invalid one."""
    buffered = Buffered(batch_records=3, dead_letters=True, retry=RetryPolicy(1, 0, 0))
    buffered.poison.add(b"b")
    buffered.run(b"a", b"b", b"bad")

    assert buffered.letters.sent == []
    assert buffered.committed == {}

    buffered.run(b"c")

    assert buffered.flushed == [b"a", b"c"]
    assert buffered.letters.sent == [(1, "OSError: the sink refuses it"), (2, "ValueError: not valid")]
    assert buffered.committed == {0: 4}
    assert buffered.pipeline.reported() == {0: 3}


def test_an_invalid_message_at_the_end_is_committed() -> None:
    """The offset after it is contiguous, so it is not taken for one that passed the buffer."""
    buffered = Buffered(batch_records=2, dead_letters=True)
    buffered.run(b"a", b"b", b"bad")

    assert buffered.letters.sent == [(2, "ValueError: not valid")]
    assert buffered.committed == {0: 3}
    assert buffered.pipeline.reported() == {0: 2}


def test_without_dead_letters_an_error_of_process_ends_the_processor() -> None:
    """The author has to decide what happens to it."""
    buffered = Buffered()

    with pytest.raises(ValueError, match="not valid"):
        buffered.run(b"a", b"bad")
    assert buffered.committed == {}


def test_invalid_and_filtered_messages_of_earlier_steps_keep_their_place() -> None:
    """They are not committed before the messages in the buffer."""

    def validate(message: Message[KafkaPayload]) -> KafkaPayload:
        if message.payload.value == b"invalid":
            assert isinstance(message.value, BrokerValue)
            raise InvalidMessage(message.value.partition, message.value.offset)
        return message.payload

    def before(strategy: ProcessingStrategy[Any]) -> ProcessingStrategy[Any]:
        return FilterStep(lambda message: message.payload.value != b"no", RunTask(validate, strategy), IMMEDIATE)

    buffered = Buffered(before=before, batch_records=2)
    buffered.run(b"a", b"invalid", b"no", b"no")
    assert buffered.committed == {}

    buffered.run(b"b", b"invalid")

    assert buffered.flushed == [b"a", b"b"]
    assert buffered.committed == {0: 6}
    assert buffered.pipeline.reported() == {0: 5}


class Next(ProcessingStrategy[Any]):
    """A step after the buffer."""

    def __init__(self, commit: Commit) -> None:
        self.got: list[tuple[list[Any], Mapping[Partition, int]]] = []
        self.refuse = 0
        self._commit = CommitOffsets(commit)

    def submit(self, message: Message[Any]) -> None:
        if self.refuse:
            self.refuse -= 1
            raise MessageRejected
        self.got.append((message.payload, message.committable))
        self._commit.submit(message)

    def poll(self) -> None:
        self._commit.poll()

    def close(self) -> None: ...

    def terminate(self) -> None: ...

    def join(self, timeout: float | None = None) -> None:
        self._commit.join(timeout)


def test_the_next_step_gets_the_flushed_items() -> None:
    """While it has no room, nothing is committed, and messages are refused."""
    steps: list[Next] = []

    def after(commit: Commit) -> ProcessingStrategy[Any]:
        steps.append(Next(commit))
        return steps[-1]

    buffered = Buffered(after=after, batch_records=2)
    buffered.run(b"a", b"b")
    steps[0].refuse = 10**9
    buffered.run(b"c", b"d")
    assert buffered.committed == {0: 2}
    buffered.run(b"e", b"f")
    steps[0].refuse = 0
    buffered.run()

    partition = Partition(Topic(TOPIC), 0)
    assert [items for items, _ in steps[0].got] == [[b"a", b"b"], [b"c", b"d"], [b"e", b"f"]]
    assert [dict(offsets) for _, offsets in steps[0].got] == [{partition: 2}, {partition: 4}, {partition: 6}]
    assert buffered.committed == {0: 6}


def test_a_revocation_flushes_and_commits() -> None:
    """Also a batch that is not full."""
    buffered = Buffered(batch_records=10)
    buffered.run(b"a", b"b")
    buffered.pipeline.consumer.revoke(0, 1)

    assert buffered.flushed == [b"a", b"b"]
    assert buffered.committed == {0: 2}
    assert buffered.pipeline.sent() == {0: 1}


def test_a_late_flush_of_an_earlier_assignment_counts_for_nothing() -> None:
    """It did not end within the timeout of the revocation. Its slot stays taken until it ends."""
    steps: list[Next] = []

    def after(commit: Commit) -> ProcessingStrategy[Any]:
        steps.append(Next(commit))
        return steps[-1]

    buffered = Buffered(after=after, batch_records=2, concurrent_flushes=1)
    buffered.executor.at_once = False
    buffered.run(b"a", b"b")
    (late,) = buffered.executor.waiting
    buffered.pipeline.consumer.revoke(0, 1)
    buffered.pipeline.consumer.assign(1)
    buffered.run(b"x", b"y", partition=1)
    assert list(buffered.executor.waiting) == [late]
    buffered.executor.run(late)
    buffered.run()

    assert buffered.flushed == [b"a", b"b"]
    assert buffered.committed == {}

    buffered.executor.run(*buffered.executor.waiting)
    buffered.run()

    assert buffered.flushed == [b"a", b"b", b"x", b"y"]
    assert [items for items, _ in steps[-1].got] == [[b"x", b"y"]]
    assert buffered.committed == {1: 2}


def test_the_end_of_an_assignment_waits_for_the_next_step() -> None:
    """All that is done is committed, although the next step refused the first message."""
    steps: list[Next] = []

    def after(commit: Commit) -> ProcessingStrategy[Any]:
        steps.append(Next(commit))
        return steps[-1]

    buffered = Buffered(after=after, batch_records=2)
    buffered.executor.at_once = False
    buffered.run(b"a", b"b", b"c", b"d")
    steps[0].refuse = 10**9
    for flush_id in (1, 2):
        buffered.executor.run(flush_id)
        buffered.run()
    assert buffered.committed == {}
    steps[0].refuse = 1
    buffered.pipeline.consumer.revoke(0, 1)

    assert buffered.flushed == [b"a", b"b", b"c", b"d"]
    assert buffered.committed == {0: 4}


def test_an_offset_that_is_passed_already_changes_nothing() -> None:
    """Steps in front can forward the offset of an invalid message after later messages."""
    buffered = Buffered(batch_records=2)
    buffered.run(b"a", b"b")
    filtered = Message(Value(FILTERED_PAYLOAD, {Partition(Topic(TOPIC), 0): 1}))
    buffered.strategies[0].submit(filtered)
    buffered.run()
    buffered.pipeline.consumer.revoke(0, 1)

    assert buffered.committed == {0: 2}


def test_a_state_lives_between_flushes_and_assignments() -> None:
    """One flush runs at a time."""
    seen: list[tuple[list[bytes], int]] = []

    def flush(batch: list[bytes], state: int) -> int:
        seen.append((batch, state))
        return state + len(batch)

    buffered = Buffered(flush=flush, state=lambda: 10, batch_records=2)
    buffered.run(b"a", b"b", b"c")
    buffered.pipeline.consumer.revoke(1)
    buffered.run(b"d", b"e")

    assert seen == [([b"a", b"b"], 10), ([b"c"], 12), ([b"d", b"e"], 13)]


def test_a_flush_that_hangs_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With its stack."""
    buffered = Buffered(batch_records=1, stuck_after_seconds=30)
    buffered.executor.at_once = False
    buffered.run(b"a")
    buffered.run(seconds=31)

    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "a flush of 1 items has run for 31 s. Its stack:\nits stack"
    ]


def test_a_step_in_front_must_not_combine_messages() -> None:
    """The buffer could not say which message is invalid."""
    factory = BufferedStrategyFactory(lambda message: message, print)
    strategy = factory.strategy(CommitOffsets(lambda offsets, force=False: None))

    with pytest.raises(InvalidValue, match="combines messages"):
        strategy.submit(Message(Value([b"a"], {Partition(Topic(TOPIC), 0): 1})))


def test_the_factory_has_threads_and_real_time() -> None:
    """As a user creates it."""
    flushed: list[bytes] = []
    factory: BufferedStrategyFactory[bytes] = BufferedStrategyFactory(
        lambda message: message.payload.value, flushed.extend, batch_seconds=0.01
    )
    pipeline = Pipeline(lambda commit: factory.create_with_partitions(commit, {}))
    pipeline.run(b"a", b"b")

    def committed() -> bool:
        pipeline.run()
        return pipeline.consumer.committed == {0: 2}

    eventually(committed, what="the commit of both records")
    assert flushed == [b"a", b"b"]
    factory.shutdown()
