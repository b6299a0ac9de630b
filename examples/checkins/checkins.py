"""Monitors, their check-ins, and the check-ins that they missed, in SQLite.

A monitor sends one check-in in each of its periods, such as a backup job each night. The question is which periods have
none. It can be answered for a period only when each check-in of this period has been processed, so `mark_missed` takes
ticks. All writes are idempotent: Kafka can deliver a check-in again, and a tick can be handled again after a crash.

`python checkins.py add SLUG SECONDS` adds a monitor with a period of so many seconds, which begins now.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS monitors (slug TEXT PRIMARY KEY, every_s INT, since_s INT);
CREATE TABLE IF NOT EXISTS checkins (slug TEXT, at_ms INT, status TEXT, PRIMARY KEY (slug, at_ms));
CREATE TABLE IF NOT EXISTS missed (slug TEXT, period_s INT, PRIMARY KEY (slug, period_s));
CREATE TABLE IF NOT EXISTS position (only_one INT PRIMARY KEY CHECK (only_one = 1), tick_s INT);
"""


@dataclass(frozen=True, slots=True)
class CheckIn:
    """A check-in of a monitor. Its time is the timestamp of its record, in ms."""

    slug: str
    at_ms: int
    status: str


def process(message: Any) -> CheckIn:
    """Decode a record: the key is the monitor's slug, the value is JSON: {"status": "ok"}."""
    return CheckIn(message.key().decode(), message.timestamp()[1], str(json.loads(message.value())["status"]))


class Database:
    """The file with all tables. Its methods can be called from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as database:
            database.executescript(f"PRAGMA journal_mode = WAL; {_TABLES}")

    def add_monitor(self, slug: str, every_s: int, since_s: int) -> None:
        """Expect a check-in of `slug` in each period of `every_s` seconds that begins at `since_s` or later."""
        with closing(self._connect()) as database, database:
            database.execute("INSERT OR REPLACE INTO monitors VALUES (?, ?, ?)", (slug, every_s, since_s))

    def store(self, batch: Sequence[CheckIn]) -> None:
        """Store check-ins. Durable when this returns."""
        with closing(self._connect()) as database, database:
            rows = [(one.slug, one.at_ms, one.status) for one in batch]
            database.executemany("INSERT OR IGNORE INTO checkins VALUES (?, ?, ?)", rows)

    def mark_missed(self, tick_s: int) -> None:
        """Mark the periods that ended at this tick without a check-in, and store the tick as the position.

        Args:
            tick_s: the time of the tick, in seconds since the epoch: everything before it has been processed.
        """
        with closing(self._connect()) as database, database:
            database.execute(
                "INSERT OR IGNORE INTO missed SELECT slug, ?1 - every_s FROM monitors "
                "WHERE ?1 % every_s = 0 AND ?1 - every_s >= since_s AND NOT EXISTS (SELECT 1 FROM checkins "
                "WHERE checkins.slug = monitors.slug AND at_ms >= (?1 - every_s) * 1000 AND at_ms < ?1 * 1000)",
                (tick_s,),
            )
            database.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", (tick_s,))

    def position(self) -> int | None:
        """Return the time of the last tick that was handled, in seconds; None before the first one."""
        with closing(self._connect()) as database:
            row = database.execute("SELECT tick_s FROM position").fetchone()
        return None if row is None else row[0]

    def missed(self) -> list[tuple[str, int]]:
        """Return slug and beginning, in seconds, of all missed periods, by time."""
        with closing(self._connect()) as database:
            return database.execute("SELECT slug, period_s FROM missed ORDER BY 2, 1").fetchall()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30)


def opened() -> Database:
    """Open the file that CHECKINS names, else checkins.db."""
    return Database(Path(os.environ.get("CHECKINS", "checkins.db")))


if __name__ == "__main__":
    command, name, period = sys.argv[1:]
    if command != "add":
        sys.exit(f"{command!r}: wanted `add SLUG SECONDS`")
    opened().add_monitor(name, int(period), int(time.time()))
