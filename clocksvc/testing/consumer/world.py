"""What outlives a consumer's process: the partitions, the group's commits, the dead-letter topic, and the time."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.dead_letters import Cause
from clocksvc.testing.consumer.judge import Judge
from clocksvc.testing.consumer.log import Log
from clocksvc.testing.consumer.policy import AllGoesWell, Policy
from clocksvc.testing.consumer.record import Message, Record
from clocksvc.testing.manual_time import ManualTime


class DeadLetter(NamedTuple):
    """A record in the dead-letter topic, and why it could not be processed."""

    message: Message
    cause: Cause


class World:
    """Kafka as the processes of one consumer see it.

    Attributes:
        time, judge: the time, and what must never happen.
        policy: what Kafka and the threads decide.
        logs: all partitions.
        flushed: the batches whose flush succeeded.
        dead_letters: the content of the dead-letter topic.
        events: how much has happened.
        story: the steps in words; None unless they are wanted.
    """

    def __init__(self, partitions: Iterable[Partition], time: ManualTime) -> None:
        self.time, self.judge = time, Judge()
        self.policy: Policy = AllGoesWell()
        self.logs = {partition: Log(partition) for partition in partitions}
        self.flushed: list[Sequence[Any]] = []
        self.dead_letters: list[DeadLetter] = []
        self.events = 0
        self.story: list[str] | None = None
        self.epochs = itertools.count(1)
        self.flushes = itertools.count(1)

    def tell(self, text: Callable[[], str]) -> None:
        """Count what happens, and add it to the story, if that is wanted."""
        self.events += 1
        if self.story is not None:
            self.story.append(text())

    def append(self, records: Iterable[Record]) -> None:
        """Add records to their partitions."""
        for record in records:
            log = self.log(record.topic, record.partition)
            log.append(record, self.time.now_ms() if record.timestamp_ms is None else record.timestamp_ms)

    def log(self, topic: str | None, number: int) -> Log:
        """Return a partition; of the first topic, if `topic` is None.

        Raises:
            KeyError: there is no such partition.
        """
        if topic is None:
            topic = next(iter(self.logs)).topic
        return self.logs[Partition(topic, number)]

    def assigned(self) -> Sequence[Log]:
        """Return the partitions that are assigned to the consumer."""
        return [log for log in self.logs.values() if log.epoch]
