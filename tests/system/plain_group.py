"""Consumer groups that know nothing of clocksvc: a record is handled, its output is acknowledged, and it is committed.

They note what they have handled before they commit it. So a test can judge ticks without the service's own data.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from confluent_kafka import Consumer, KafkaException, Message, Producer

from tests.system.evidence import TickWithOffset
from tests.system.installation import wall_ms

_LEAVE_S = 30.0


class Handled(NamedTuple):
    """A record of the first topic of a pipeline that a stage has handled.

    Attributes:
        origin: identifies it: its partition and offset in the first topic.
        timestamp_ms: its timestamp there.
        wall_ms: when the stage had handled it, before the commit.
    """

    origin: str
    timestamp_ms: int
    wall_ms: int


class PlainGroup:
    """A member of a plain consumer group, in a thread. A context manager: it leaves the group at the end of the block.

    Args:
        output: the topic to which it writes one record for each input; None for the last stage.
        outputs: the number of partitions of that topic.

    Attributes:
        handled: in the order of handling. May be read at any time.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        *,
        first: bool,
        output: str | None = None,
        outputs: int = 1,
    ) -> None:
        self.handled: list[Handled] = []
        self._topic, self._first, self._output, self._outputs = topic, first, output, outputs
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "fetch.wait.max.ms": 50,
                "topic.metadata.refresh.interval.ms": 1000,
                "isolation.level": "read_committed",
            }
        )
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_LEAVE_S)
        if self._error is not None:
            raise self._error

    def first_times(self) -> dict[str, int]:
        """When each record was handled for the first time, by its origin."""
        found: dict[str, int] = {}
        for one in tuple(self.handled):
            found.setdefault(one.origin, one.wall_ms)
        return found

    def timestamps(self) -> dict[str, int]:
        """The timestamp of each record in the first topic, by its origin."""
        return {one.origin: one.timestamp_ms for one in tuple(self.handled)}

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._topic])
            while not self._stop.is_set():
                messages = [message for message in self._consumer.consume(500, 0.1) if message.error() is None]
                if messages:
                    self._handle(messages)
            self._consumer.close()
        except BaseException as error:
            self._error = error

    def _handle(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if self._output is not None:
                origin, timestamp_ms = self._origin(message)
                partition = (message.partition() or 0) % self._outputs
                value = f"{origin} {timestamp_ms}".encode()
                self._producer.produce(self._output, value, partition=partition)
                self._producer.poll(0)
        if self._producer.flush(_LEAVE_S):
            return  # the broker is away: nothing is committed
        now_ms = wall_ms()
        self.handled += [Handled(*self._origin(message), now_ms) for message in messages]
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException:  # the broker is away, or the partitions were revoked
            return

    def _origin(self, message: Message) -> tuple[str, int]:
        if self._first:
            return f"{message.partition()}:{message.offset()}", message.timestamp()[1]
        origin, _, timestamp_ms = (message.value() or b"").decode().partition(" ")
        return origin, int(timestamp_ms)


def early(
    ticks: Iterable[TickWithOffset], timestamps: Mapping[str, int], handled_ms: Mapping[str, int]
) -> list[tuple[int, str]]:
    """The ticks that were appended before a record with an earlier timestamp was handled, with that record.

    Args:
        timestamps: of all records of the first topic, by their origins.
        handled_ms: when the clock's group had handled them; absent for never.
    """
    found, by_time = [], sorted(timestamps.items(), key=lambda item: item[1])
    latest_ms, latest, records = 0, "", iter(by_time)
    ahead = next(records, None)
    for tick in sorted(ticks):
        while ahead is not None and ahead[1] < tick.at_ms:
            at_ms = handled_ms.get(ahead[0], 10**15)
            if at_ms > latest_ms:
                latest_ms, latest = at_ms, ahead[0]
            ahead = next(records, None)
        if latest_ms > tick.appended_ms:
            found.append((tick.at_ms, latest))
    return found
