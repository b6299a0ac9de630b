"""Checkpoints in memory: the content of the topic, which all processes share, and a writer for each process."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from clocksvc.errors import Fenced
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive


class ClockDispatcher(NamedTuple):
    """A dispatcher of a clock. Dispatchers of different clocks can have the same name."""

    clock: str
    dispatcher: str


@dataclass
class MemoryCheckpointTopic:
    """The checkpoints of the dispatchers of all clocks, as all processes see them.

    Attributes:
        checkpoints: by dispatcher, then by key.
        epochs: the epoch of each dispatcher's newest writer. Older writers are fenced.
    """

    checkpoints: dict[ClockDispatcher, dict[str, Checkpoint]] = field(default_factory=lambda: defaultdict(dict))
    epochs: dict[ClockDispatcher, int] = field(default_factory=lambda: defaultdict(int))


class MemoryCheckpoints:
    """`Checkpoints` over a MemoryCheckpointTopic, for one process of a dispatcher."""

    def __init__(self, topic: MemoryCheckpointTopic, clock: str, dispatcher: str) -> None:
        self._topic, self._owner = topic, ClockDispatcher(clock, dispatcher)
        self._epoch: int | None = None

    def read(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        return dict(self._topic.checkpoints[self._owner])

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self._topic.epochs[self._owner] += 1
        self._epoch = self._topic.epochs[self._owner]
        return dict(self._topic.checkpoints[self._owner])

    def commit(self, checkpoints: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        if self._epoch is None or self._epoch != self._topic.epochs[self._owner]:
            raise Fenced
        found = self._topic.checkpoints[self._owner]
        for key, checkpoint in checkpoints.items():
            if checkpoint is None:
                found.pop(key, None)
            else:
                found[key] = checkpoint

    def close(self) -> None:
        self._epoch = None
