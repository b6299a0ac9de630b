"""What happened to a clock, and the checks over it: the notes of consumers and the ticks in the clock's log.

Shares no code with the service: raw Kafka, raw JSON, raw lines.
"""

import itertools
import json
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition


class Note(NamedTuple):
    """One processed record, as its consumer noted it before it reported. `wall_ms` is the consumer's time."""

    partition: int
    offset: int
    timestamp_ms: int
    wall_ms: int
    heartbeat: bool


class TickWithOffset(NamedTuple):
    """One tick of the tick log. `appended_ms` is the broker's time, `wire` the record's JSON."""

    at_ms: int
    previous_ms: int | None
    appended_ms: int
    wire: dict[str, Any]


def parse_ms(text: str) -> int:
    """Milliseconds since the epoch from RFC 3339."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def append_notes(file: str, records: Iterable[Any]) -> None:
    """Append the notes of records that were just processed, of confluent-kafka or aiokafka. See `read_notes`."""
    wall_ms = time.time_ns() // 1_000_000
    lines = []
    for record in records:
        raw = [record.partition, record.offset, record.timestamp, record.headers]
        partition, offset, timestamp, headers = (value() if callable(value) else value for value in raw)
        at_ms = timestamp[1] if isinstance(timestamp, tuple) else timestamp
        heartbeat = any(name == "clocksvc-heartbeat" for name, _ in headers or ())
        lines.append(b"%d %d %d %d %d\n" % (partition, offset, at_ms, wall_ms, heartbeat))
    with Path(file).open("ab", buffering=0) as book:
        book.write(b"".join(lines))


def read_notes(files: Iterable[Path]) -> list[Note]:
    """All notes of consumer processes, by time. A last line that is incomplete is left out: its consumer was killed."""
    notes = []
    for file in files:
        text = file.read_text() if file.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            partition, offset, timestamp_ms, wall_ms, heartbeat = (int(word) for word in line.split())
            notes.append(Note(partition, offset, timestamp_ms, wall_ms, bool(heartbeat)))
    return by_time(notes)


def by_time(notes: Iterable[Note]) -> list[Note]:
    """Notes in the order of processing."""
    return sorted(notes, key=lambda note: note.wall_ms)


LOGS = 16


def partition_of(clock: str) -> int:
    """The partition of a clock in the tick log, as docs/reading-ticks.md describes it."""
    return zlib.crc32(clock.encode()) % LOGS


def read_tick_log(bootstrap: str, topic: str, clock: str) -> list[TickWithOffset]:
    """Every committed tick of a clock, in the order of its log."""
    records = _records(bootstrap, topic, clock)
    return [_parse_tick(wire, appended_ms) for kind, wire, appended_ms in records if kind == b"tick"]


def read_all_ticks(bootstrap: str, topic: str, since_ms: int = 0) -> dict[str, list[TickWithOffset]]:
    """The committed ticks of all clocks since a time of the brokers, by clock, in the order of their logs."""
    ticks: dict[str, list[TickWithOffset]] = defaultdict(list)
    for message in (message for log in range(LOGS) for message in _messages(bootstrap, topic, log, since_ms)):
        if _type(message) == b"tick":
            wire = json.loads(message.value() or b"null")
            ticks[wire["clock"]].append(_parse_tick(wire, message.timestamp()[1]))
    return ticks


def read_controls(bootstrap: str, topic: str, clock: str) -> list[dict[str, Any]]:
    """Every committed control record of a clock that executes requests of operators, in the order of its log.

    Other control records contain a new roster or group.
    """
    return [wire for kind, wire, _ in _records(bootstrap, topic, clock) if kind == b"control" and "requests" in wire]


def read_snapshot_times(bootstrap: str, topic: str, log: int) -> list[int]:
    """The broker's times of the snapshots in a log, in ms. The term of a leader begins with a snapshot."""
    return [message.timestamp()[1] for message in _messages(bootstrap, topic, log) if _type(message) == b"snapshot-end"]


def _records(bootstrap: str, topic: str, clock: str) -> Iterator[tuple[Any, dict[str, Any], int]]:
    """A clock's committed records: type, JSON and the broker's time in ms."""
    for message in _messages(bootstrap, topic, partition_of(clock)):
        if message.key() == clock.encode():
            yield _type(message), json.loads(message.value() or b"null"), message.timestamp()[1]


def _type(message: Message) -> Any:
    return dict(message.headers() or []).get("clocksvc-type")


def _messages(bootstrap: str, topic: str, log: int, since_ms: int = 0) -> Iterator[Message]:
    """The committed records of a log since a time of the brokers, up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "evidence",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    begin = consumer.offsets_for_times([TopicPartition(topic, log, since_ms)], 10.0) if since_ms else None
    consumer.assign(begin or [TopicPartition(topic, log, 0)])
    while True:
        message = consumer.poll(10.0)
        assert message is not None, "the end of the tick log did not come"
        if message.error() is not None:
            break
        yield message
    consumer.close()


def _parse_tick(wire: dict[str, Any], appended_ms: int) -> TickWithOffset:
    at_ms, previous = parse_ms(wire["time"]), wire["previous"]
    assert at_ms == wire["timestamp_seconds"] * 1000
    return TickWithOffset(at_ms, None if previous is None else parse_ms(previous), appended_ms, wire)


def broken_links(ticks: list[TickWithOffset], interval_ms: int | None = None) -> list[str]:
    """What is wrong with a chain of ticks: lost, twice, out of order, or a wrong `previous`. Empty if it is complete.

    Without an interval, each tick must be the smallest multiple of its own interval after the tick before it.
    """
    wrong = []
    for before, tick in itertools.pairwise(ticks):
        own_ms = interval_ms or tick.wire["interval_seconds"] * 1000
        due_ms = before.at_ms + own_ms if interval_ms else before.at_ms - before.at_ms % own_ms + own_ms
        if tick.at_ms != due_ms:
            wrong.append(f"{tick.at_ms} follows {before.at_ms} with an interval of {own_ms} ms, not {due_ms}")
        if tick.previous_ms != before.at_ms:
            wrong.append(f"{tick.at_ms} names {tick.previous_ms} as the previous one, not {before.at_ms}")
    return wrong


def early_ticks(ticks: list[TickWithOffset], notes: list[Note], partitions: int, slack_ms: int) -> list[str]:
    """Ticks that were appended before every partition was processed up to them plus `slack_ms`, by the notes."""
    reached: dict[int, int] = defaultdict(lambda: -1)
    wrong = []
    pending = iter(notes)
    note = next(pending, None)
    for tick in ticks:
        while note is not None and note.wall_ms <= tick.appended_ms:
            reached[note.partition] = max(reached[note.partition], note.timestamp_ms)
            note = next(pending, None)
        behind = [number for number in range(partitions) if reached[number] < tick.at_ms + slack_ms]
        if behind:
            wrong.append(f"tick {tick.at_ms} at {tick.appended_ms} while partitions {behind[:5]} were behind")
    return wrong


def late_first_records(ticks: list[TickWithOffset], notes: list[Note]) -> list[str]:
    """Records that were processed for the first time after a tick above their timestamp."""
    seen: set[tuple[int, int]] = set()
    wrong = []
    given = iter(ticks)
    last, following = 0, next(given, None)
    for note in notes:
        while following is not None and following.appended_ms < note.wall_ms:
            last, following = following.at_ms, next(given, None)
        if (note.partition, note.offset) not in seen and note.timestamp_ms < last:
            wrong.append(f"record {note.partition}:{note.offset} of {note.timestamp_ms} after tick {last}")
        seen.add((note.partition, note.offset))
    return wrong
