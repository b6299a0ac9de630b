"""Checkpoints in memory: the content of one topic, which all processes share, and a writer for each process."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from clocksvc.errors import Fenced
from clocksvc.interfaces.checkpoints import Checkpoint
from clocksvc.interfaces.tick_log import KeepAlive


@dataclass
class MemoryCheckpointTopic:
    """The checkpoints of all dispatchers of a clock, as all processes see them.

    Attributes:
        checkpoints: by dispatcher, then by key.
        epochs: the epoch of each dispatcher's newest writer. Older writers are fenced.
    """

    checkpoints: dict[str, dict[str, Checkpoint]] = field(default_factory=lambda: defaultdict(dict))
    epochs: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class MemoryCheckpoints:
    """`Checkpoints` over a MemoryCheckpointTopic, for one process of a dispatcher."""

    def __init__(self, topic: MemoryCheckpointTopic, dispatcher: str) -> None:
        self._topic, self._dispatcher = topic, dispatcher
        self._epoch: int | None = None

    def acquire(self, keep_alive: KeepAlive) -> Mapping[str, Checkpoint]:
        self._topic.epochs[self._dispatcher] += 1
        self._epoch = self._topic.epochs[self._dispatcher]
        return dict(self._topic.checkpoints[self._dispatcher])

    def commit(self, positions: Mapping[str, Checkpoint | None], keep_alive: KeepAlive) -> None:
        if self._epoch is None or self._epoch != self._topic.epochs[self._dispatcher]:
            raise Fenced
        found = self._topic.checkpoints[self._dispatcher]
        for key, checkpoint in positions.items():
            if checkpoint is None:
                found.pop(key, None)
            else:
                found[key] = checkpoint

    def close(self) -> None:
        self._epoch = None
