"""A user's consumer as a thread of the test: several cost little, and their notes can be read at any time."""

import threading
from collections.abc import Mapping
from types import MappingProxyType

from confluent_kafka import Consumer, Message

from clocksvc import Reporter, is_heartbeat
from tests.system.path.installation import wall_ms
from tests.system.path.notes import Note

_LEAVE_S = 30.0


class Member:
    """A member of a consumer group, in a thread: writes a record down, commits, and reports, in this order.

    `notes` may be read at any time; it is in order of processing. `kafka`: more of its consumer's settings.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        url: str,
        clock: str,
        offset_reset: str,
        kafka: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.notes: list[Note] = []
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": offset_reset,
                "session.timeout.ms": 6000,
                "fetch.wait.max.ms": 50,
                "topic.metadata.refresh.interval.ms": 1000,
                **kafka,
            }
        )
        self._reporter = Reporter(url, clock, group=group, topic=topic)
        self._stop = threading.Event()
        self._trouble: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the group in order. Raises what went wrong in the thread."""
        self._stop.set()
        self._thread.join(_LEAVE_S)
        if self._trouble is not None:
            raise self._trouble

    def reached_ms(self, partition: int) -> int:
        """The highest timestamp processed in a partition; -1 for none."""
        return max((note.timestamp_ms for note in tuple(self.notes) if note.partition == partition), default=-1)

    def partitions(self) -> set[int]:
        """The partitions of which anything was processed."""
        return {note.partition for note in tuple(self.notes)}

    def _run(self) -> None:
        reporter, consumer = self._reporter, self._consumer
        try:
            with reporter:
                consumer.subscribe(
                    [self._topic], on_assign=reporter.on_assign, on_revoke=reporter.on_revoke, on_lost=reporter.on_lost
                )
                while not self._stop.is_set():
                    self._handle([one for one in consumer.consume(500, 0.1) if one.error() is None])
                consumer.close()
        except Exception as trouble:
            self._trouble = trouble

    def _handle(self, messages: list[Message]) -> None:
        if messages:
            now_ms = wall_ms()
            self.notes += [_note(message, now_ms) for message in messages]
            self._consumer.commit(asynchronous=False)
            self._reporter.observe_many(messages)


def _note(message: Message, now_ms: int) -> Note:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return Note(partition, offset, message.timestamp()[1], now_ms, is_heartbeat(message))
