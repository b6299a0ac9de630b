"""A user's consumer: it notes each record, commits, and reports, in this order. As a thread of the test, or a process:

python -m tests.system.consumer BOOTSTRAP TOPIC GROUP URL CLOCK,CLOCK,… NOTES

Without a clock ("") it reports nothing: its group is an ordinary one.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from clocksvc import Reporter, is_heartbeat
from tests.system.evidence import Note
from tests.system.installation import wall_ms

_LEAVE_S = 30.0


class Reporters:
    """Reports to several clocks, as one Reporter to one of them."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = reporters

    def on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for reporter in self.reporters:
            reporter.on_assign(consumer, partitions)

    def on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for reporter in self.reporters:
            reporter.on_revoke(consumer, partitions)

    def on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for reporter in self.reporters:
            reporter.on_lost(consumer, partitions)

    def observe_many(self, messages: list[Message]) -> None:
        for reporter in self.reporters:
            reporter.observe_many(messages)

    def close(self) -> None:
        for reporter in self.reporters:
            reporter.close()


def consume(
    settings: Mapping[str, str | int | bool],
    topic: str,
    reporter: Reporter | Reporters,
    note: Callable[[list[Note]], object],
    stop: threading.Event,
) -> None:
    """Consume until `stop` is set. What could not be committed is committed and reported with the next records."""
    consumer = Consumer({"enable.auto.commit": False, "session.timeout.ms": 6000, "fetch.wait.max.ms": 50, **settings})
    with closing(reporter):
        consumer.subscribe(
            [topic], on_assign=reporter.on_assign, on_revoke=reporter.on_revoke, on_lost=reporter.on_lost
        )
        while not stop.is_set():
            messages = [message for message in consumer.consume(500, 0.1) if message.error() is None]
            if not messages:
                continue
            now_ms = wall_ms()
            note([note_of(message, now_ms) for message in messages])
            try:
                consumer.commit(asynchronous=False)
            except KafkaException:  # the broker is away, or the partitions were revoked
                continue
            reporter.observe_many(messages)
        consumer.close()


class ConsumerThread:
    """A member of a consumer group, in a thread.

    Args:
        kafka: more librdkafka settings.

    Attributes:
        notes: in order of processing. May be read at any time.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        url: str,
        clock: str,
        offset_reset: str = "earliest",
        kafka: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.notes: list[Note] = []
        self._topic = topic
        self._settings: dict[str, str | int | bool] = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": offset_reset,
            "topic.metadata.refresh.interval.ms": 1000,
            **kafka,
        }
        self._reporter = Reporter(url, clock, group=group, topic=topic)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the group. Raises what went wrong in the thread."""
        self._stop.set()
        self._thread.join(_LEAVE_S)
        if self._error is not None:
            raise self._error

    def reached_ms(self, partition: int) -> int:
        """The highest timestamp processed in a partition; -1 for none."""
        return max((note.timestamp_ms for note in tuple(self.notes) if note.partition == partition), default=-1)

    def partitions(self) -> set[int]:
        """The partitions of which a record was processed."""
        return {note.partition for note in tuple(self.notes)}

    def _run(self) -> None:
        try:
            consume(self._settings, self._topic, self._reporter, lambda notes: self.notes.extend(notes), self._stop)
        except Exception as error:
            self._error = error


def note_of(message: Message, now_ms: int) -> Note:
    """The note of a record that was processed at a time."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return Note(partition, offset, message.timestamp()[1], now_ms, is_heartbeat(message))


def main(bootstrap: str, topic: str, group: str, url: str, clocks: str, notes: str) -> None:
    """Consume until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings: dict[str, str | int | bool] = {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "max.poll.interval.ms": 10_000,
        "topic.metadata.refresh.interval.ms": 5000,
    }
    with Path(notes).open("ab", buffering=0) as book:
        consume(
            settings,
            topic,
            Reporters([Reporter(url, clock, group=group, topic=topic) for clock in clocks.split(",") if clock]),
            lambda made: book.write(b"".join(b"%d %d %d %d %d\n" % note for note in made)),
            stop,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
