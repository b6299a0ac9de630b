"""Session recordings: what the consumer does with a record, and with a batch. No Kafka here: the tests need none.

A record is a segment of a recording, as JSON:
{"session": "a1", "segment": 3, "events": [{"at_ms": 1, "type": "click"}]}
A segment becomes a compressed file, and a row in an index.
"""

import json
import os
import re
import sqlite3
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")  # it becomes a folder's name
_TABLE = """
CREATE TABLE IF NOT EXISTS segments (session TEXT, segment INT, events INT, clicks INT, bytes INT,
                                     PRIMARY KEY (session, segment));
"""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that is ready to be written."""

    session: str
    number: int
    events: int
    clicks: int
    compressed: bytes


def process(message: Any) -> Segment | None:
    """Decode and compress a record; None for a segment without events, which is not stored.

    An error goes to the dead-letter topic together with the record.
    """
    body = json.loads(message.value())
    session, events = body["session"], body["events"]
    if not _SESSION.fullmatch(session):
        raise ValueError(f"session {session!r}: wanted 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if not events:
        return None
    clicks = sum(event["type"] == "click" for event in events)
    text = json.dumps(events, separators=(",", ":"))
    return Segment(session, int(body["segment"]), len(events), clicks, zlib.compress(text.encode()))


class Storage:
    """Files below `folder/objects`, and the index `folder/index.db`.

    `write` can be called from several threads. It is idempotent, because Kafka can deliver a record again: a file is
    written under the same name, and a row has the same key.
    """

    def __init__(self, folder: Path) -> None:
        self.objects, self._index = folder / "objects", folder / "index.db"
        self.objects.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as index:
            index.executescript(f"PRAGMA journal_mode = WAL; {_TABLE}")

    def write(self, batch: Sequence[Segment]) -> None:
        """Write files, then rows: a row always has its file. Durable when this returns."""
        for one in batch:
            _write_file(self.objects / one.session / f"{one.number}.json.zz", one.compressed)
        rows = [(one.session, one.number, one.events, one.clicks, len(one.compressed)) for one in batch]
        with closing(self._connect()) as index, index:
            index.executemany("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?)", rows)

    def segments(self) -> list[tuple[str, int]]:
        """Return session and number of all stored segments, sorted."""
        with closing(self._connect()) as index:
            return index.execute("SELECT session, segment FROM segments ORDER BY 1, 2").fetchall()

    def events(self, session: str, segment: int) -> Any:
        """Return the events of a stored segment."""
        return json.loads(zlib.decompress((self.objects / session / f"{segment}.json.zz").read_bytes()))

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._index, timeout=30)


def _write_file(path: Path, content: bytes) -> None:
    """Write under another name, then rename: a crash leaves the old file or the new one."""
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(file.name, path)
