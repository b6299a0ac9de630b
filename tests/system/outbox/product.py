"""A product that changes its monitors and their schedules: `python -m tests.system.outbox.product DSN CLOCK SEED`.

Several threads, each with transactions of one to three monitors and a new one. Some are rolled back. Every version of a
monitor is in the table `history`, written in the same transaction, so that a judge knows what was committed. SIGTERM
ends it.
"""

import random
import signal
import sys
import threading

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.exc import OperationalError

from clocksvc.outbox import Outbox

MONITORS = 40
THREADS = 3
metadata = MetaData()
monitors = Table(
    "monitors",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("alive", Boolean, nullable=False),
)
history = Table(
    "history",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("alive", Boolean, nullable=False),
)
# The same text on SQLite and PostgreSQL. It locks the row.
_CHANGE = text(
    "INSERT INTO monitors (id, version, alive) VALUES (:id, 1, :alive) "
    "ON CONFLICT (id) DO UPDATE SET version = monitors.version + 1, alive = :alive RETURNING version"
)


def change(connection: Connection, outbox: Outbox, monitor: str, *, alive: bool) -> None:
    """Change a monitor and its schedule. The schedule's payload is the monitor's version."""
    version = connection.execute(_CHANGE, {"id": monitor, "alive": alive}).scalar_one()
    connection.execute(insert(history), {"id": monitor, "version": version, "alive": alive})
    if alive:
        outbox.put(connection, monitor, {"interval": "60s", "task": "uptime.check", "payload": version})
    else:
        outbox.delete(connection, monitor)


def work(engine: Engine, clock: str, rng: random.Random, stopping: threading.Event) -> None:
    """Do transactions until the end."""
    outbox = Outbox(clock, interval="60s")
    while not stopping.wait(rng.expovariate(400)):
        try:
            with engine.connect() as connection, connection.begin() as transaction:
                for number in sorted(rng.sample(range(MONITORS), rng.choice((1, 1, 2, 3)))):
                    change(connection, outbox, f"monitor-{number}", alive=rng.random() < 0.7)
                # It is never changed again: if its only change were lost, no later one would hide this.
                change(connection, outbox, f"once-{rng.getrandbits(64):x}", alive=True)
                if rng.random() < 0.1:
                    transaction.rollback()
        except OperationalError as error:  # SQLite: another process writes for longer than the time-out
            print(error, flush=True)


def versions(engine: Engine) -> dict[str, dict[int, bool]]:
    """For each monitor its committed versions: whether it was alive with this version."""
    found: dict[str, dict[int, bool]] = {}
    with engine.connect() as connection:
        for row in connection.execute(select(history).order_by(history.c.id, history.c.version)):
            found.setdefault(row.id, {})[row.version] = row.alive
    return found


def main(dsn: str, clock: str, seed: str) -> None:
    """Run until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    engine = create_engine(dsn)
    threads = [
        threading.Thread(target=work, args=(engine, clock, random.Random(f"{seed}-{number}"), stopping))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    print("writing", flush=True)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
