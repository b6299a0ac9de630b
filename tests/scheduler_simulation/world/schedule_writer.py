"""Writes one partition of schedules as its owner, in transactions that can hang, or whose outcome is not known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clocksvc.errors import Fenced, OutcomeUnknown, SchedulesUnavailable
from clocksvc.interfaces.schedule_writer import ScheduleRecord
from clocksvc.interfaces.tick_log import KeepAlive
from tests.faulty.commits import CommitFault
from tests.scheduler_simulation.sometimes import Path, Sometimes
from tests.scheduler_simulation.world.topic import CUT_S, Link, ObservedTopic
from tests.simulation.world.scheduler import Scheduler

TRANSACTION_TIMEOUT_S = 10.0
"""After this, brokers abort a transaction whose writer has died."""


@dataclass
class WriterState:
    """What brokers know of the owners' writers of one partition of schedules.

    Attributes:
        epoch: of the newest writer. Older ones are fenced.
        is_open: True while a transaction is open. It hides all later records of the partition.
        hangs: True while the open transaction is not known to any coordinator. Only the fence of an owner ends it.
        commit_faults: what happens to the next commits.
        torn: how many of the next transactions hang, each of a writer that has committed before: a delayed request has
            ended the transaction before its first record, and the brokers accept the record outside of it.
    """

    number: int
    sometimes: Sometimes
    epoch: int = 0
    is_open: bool = False
    hangs: bool = False
    transaction: int = 0
    commit_faults: list[CommitFault] = field(default_factory=list)
    torn: int = 0


class ReplicaScheduleWriter:
    """Implements ScheduleWriter for one replica."""

    def __init__(self, scheduler: Scheduler, topic: ObservedTopic, state: WriterState, link: Link) -> None:
        self._scheduler, self._topic, self._state, self._link = scheduler, topic, state, link
        self._epoch: int | None = None
        self.end: int | None = None
        self._delayed_requests = False

    def fence(self, keep_alive: KeepAlive) -> None:
        if self._epoch is None:
            self._reach("writer.fence")
            if self._state.hangs:
                self._state.sometimes.took(Path.SCHEDULES_HUNG)
            self._abort()
            self.end = None
            self._delayed_requests = False
            self._state.epoch += 1
            self._epoch = self._state.epoch
            self._scheduler.between("writer.fence done")

    def write(self, records: Sequence[ScheduleRecord], keep_alive: KeepAlive) -> list[int]:
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            raise Fenced
        self._reach("writer.begin")
        self._check(epoch)
        transaction = self._begin()
        self._scheduler.between("writer.sent")
        self._check(epoch)
        fault = self._state.commit_faults.pop(0) if self._state.commit_faults else None
        if self._link.kafka_cut:
            fault = CommitFault.LOST
        if fault in (CommitFault.LOST, CommitFault.UNANSWERED):
            self._scheduler.wait(CUT_S)
            keep_alive()
            raise OutcomeUnknown
        if self._state.torn and self._delayed_requests and self._state.is_open:
            self._state.torn -= 1
            self._state.hangs = True
            raise OutcomeUnknown
        if not self._state.is_open or self._state.transaction != transaction:
            raise OutcomeUnknown  # the brokers have aborted it
        number, memory = self._state.number, self._topic.memory
        offsets = [memory.append(number, key, value, self._scheduler.now_ms) for key, value in records]
        memory.end_transaction(number)
        self._state.is_open = False
        self.end = offsets[-1] + 2 if self._topic.end(number) == offsets[-1] + 2 else None
        if fault is CommitFault.LANDS:
            raise OutcomeUnknown
        self._scheduler.between("writer.committed")
        self._epoch, self._delayed_requests = epoch, True
        return offsets

    def end_term(self) -> None:
        self._epoch = None

    def close(self) -> None:
        self._epoch = None

    def _begin(self) -> int:
        """Open a transaction. If its writer dies, the brokers abort it after a while."""
        state = self._state
        self._abort()
        self._topic.memory.open_transaction(state.number)
        state.is_open = True
        state.transaction += 1
        transaction = state.transaction

        def expire() -> None:
            if state.is_open and state.transaction == transaction and not state.hangs:
                self._abort()

        self._scheduler.later(TRANSACTION_TIMEOUT_S, expire)
        return transaction

    def _abort(self) -> None:
        if self._state.is_open:
            self._topic.memory.skip(self._state.number, 1)
            self._topic.memory.end_transaction(self._state.number)
            self._state.is_open = self._state.hangs = False

    def _check(self, epoch: int) -> None:
        if epoch != self._state.epoch:
            raise Fenced

    def _reach(self, step: str) -> None:
        self._scheduler.between(step)
        if self._link.kafka_cut:
            self._scheduler.wait(CUT_S, lambda: not self._link.kafka_cut)
            if self._link.kafka_cut:
                raise SchedulesUnavailable("Kafka can't be reached")
