"""What consumers with a buffer did with the records of a topic, judged by the contents of their sink.

Shares no code with the consumers: raw Kafka, the sink's own files, the committed offsets as Kafka answers them.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tests.system.buffered_consumer import dead_letter_topic, is_dropped
from tests.system.evidence import Note, TickWithOffset
from tests.system.installation import wall_ms

HEARTBEAT_HEADER = "clocksvc-heartbeat"
_LOOK_EVERY_S = 0.3
_NEVER = 1 << 62
_SHOWN = 10
SINK_COUNTS = (
    "in_topics",
    "with_an_effect",
    "effects_repeated",
    "dead_letters",
    "committed_offsets_compared",
    "without_an_effect",
    "ticks_before_an_effect",
    "commits_beyond_a_gap",
)


class Look(NamedTuple):
    """The committed offsets by partition, as Kafka answered them before `wall_ms`."""

    wall_ms: int
    offsets: Mapping[int, int]


class CommitObserver:
    """Reads the committed offsets of a group until closed.

    Attributes:
        looks: what was read, in order.
    """

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        self.looks: list[Look] = []
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
        numbers = self._consumer.list_topics(topic, 10.0).topics[topic].partitions
        self._partitions = [TopicPartition(topic, number) for number in numbers]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and look once more."""
        self._stop.set()
        self._thread.join(30)
        self._look()
        self._consumer.close()

    def at_end(self) -> bool:
        """Whether the newest look has the end of each partition."""
        ends = {one.partition: self._consumer.get_watermark_offsets(one, 10.0)[1] for one in self._partitions}
        offsets = self.looks[-1].offsets
        return all(offsets.get(number, 0) == end for number, end in ends.items())

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY_S):
            self._look()

    def _look(self) -> None:
        with suppress(KafkaException):  # a broker that restarts
            found = self._consumer.committed(self._partitions, 10.0)
            self.looks.append(Look(wall_ms(), {one.partition: one.offset for one in found if one.offset >= 0}))


class TopicRecord(NamedTuple):
    """A record as it is in the topic."""

    partition: int
    offset: int
    timestamp_ms: int
    heartbeat: bool


@dataclass
class SinkFindings:
    """What was wrong, and by how much it was judged.

    Attributes:
        records: how many records the topic has.
        looks: how many offsets were compared with the sink.
        effects, repeated: how many records are in the sink, and how many more than once.
        letters: how many records are in the dead-letter topic.
        missing: records without an effect.
        early: ticks before the effect of a record that they promise.
        beyond: commits above a record without an effect.
    """

    records: int = 0
    looks: int = 0
    effects: int = 0
    repeated: int = 0
    letters: int = 0
    missing: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """Everything that was wrong."""
        return [*self.missing, *self.early, *self.beyond]

    def counts(self) -> dict[str, int]:
        """What was judged, and how much was wrong, by the names in `SINK_COUNTS`."""
        judged = (self.records, self.effects, self.repeated, self.letters, self.looks)
        wrong = (len(self.missing), len(self.early), len(self.beyond))
        return dict(zip(SINK_COUNTS, (*judged, *wrong), strict=True))

    def describe(self, topic: str) -> list[str]:
        """The counts, and the first errors."""
        counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in self.counts().items())
        return [f"sink of topic {topic}: {counts}", *(f"  {topic}: {text}" for text in self.wrong()[:_SHOWN])]


def read_topic(bootstrap: str, topic: str) -> list[TopicRecord]:
    """All records of a topic."""
    return [
        TopicRecord(
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            HEARTBEAT_HEADER in dict(message.headers() or []),
        )
        for message in _messages(bootstrap, topic)
    ]


def read_letters(bootstrap: str, topic: str) -> list[Note]:
    """The records in the dead-letter topic of a topic, with the time when the broker appended them."""
    notes = []
    for message in _messages(bootstrap, dead_letter_topic(topic)):
        headers: dict[str, Any] = dict(message.headers() or [])
        assert headers["__streams.errors.topic"] == topic.encode()
        partition, offset = (int(headers[f"__streams.errors.{name}"]) for name in ("partition", "offset"))
        notes.append(Note(partition, offset, 0, message.timestamp()[1], False))
    return notes


def judge_sink(
    records: Sequence[TopicRecord],
    effects: Iterable[Note],
    letters: Iterable[Note],
    ticks: Sequence[TickWithOffset],
    looks: Sequence[Look],
) -> SinkFindings:
    """Judge the sink.

    Args:
        records: all records of the topic; nothing is written to it any more.
        effects: the contents of the sink.
        letters: the dead letters.
        ticks: the clock's log.
        looks: the committed offsets during the run.
    """
    found = SinkFindings(records=len(records))
    done_ms: dict[tuple[int, int], int] = {}
    for note in effects:
        key = (note.partition, note.offset)
        found.effects += key not in done_ms
        found.repeated += key in done_ms
        done_ms[key] = min(note.wall_ms, done_ms.get(key, _NEVER))
    for note in letters:
        key = (note.partition, note.offset)
        found.letters += key not in done_ms
        done_ms[key] = min(note.wall_ms, done_ms.get(key, _NEVER))
    partitions = {number: _Partition() for number in {record.partition for record in records}}
    for record in sorted(records):
        needs_effect = not (record.heartbeat or is_dropped(record.offset))
        at_ms = done_ms.get((record.partition, record.offset), _NEVER) if needs_effect else 0
        if at_ms == _NEVER:
            found.missing.append(f"record {record.partition}:{record.offset} has no effect")
        partitions[record.partition].add(record, at_ms)
    for tick in ticks:
        for number, partition in partitions.items():
            passed_ms = partition.passed_ms(tick.at_ms)
            if passed_ms > tick.appended_ms:
                found.early.append(f"tick {tick.at_ms} at {tick.appended_ms}: partition {number} passed at {passed_ms}")
    for look in looks:
        for number, offset in look.offsets.items():
            found.looks += 1
            complete_ms = partitions[number].complete_ms(offset)
            if complete_ms > look.wall_ms:
                found.beyond.append(f"partition {number}: {offset} committed at {look.wall_ms}, done at {complete_ms}")
    return found


class _Partition:
    """When the records of one partition were done, each with all before it."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._timestamps: list[int] = []
        self._done_ms: list[int] = []
        self._next = 0

    def add(self, record: TopicRecord, at_ms: int) -> None:
        self._offsets.append(record.offset)
        self._timestamps.append(max([record.timestamp_ms, *self._timestamps[-1:]]))
        self._done_ms.append(max([at_ms, *self._done_ms[-1:]]))

    def passed_ms(self, time_ms: int) -> int:
        """When the first record with this timestamp or a later one was done. Call this with ascending times."""
        while self._next < len(self._timestamps) and self._timestamps[self._next] < time_ms:
            self._next += 1
        return _NEVER if self._next == len(self._timestamps) else self._done_ms[self._next]

    def complete_ms(self, offset: int) -> int:
        """When all records below an offset were done."""
        below = bisect_left(self._offsets, offset)
        return self._done_ms[below - 1] if below else 0


def _messages(bootstrap: str, topic: str) -> list[Message]:
    """All records of a topic, up to the ends of its partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "evidence",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    numbers = consumer.list_topics(topic, 10.0).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    left, found = len(numbers), []
    while left:
        messages = consumer.consume(10_000, 10.0)
        assert messages, "the end of the topic did not come"
        left -= sum(message.error() is not None for message in messages)
        found += [message for message in messages if message.error() is None]
    consumer.close()
    return found
