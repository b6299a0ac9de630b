"""Positions in memory: the brokers' side, shared, and one writer for each process. For tests and simulations.

It behaves as Kafka does under fencing, and can be told to fail: an outcome can stay unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clocksvc.errors import CheckpointsUnavailable, Fenced, OutcomeUnknown
from clocksvc.interfaces.checkpoint_encoding import (
    decode,
    encode,
    entry_of,
    key,
)
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.memory.tick_log import CommitFault


@dataclass
class MemoryCheckpointTopic:
    """What every process sees: the newest value of each key, and each dispatcher's epoch."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    unavailable: bool = False
    commit_faults: list[CommitFault] = field(default_factory=list)


class MemoryCheckpoints:
    """One process's way to a dispatcher's positions: a Positions."""

    def __init__(self, topic: MemoryCheckpointTopic, dispatcher: str) -> None:
        self._topic, self._dispatcher = topic, dispatcher
        self._epoch: int | None = None

    def acquire(self, waiting: KeepAlive) -> Mapping[str, Checkpoint]:
        self._ask(waiting)
        self._epoch = self._topic.epochs.get(self._dispatcher, 0) + 1
        self._topic.epochs[self._dispatcher] = self._epoch
        found = {entry_of(self._dispatcher, name): decode(value) for name, value in self._topic.values.items()}
        return {entry: position for entry, position in found.items() if entry is not None}

    def commit(self, positions: Mapping[str, Checkpoint | None], waiting: KeepAlive) -> None:
        self._ask(waiting)
        if self._epoch is None or self._epoch != self._topic.epochs.get(self._dispatcher):
            raise Fenced
        fault = self._topic.commit_faults.pop(0) if self._topic.commit_faults else None
        if fault is not CommitFault.LOST:
            self._write(positions)
        if fault is not None:
            self._epoch = None
            raise OutcomeUnknown

    def close(self) -> None:
        self._epoch = None

    def _write(self, positions: Mapping[str, Checkpoint | None]) -> None:
        for entry, position in positions.items():
            value, name = encode(position), key(self._dispatcher, entry)
            if value is None:
                self._topic.values.pop(name, None)
            else:
                self._topic.values[name] = value

    def _ask(self, waiting: KeepAlive) -> None:
        if self._topic.unavailable:
            waiting()
            raise CheckpointsUnavailable
