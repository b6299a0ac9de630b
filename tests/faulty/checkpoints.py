"""Checkpoints in memory that can be out of reach, and whose commits can stay unanswered."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clocksvc.errors import CheckpointsUnavailable, OutcomeUnknown
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.checkpoints import MemoryCheckpoints, MemoryCheckpointTopic
from tests.faulty.commits import CommitFault


@dataclass
class FaultyCheckpointTopic(MemoryCheckpointTopic):
    """As all processes see it.

    Attributes:
        unavailable: no broker answers.
        commit_faults: for the next commits, in order: what happens to a commit whose answer is lost.
        torn: for the next commits, in order: how many of the first checkpoints a delayed request commits. The rest is
            not written.
    """

    unavailable: bool = False
    commit_faults: list[CommitFault] = field(default_factory=list)
    torn: list[int] = field(default_factory=list)


class FaultyCheckpoints(MemoryCheckpoints):
    """`Checkpoints` over a FaultyCheckpointTopic, for one process of a dispatcher."""

    _topic: FaultyCheckpointTopic

    def __init__(self, topic: FaultyCheckpointTopic, clock: str, dispatcher: str) -> None:
        super().__init__(topic, clock, dispatcher)

    def read(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self._check_available(keep_alive)
        return super().read(keep_alive)

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self._check_available(keep_alive)
        return super().acquire(keep_alive)

    def commit(self, checkpoints: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        self._check_available(keep_alive)
        super().commit({}, keep_alive)  # raises Fenced
        if self._topic.torn:
            super().commit(dict(list(checkpoints.items())[: self._topic.torn.pop(0)]), keep_alive)
            self.close()
            raise OutcomeUnknown
        fault = self._topic.commit_faults.pop(0) if self._topic.commit_faults else None
        if fault is not CommitFault.LOST:
            super().commit(checkpoints, keep_alive)
        if fault is not None:
            self.close()
            raise OutcomeUnknown

    def _check_available(self, keep_alive: KeepAlive) -> None:
        if self._topic.unavailable:
            keep_alive()
            raise CheckpointsUnavailable
