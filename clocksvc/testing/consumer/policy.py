"""What Kafka decides while the consumer's code runs, such as the answer to a commit that the consumer waits for."""

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from clocksvc.clock.partition import Partition
from clocksvc.testing.consumer.log import Log

if TYPE_CHECKING:
    from clocksvc.testing.consumer.process import Process


class Answer(Enum):
    """The outcome of a commit that the consumer waits for."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "accepted, but the answer is lost"


class Commit:
    """One commit of the consumer.

    Attributes:
        offsets, epochs: the next offsets, and the assignments of their partitions at the request.
        generation: the group's generation at the request.
        applied: True if Kafka has accepted it, False if it has rejected it, None if it has not received it yet.
        failure: why it failed.
        lost: True if it will never be answered.
    """

    def __init__(self, offsets: Mapping[Partition, int], epochs: Mapping[Partition, int], generation: int) -> None:
        self.offsets, self.epochs, self.generation = dict(offsets), dict(epochs), generation
        self.applied: bool | None = None
        self.failure = ""
        self.lost = False

    def __str__(self) -> str:
        return ", ".join(f"{partition} to {offset}" for partition, offset in self.offsets.items())


class Policy(Protocol):
    """Decides for Kafka and for the threads."""

    def records(self, logs: Sequence[Log], count: int) -> Sequence[Log]:
        """Return for each record to deliver now its partition. Only partitions with records are given."""

    def fetched(self) -> int:
        """Return how many records of a partition are delivered after it was paused."""

    def answer(self, commit: Commit) -> Answer:
        """Decide on a commit that the consumer waits for."""

    def answers_commit(self, commit: Commit) -> bool:
        """Return True if a commit is answered at the next `consume`."""

    def answers_dead_letter(self) -> bool:
        """Return True if a dead letter is answered at the next call of `deliveries`."""

    def processed(self, runs: int) -> int:
        """Return of how many runs of records, of those that are being processed, the results come now."""

    def ahead(self) -> Collection[Partition]:
        """Return the partitions that run ahead of the clock."""

    def waits(self, process: "Process", timeout_s: float) -> None:
        """The consumer waits for flushes, because partitions are revoked. Finish flushes, or let time pass."""


class AllGoesWell:
    """All is answered at once and succeeds, except for what the test decides.

    Attributes:
        answer_commits, answer_dead_letters: False if the test gives the answers.
        partitions_ahead: the partitions that run ahead of the clock, so that the consumer pauses them.
        finish_flushes: True if flushes finish while the consumer waits for them because of a revocation.
    """

    def __init__(self) -> None:
        self.answer_commits = self.answer_dead_letters = self.finish_flushes = True
        self.partitions_ahead: Collection[Partition] = ()

    def records(self, logs: Sequence[Log], count: int) -> Sequence[Log]:
        chosen: list[Log] = []
        for log in logs:
            chosen += [log] * min(count - len(chosen), len(log.records) - log.next)
        return chosen

    def fetched(self) -> int:
        return 0

    def answer(self, commit: Commit) -> Answer:
        return Answer.ACCEPTED

    def answers_commit(self, commit: Commit) -> bool:
        return self.answer_commits

    def answers_dead_letter(self) -> bool:
        return self.answer_dead_letters

    def processed(self, runs: int) -> int:
        return runs

    def ahead(self) -> Collection[Partition]:
        return self.partitions_ahead

    def waits(self, process: "Process", timeout_s: float) -> None:
        running = process.executor.running
        if self.finish_flushes and running:
            process.executor.finish(next(iter(running)))
        else:
            process.world.time.advance(timeout_s)
