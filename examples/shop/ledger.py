"""The shop's ledger, an SQLite file: check-ins, missed check-ins and bills.

Kafka and Celery deliver at least once, so all writes are idempotent: each row has a primary key.
`python ledger.py` prints the ledger.
"""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

_TABLES = """
CREATE TABLE IF NOT EXISTS checkins (partition INT, offset INT, at_ms INT, till TEXT, cents INT,
                                     PRIMARY KEY (partition, offset));
CREATE INDEX IF NOT EXISTS by_time ON checkins (at_ms);
CREATE TABLE IF NOT EXISTS missed (minute_ms INT, till TEXT, PRIMARY KEY (minute_ms, till));
CREATE TABLE IF NOT EXISTS bills (night_ms INT, till TEXT, cents INT, PRIMARY KEY (night_ms, till));
"""
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def opened() -> sqlite3.Connection:
    """Open the ledger: the file named by SHOP_LEDGER, else shop.db."""
    ledger = sqlite3.connect(os.environ.get("SHOP_LEDGER", "shop.db"), timeout=30)
    ledger.executescript(_TABLES)
    return ledger


def check_in(ledger: sqlite3.Connection, rows: Iterable[tuple[int, int, int, str, int]]) -> None:
    """Store check-ins: rows of (partition, offset, at_ms, till, cents). Durable when this returns."""
    with ledger:
        ledger.executemany("INSERT OR IGNORE INTO checkins VALUES (?, ?, ?, ?, ?)", rows)


def mark_missed(begin_ms: int, end_ms: int) -> None:
    """Store the tills that checked in during the hour before `begin_ms`, and not from `begin_ms` to `end_ms`."""
    with closing(opened()) as ledger, ledger:
        ledger.execute(
            "INSERT OR IGNORE INTO missed SELECT ?1, till FROM checkins WHERE at_ms >= ?1 - ?3 AND at_ms < ?1 EXCEPT "
            "SELECT ?1, till FROM checkins WHERE at_ms >= ?1 AND at_ms < ?2",
            (begin_ms, end_ms, HOUR_MS),
        )


def bill(night_ms: int) -> None:
    """Store each till's takings of the 24 hours before."""
    with closing(opened()) as ledger, ledger:
        ledger.execute(
            "INSERT OR IGNORE INTO bills "
            "SELECT ?1, till, sum(cents) FROM checkins WHERE at_ms >= ?1 - ?2 AND at_ms < ?1 GROUP BY till",
            (night_ms, DAY_MS),
        )


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


if __name__ == "__main__":
    with closing(opened()) as book:
        for minute_ms, till in book.execute("SELECT * FROM missed ORDER BY 1, 2"):
            print(f"missed {_time(minute_ms)} {till}")
        for night_ms, till, cents in book.execute("SELECT * FROM bills ORDER BY 1, 2"):
            print(f"bill {_time(night_ms)} {till} {cents / 100:.2f}")
