"""Writes a topic of schedules in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from clocksvc.errors import Fenced
from clocksvc.interfaces.schedule_writer import ScheduleRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import Time
from clocksvc.memory.compacted_topic import MemoryCompactedTopic


@dataclass
class ScheduleWriters:
    """The writers of all processes for one partition. Only the newest one can write.

    Attributes:
        time: the brokers' clock.
        epoch: that of the newest writer.
    """

    topic: MemoryCompactedTopic
    partition: int
    time: Time
    epoch: int = field(default=0)


class MemoryScheduleWriter:
    """A `ScheduleWriter` for one process."""

    def __init__(self, writers: ScheduleWriters) -> None:
        self._writers = writers
        self._epoch: int | None = None
        self.end: int | None = None

    def fence(self, keep_alive: KeepAlive) -> None:
        if self._epoch is None:
            self._writers.epoch += 1
            self._epoch = self._writers.epoch

    def write(self, records: Sequence[ScheduleRecord], keep_alive: KeepAlive) -> list[int]:
        epoch, self._epoch = self._epoch, None
        writers = self._writers
        if epoch is None or epoch != writers.epoch:
            raise Fenced
        now_ms = writers.time.now_ms()
        offsets = [writers.topic.append(writers.partition, key, value, now_ms) for key, value in records]
        writers.topic.skip(writers.partition, 1)
        self.end = offsets[-1] + 2
        self._epoch = epoch
        return offsets

    def end_term(self) -> None:
        self._epoch = None

    def close(self) -> None:
        self.end_term()
