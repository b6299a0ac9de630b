"""The judges' material: what consumers wrote down, what the tick log holds, what an SSE client saw.

Shares no code with the product: raw Kafka, raw JSON, raw lines.
"""

import itertools
import json
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
from confluent_kafka import Consumer, TopicPartition


class Note(NamedTuple):
    """One processed record, as its consumer wrote it down before it reported."""

    partition: int
    offset: int
    timestamp_ms: int
    wall_ms: int
    heartbeat: bool


class TickWithOffset(NamedTuple):
    """One tick as it stands in the tick log. `appended_ms` is the broker's time."""

    at_ms: int
    previous_ms: int | None
    appended_ms: int
    wire: dict[str, Any]


def read_notes(files: Iterable[Path]) -> list[Note]:
    """All notes, in order of time."""
    notes = []
    for file in files:
        for line in file.read_text().splitlines():
            partition, offset, timestamp_ms, wall_ms, heartbeat = (int(word) for word in line.split())
            notes.append(Note(partition, offset, timestamp_ms, wall_ms, bool(heartbeat)))
    return sorted(notes, key=lambda note: note.wall_ms)


def parse_ms(text: str) -> int:
    """Milliseconds since the epoch from RFC 3339."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def read_tick_log(bootstrap: str, topic: str) -> list[TickWithOffset]:
    """Every committed tick of a tick log, in the log's order."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    ticks = []
    while True:
        message = consumer.poll(10.0)
        assert message is not None, "the tick log did not come to its end"
        if message.error() is not None:
            break
        headers = dict(message.headers() or [])
        if headers.get("clocksvc-type") == b"tick":
            wire = json.loads(message.value() or b"")
            previous = wire["previous"]
            at_ms = parse_ms(wire["time"])
            assert at_ms == wire["timestamp_seconds"] * 1000
            ticks.append(
                TickWithOffset(at_ms, None if previous is None else parse_ms(previous), message.timestamp()[1], wire)
            )
    consumer.close()
    return ticks


def broken_links(ticks: list[TickWithOffset], interval_ms: int) -> list[str]:
    """What is wrong with a chain: lost, twice, out of order, or a name that does not fit. Empty when it is whole."""
    wrong = []
    for before, tick in itertools.pairwise(ticks):
        if tick.at_ms != before.at_ms + interval_ms:
            wrong.append(f"{tick.at_ms} stands after {before.at_ms}")
        if tick.previous_ms != before.at_ms:
            wrong.append(f"{tick.at_ms} names {tick.previous_ms}, {before.at_ms} stands before it")
    return wrong


def early_ticks(ticks: list[TickWithOffset], notes: list[Note], partitions: int, slack_ms: int) -> list[str]:
    """Ticks that stand in the log before every partition was processed past them, by the consumers' own notes."""
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
    """Records whose first processing came after a tick above their timestamp."""
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


@dataclass
class Listener:
    """An SSE client that reads raw lines in a thread of its own."""

    url: str
    events: list[tuple[str, str, dict[str, Any] | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join(10)

    def ticks(self) -> list[int]:
        """The ticks seen, in seconds, in order."""
        return [int(id_) for event, id_, _ in self.events if event == "tick"]

    def _listen(self) -> None:
        with httpx2.Client(timeout=20) as client, client.stream("GET", self.url) as response:
            assert response.status_code == 200, response.status_code
            event: dict[str, str] = {}
            for line in response.iter_lines():
                if self._stop.is_set():
                    return
                if line.startswith(":"):
                    continue
                if not line:
                    self._dispatch(event)
                    event = {}
                else:
                    name, _, value = line.partition(":")
                    event[name] = value.removeprefix(" ")

    def _dispatch(self, event: dict[str, str]) -> None:
        if event:
            data = json.loads(event["data"]) if event.get("data") else None
            self.events.append((event.get("event", "message"), event.get("id", ""), data))
