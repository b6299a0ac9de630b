"""What a consumer's loop gets in place of threads, processes, the dead-letter topic and the Reporter."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from clocksvc.client.consumer.flush_threads import FinishedFlush
from clocksvc.client.consumer.processing import Processed, Run, process_run
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause, Delivery
from clocksvc.testing.consumer.judge import BrokenPromise, Flush, describe
from clocksvc.testing.consumer.record import Message
from clocksvc.testing.consumer.world import DeadLetter, World

if TYPE_CHECKING:
    from clocksvc.testing.consumer.process import Process


class TaggedItem(NamedTuple):
    """An item of the author, and the record of which it was made."""

    item: Any
    message: Message


class ManualExecutor:
    """Implements `FlushExecutor`. The run decides when a flush has its effect, and when the consumer gets its result.

    Attributes:
        running: flushes that were submitted, in this order, by the consumer's id.
    """

    def __init__(self, process: "Process") -> None:
        self.running: dict[int, Flush] = {}
        self._process = process
        self._submitted: tuple[Any, ...] = ()
        self._states: list[Any] = []
        self._results: dict[int, Any] = {}
        self._finished: list[FinishedFlush] = []

    def collect(self, *arguments: Any) -> None:
        """Take the place of the author's function: called by `submit` only, to learn the arguments."""
        self._submitted = arguments

    def submit(self, flush_id: int, call: Callable[[], object]) -> None:
        call()
        (batch, *state), world = self._submitted, self._process.world
        flush = Flush(next(world.flushes), [tagged.message.delivery for tagged in batch])
        flush.arguments = ([tagged.item for tagged in batch], *state)
        world.tell(lambda: f"{flush} begins")
        options = self._process.plan.options.machine
        world.judge.flush_started(flush, options.batch, world.time.monotonic())
        self.running[flush_id] = flush
        if state and self._states and self._states[-1] is not state[0]:
            raise BrokenPromise(f"wrong state: {flush} gets another state than the last successful flush has returned")
        if len(self.running) > options.slots:
            raise BrokenPromise(f"too many flushes: {len(self.running)} run at the same time")

    def finished(self, timeout_s: float) -> Sequence[FinishedFlush]:
        if timeout_s > 0 and not self._finished and self._process.member.revoking:
            self._process.world.policy.waits(self._process, timeout_s)
        found, self._finished = self._finished, []
        return found

    def stack(self, flush_id: int) -> str:
        return ""

    def close(self) -> None:
        pass

    def take_effect(self, flush_id: int) -> None:
        """Call the author's function, unless it was called."""
        flush = self.running[flush_id]
        if flush.effect or flush.error is not None:
            return
        self._process.world.tell(lambda: f"{flush} has its effect")
        try:
            self._results[flush_id] = self._process.plan.flush(*flush.arguments)
        except Exception as error:
            flush.error = error
        else:
            flush.effect = True

    def finish(self, flush_id: int, error: BaseException | None = None) -> None:
        """Give the consumer the result of a flush.

        Args:
            error: what the flush raises; None for the result of the author's function, which is called if it was not.
        """
        if error is None:
            self.take_effect(flush_id)
        flush = self.running.pop(flush_id)
        flush.error = flush.error or error
        process = self._process
        process.world.tell(lambda: f"{flush} is finished" if flush.error is None else f"{flush} raises {flush.error!r}")
        process.flush_finished(flush)
        if flush.error is None:
            self._states = [self._results[flush_id]]
        if flush.error is None:
            process.world.flushed.append(flush.arguments[0])
        self._finished.append(FinishedFlush(flush_id, self._results.pop(flush_id, None), flush.error))


class ManualDeadLetters:
    """Implements `DeadLetters`.

    Attributes:
        sent: the letters without an answer, by the consumer's id.
    """

    def __init__(self, process: "Process") -> None:
        self.sent: dict[int, DeadLetter] = {}
        self._process = process
        self._answers: list[Delivery] = []

    def send(self, letter_id: int, record: Any, cause: Cause) -> None:
        world = self._process.world
        world.tell(lambda: f"the consumer sends the dead letter of {record.delivery.stored}: {cause.message}")
        world.judge.dead_letter_sent(record.delivery)
        self.sent[letter_id] = DeadLetter(record, cause)

    def deliveries(self) -> Sequence[Delivery]:
        for letter_id in [each for each in self.sent if self._process.world.policy.answers_dead_letter()]:
            self.answer(letter_id)
        found, self._answers = self._answers, []
        return found

    def close(self) -> None:
        pass

    def answer(self, letter_id: int, failure: str | None = None) -> None:
        """Give the consumer the outcome of a dead letter.

        Args:
            failure: why it was not delivered; None if all in-sync replicas have it.
        """
        world, dead_letter = self._process.world, self.sent.pop(letter_id)
        delivery = dead_letter.message.delivery
        world.tell(lambda: f"the dead letter of {delivery.stored} {failure or 'is acknowledged'}")
        world.judge.dead_letter_answered(delivery, delivered=failure is None)
        if failure is None:
            world.dead_letters.append(dead_letter)
        self._answers.append(Delivery(letter_id, failure))


class ManualReporter:
    """Implements `ProgressReporter`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def observe_message(self, message: Any) -> None:
        log, (_, timestamp_ms) = self._world.log(message.topic(), message.partition()), message.timestamp()
        self._world.tell(lambda: f"the consumer reports {timestamp_ms} of {log.partition}")
        self._world.judge.reported(log, timestamp_ms)

    def on_assign(self, consumer: object, partitions: Iterable[Any]) -> None:
        pass

    def on_revoke(self, consumer: object, partitions: Iterable[Any]) -> None:
        pass

    def on_lost(self, consumer: object, partitions: Iterable[Any]) -> None:
        pass

    def ahead(self, read: Mapping[tuple[str, int], int]) -> Collection[Partition]:
        return self._world.policy.ahead()


class ManualProcessing:
    """Implements `Processing`, as a pool of processes does: the results come later, in the order of the records."""

    def __init__(self, process: "Process", function: Callable[[Any], TaggedItem | None]) -> None:
        self._process, self._function = process, function
        self._runs: deque[Run] = deque()

    @property
    def records(self) -> int:
        return sum(len(run.records) for run in self._runs)

    def has_runs_of(self, partitions: Collection[Partition]) -> bool:
        return any(run.assignment.partition in partitions for run in self._runs)

    def submit(self, run: Run) -> None:
        self._runs.append(run)
        for message in run.records:
            message.delivery.in_process = True

    def finished(self, timeout_s: float) -> Sequence[Processed[TaggedItem]]:
        world = self._process.world
        runs = [self._runs.popleft() for _ in range(world.policy.processed(len(self._runs)))]
        for run in runs:
            deliveries = [message.delivery for message in run.records]
            world.judge.processed(deliveries)
            world.tell(partial("processed: {}".format, describe(deliveries)))
        return [process_run(self._function, run) for run in runs]

    def close(self) -> None:
        pass
