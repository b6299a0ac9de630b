"""The behaviour of an outbox in a database: on SQLite and on PostgreSQL."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from clocksvc.errors import InvalidValue, OutboxUnavailable
from clocksvc.interfaces.outbox import Change
from clocksvc.interfaces.time import SystemTime
from clocksvc.outbox import Outbox, metadata
from clocksvc.outbox.database import DatabaseChanges
from clocksvc.outbox.tables import pending, rejected
from clocksvc.testing import ManualTime
from tests.system.docs.blocks import blocks, text_of
from tests.waiting import eventually

HOURLY = {"interval": "3600s", "task": "uptime.check"}
BEGIN_MS = 1_795_348_800_000


class Database:
    """One database with the outbox's tables."""

    def __init__(self, dsn: str, *, create: bool = True) -> None:
        self.dsn, self.time = dsn, ManualTime()
        self.engine: Engine = create_engine(dsn)
        if create:
            metadata.create_all(self.engine)
        self.outbox = Outbox("checkins", time=self.time)
        self.changes = DatabaseChanges(dsn, "checkins", self.time)

    def put(self, schedule_id: str, **fields: Any) -> None:
        """Put a schedule in a transaction of its own."""
        with self.engine.begin() as connection:
            self.outbox.put(connection, schedule_id, {**HOURLY, **fields})

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule in a transaction of its own."""
        with self.engine.begin() as connection:
            self.outbox.delete(connection, schedule_id)

    def waiting(self, limit: int = 100) -> list[tuple[str, Any]]:
        """What the relay reads: the payload of each change, None of a deletion."""
        return [(change.id, payload_of(change)) for change in self.changes.newest(limit)]

    def close(self) -> None:
        """Close all connections."""
        self.changes.close()
        self.engine.dispose()


def payload_of(change: Change) -> Any:
    """The payload of a change; None of a deletion."""
    return None if change.value is None else json.loads(change.value)["payload"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        (tmp_path / "product.db").touch()
        return f"sqlite:///{tmp_path}/product.db"
    found: str = request.getfixturevalue("postgres_dsn")
    return found


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """A database with tables."""
    made = Database(dsn)
    yield made
    made.close()


@pytest.fixture
def on_postgres(postgres_dsn: str) -> Iterator[Database]:
    """PostgreSQL only, for transactions that run at the same time: SQLite has one that writes."""
    made = Database(postgres_dsn)
    yield made
    made.close()


def test_a_schedule_waits_once_its_transaction_is_committed(database: Database) -> None:
    """With all that the record needs."""
    with database.engine.begin() as connection:
        database.outbox.put(connection, "monitor-1", {**HOURLY, "payload": {"url": "https://example.org/ü"}})

    (change,) = database.changes.newest(10)

    assert (change.id, change.created_ms) == ("monitor-1", BEGIN_MS)
    assert json.loads(change.value or "") == {
        "format": 1,
        "created_at": "2026-11-22T12:00:00Z",
        "payload": {"url": "https://example.org/ü"},
        **HOURLY,
    }


def test_a_transaction_that_is_rolled_back_leaves_nothing(database: Database) -> None:
    """Neither the change nor the time of creation."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        database.outbox.put(connection, "monitor-1", HOURLY)
        transaction.rollback()
    database.time.advance(60)
    database.put("monitor-1")

    assert [change.created_ms for change in database.changes.newest(10)] == [BEGIN_MS + 60_000]


def test_an_update_keeps_the_time_of_creation(database: Database) -> None:
    """Also once the first change has been relayed."""
    database.put("monitor-1", payload=1)
    database.changes.remove(database.changes.newest(10))
    database.time.advance(60)
    database.put("monitor-1", payload=2)

    (change,) = database.changes.newest(10)

    assert (change.created_ms, payload_of(change)) == (BEGIN_MS, 2)
    assert json.loads(change.value or "")["created_at"] == "2026-11-22T12:00:00Z"


def test_a_schedule_that_was_deleted_is_created_again(database: Database) -> None:
    """Its time of creation is that of the new one."""
    database.put("monitor-1")
    database.delete("monitor-1")
    database.time.advance(60)
    database.put("monitor-1")

    assert [change.created_ms for change in database.changes.newest(10)] == [BEGIN_MS + 60_000]


def test_only_the_newest_change_of_each_id_is_relayed(database: Database) -> None:
    """Older ones are removed with it. The ids that have waited longest come first."""
    for number in range(3):
        database.put("a", payload=number)
        database.put("b", payload=number)
    database.put("c", payload=0)
    database.delete("a")

    assert database.waiting() == [("b", 2), ("c", 0), ("a", None)]
    assert database.waiting(limit=2) == [("b", 2), ("a", None)]
    assert database.changes.count() == 8

    database.changes.remove(database.changes.newest(2))

    assert database.waiting() == [("c", 0)]
    assert database.changes.count() == 1


def test_a_change_that_was_written_after_the_reading_is_not_removed(database: Database) -> None:
    """It is relayed next."""
    database.put("monitor-1", payload=1)
    read = database.changes.newest(10)
    database.put("monitor-1", payload=2)

    database.changes.remove(read)

    assert database.waiting() == [("monitor-1", 2)]


def test_a_number_is_never_given_again(database: Database) -> None:
    """A relay that was suspended between its commit and the removal removes no newer change."""
    database.put("monitor-1", payload=1)
    read = database.changes.newest(10)
    database.changes.remove(read)
    database.put("monitor-1", payload=2)

    database.changes.remove(read)

    assert database.waiting() == [("monitor-1", 2)]


def test_the_oldest_change(database: Database) -> None:
    """Its number and when it was written."""
    assert database.changes.oldest() is None
    database.put("monitor-1")
    first = database.changes.oldest()
    database.time.advance(60)
    database.put("monitor-1")

    assert first is not None
    assert database.changes.oldest() == first
    assert first.written_ms == BEGIN_MS


def test_a_rejected_change_is_kept_aside(database: Database) -> None:
    """With what is wrong. Older changes of its id, and all others, keep waiting."""
    database.put("monitor-1", payload=1)
    database.put("monitor-1", payload=2)
    database.put("monitor-2", payload=3)
    change = database.changes.newest(10)[0]

    database.changes.reject(change, "wanted another one")

    assert database.waiting() == [("monitor-1", 1), ("monitor-2", 3)]
    with database.engine.connect() as connection:
        (row,) = connection.execute(select(rejected)).all()
    assert (row.number, row.id, row.value, row.problem, row.rejected_ms) == (
        change.number,
        "monitor-1",
        change.value,
        "wanted another one",
        BEGIN_MS,
    )


def test_clocks_share_the_tables(database: Database) -> None:
    """Each relay reads the changes of its own clock; an id is an id of its clock."""
    other = Outbox("bills", time=database.time)
    database.put("monitor-1", payload=1)
    database.time.advance(60)
    with database.engine.begin() as connection:
        other.put(connection, "monitor-1", {**HOURLY, "payload": 2})
    bills = DatabaseChanges(database.dsn, "bills", database.time)

    (change,) = bills.newest(10)
    bills.remove([change])
    bills.close()

    assert (payload_of(change), change.created_ms) == (2, BEGIN_MS + 60_000)
    assert database.waiting() == [("monitor-1", 1)]


def test_an_orm_session_is_a_transaction_too(database: Database) -> None:
    """The change is written in the session's transaction."""
    with Session(database.engine) as session:
        database.outbox.put(session, "monitor-1", {**HOURLY, "payload": 1})
        assert database.waiting() == []
        session.commit()

    assert database.waiting() == [("monitor-1", 1)]


@pytest.mark.servers
def test_asyncio(on_postgres: Database) -> None:
    """With `run_sync`."""

    async def write() -> None:
        engine = create_async_engine(on_postgres.dsn)
        async with engine.begin() as connection:
            await connection.run_sync(on_postgres.outbox.put, "monitor-1", {**HOURLY, "payload": 1})
        await engine.dispose()

    asyncio.run(write())

    assert on_postgres.waiting() == [("monitor-1", 1)]


@pytest.mark.parametrize(
    ("schedule_id", "schedule", "field"),
    [
        ("", HOURLY, "id"),
        ("monitor 1", HOURLY, "id"),
        ("monitor-1", {"interval": "1h"}, "task"),
        ("monitor-1", {**HOURLY, "cron": "0 * * * *"}, "interval"),
        ("monitor-1", {**HOURLY, "created_at": "2026-11-22T12:00:00Z"}, "created_at"),
        ("monitor-1", {**HOURLY, "payload": "x" * 70_000}, "payload"),
        ("monitor-1", {**HOURLY, "interval": "90s"}, "interval"),
    ],
)
def test_a_schedule_that_is_not_valid_fails_in_the_product(
    database: Database, schedule_id: str, schedule: dict[str, Any], field: str
) -> None:
    """In its transaction, where a person sees it. Nothing was written."""
    outbox = Outbox("checkins", interval="60s")
    with database.engine.begin() as connection:
        with pytest.raises(InvalidValue) as raised:
            outbox.put(connection, schedule_id, schedule)
        outbox.put(connection, "monitor-2", {**HOURLY, "payload": 2})

    assert raised.value.field == field
    assert database.waiting() == [("monitor-2", 2)]


def test_a_connection_without_transactions_is_refused(database: Database) -> None:
    """With it, the order of changes would not be that of the commits."""
    with (
        database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(InvalidValue, match="transaction"),
    ):
        database.outbox.put(connection, "monitor-1", HOURLY)


@contextmanager
def in_another_transaction(database: Database, call: Callable[[Connection], None]) -> Iterator[Future[None]]:
    """Call a function in a second transaction, which is committed when the function returns."""

    def run() -> None:
        with database.engine.begin() as connection:
            call(connection)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)


def waits_for_lock(database: Database) -> bool:
    """Whether a transaction waits for another one."""
    with database.engine.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(connection.execute(text(query)).scalar())


def test_changes_of_one_id_wait_for_each_other(on_postgres: Database) -> None:
    """So their numbers have the order of the commits, also for transactions that share no row of the product."""
    with on_postgres.engine.connect() as first, first.begin() as transaction:
        on_postgres.outbox.put(first, "monitor-1", {**HOURLY, "payload": "first"})
        later = {**HOURLY, "payload": "second"}
        with in_another_transaction(
            on_postgres, lambda second: on_postgres.outbox.put(second, "monitor-1", later)
        ) as done:
            eventually(lambda: waits_for_lock(on_postgres))
            assert not done.done()
            transaction.commit()

    assert on_postgres.waiting() == [("monitor-1", "second")]
    with on_postgres.engine.connect() as connection:
        in_order = connection.execute(select(pending.c.value).order_by(pending.c.number)).scalars().all()
    assert [json.loads(value)["payload"] for value in in_order] == ["first", "second"]


@pytest.mark.parametrize("known", [True, False])
def test_a_deletion_locks_the_id_too(on_postgres: Database, *, known: bool) -> None:
    """Also one of an id that does not exist: the schedule that was put last is there in the end."""
    if known:
        on_postgres.put("monitor-1")
    with on_postgres.engine.connect() as first, first.begin() as transaction:
        on_postgres.outbox.delete(first, "monitor-1")
        later = {**HOURLY, "payload": "second"}
        with in_another_transaction(
            on_postgres, lambda second: on_postgres.outbox.put(second, "monitor-1", later)
        ) as done:
            eventually(lambda: waits_for_lock(on_postgres))
            assert not done.done()
            transaction.commit()

    assert on_postgres.waiting() == [("monitor-1", "second")]


def test_changes_of_other_ids_do_not_wait(on_postgres: Database) -> None:
    """A long transaction delays its own schedules only. Those with higher numbers are relayed before them."""
    with on_postgres.engine.connect() as first, first.begin() as transaction:
        on_postgres.outbox.put(first, "monitor-1", {**HOURLY, "payload": 1})
        on_postgres.put("monitor-2", payload=2)

        assert on_postgres.waiting() == [("monitor-2", 2)]
        on_postgres.changes.remove(on_postgres.changes.newest(10))
        transaction.commit()

    assert on_postgres.waiting() == [("monitor-1", 1)]


def test_writers_in_parallel_lose_nothing(on_postgres: Database) -> None:
    """Each id ends with the change that was committed last, also if it is deleted all the time."""
    last: dict[str, Any] = {}
    lock = threading.Lock()

    def write(writer: int) -> None:
        for round_ in range(15):
            schedule_id, payload = f"monitor-{round_ % 3}", f"{writer}-{round_}"
            with on_postgres.engine.connect() as connection, connection.begin() as transaction:
                if round_ % 5 == writer % 5:
                    on_postgres.outbox.delete(connection, schedule_id)
                    payload = ""
                else:
                    on_postgres.outbox.put(connection, schedule_id, {**HOURLY, "payload": payload})
                with lock:
                    transaction.commit()
                    last[schedule_id] = payload or None

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    assert dict(on_postgres.waiting()) == last


def test_missing_tables_are_named(dsn: str) -> None:
    """When the relay starts."""
    changes = DatabaseChanges(dsn, "checkins", SystemTime())
    with pytest.raises(InvalidValue, match="clocksvc_outbox, clocksvc_outbox_ids, clocksvc_outbox_rejected"):
        changes.check_tables()
    changes.close()


def test_existing_tables_are_enough(database: Database) -> None:
    """The relay needs no rights to create any."""
    database.changes.check_tables()


def test_a_database_that_can_not_be_used_is_an_error(database: Database) -> None:
    """Here because its tables are gone. Once they are back, the same object works."""
    metadata.drop_all(database.engine)
    with pytest.raises(OutboxUnavailable, match="clocksvc_outbox"):
        database.changes.newest(10)

    metadata.create_all(database.engine)

    assert database.changes.newest(10) == []


def test_a_server_that_does_not_answer_is_an_error() -> None:
    """Without the password in its text."""
    changes = DatabaseChanges("postgresql+psycopg://shop:swordfish@127.0.0.1:1/shop", "checkins", SystemTime())

    with pytest.raises(OutboxUnavailable) as raised:
        changes.newest(10)

    assert "swordfish" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["", "shop", "mysql://shop@127.0.0.1/shop", "postgresql+nodriver://127.0.0.1/shop", "sqlite:////nowhere/shop.db"],
)
def test_a_url_that_can_not_be_used_is_refused(url: str) -> None:
    """By name. SQLite would create the file otherwise."""
    with pytest.raises(InvalidValue, match="--dsn"):
        DatabaseChanges(url, "checkins", SystemTime())


def test_the_tables(database: Database) -> None:
    """Those of the metadata, with indexes for both of the relay's questions."""
    found = inspect(database.engine)

    assert sorted(found.get_table_names()) == ["clocksvc_outbox", "clocksvc_outbox_ids", "clocksvc_outbox_rejected"]
    assert {index["name"] for index in found.get_indexes("clocksvc_outbox")} == {
        "clocksvc_outbox_by_id",
        "clocksvc_outbox_by_number",
    }


def example(language: str, name: str) -> str:
    """An example of the page about the outbox."""
    (text_of_block,) = [block.text for block in blocks("docs/outbox.md", language) if block.name == name]
    return text_of_block


@pytest.mark.servers
def test_the_documented_product(postgres_dsn: str) -> None:
    """It writes a row and a schedule, and deletes others."""
    page = example("python", "product")
    address = "postgresql+psycopg://shop@db/shop"
    assert address in page
    engine = create_engine(postgres_dsn)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE monitors (id INT PRIMARY KEY, url TEXT)"))

    names: dict[str, Any] = {}
    exec(page.replace(address, postgres_dsn), names)
    names["engine"].dispose()

    with engine.connect() as connection:
        rows = connection.execute(
            select(pending.c.clock, pending.c.id, pending.c.value).order_by(pending.c.number)
        ).all()
        assert connection.execute(text("SELECT id FROM monitors")).scalars().all() == [17]
    engine.dispose()
    put, deleted = rows
    assert (put.clock, put.id, json.loads(put.value)["task"]) == ("checkins", "monitor-17", "uptime.check")
    assert (deleted.id, deleted.value) == ("monitor-18", None)


@pytest.mark.servers
def test_the_documented_tables(on_postgres: Database) -> None:
    """They have the columns, keys and indexes of the metadata."""
    expected = described(on_postgres.engine)
    metadata.drop_all(on_postgres.engine)
    with on_postgres.engine.begin() as connection:
        connection.execute(text(example("sql", "tables")))

    assert described(on_postgres.engine) == expected


def described(engine: Engine) -> list[tuple[str, list[str], list[str]]]:
    """The tables of a database: columns with types, and indexes, as PostgreSQL describes them."""
    columns = (
        "SELECT column_name || ' ' || data_type || ' ' || coalesce(character_maximum_length, 0) || ' ' || is_nullable "
        "|| ' ' || coalesce(identity_generation, '') FROM information_schema.columns WHERE table_name = :table "
        "AND table_schema = 'public' ORDER BY ordinal_position"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = :table ORDER BY indexname"
    with engine.connect() as connection:
        return [
            (
                name,
                list(connection.execute(text(columns), {"table": name}).scalars()),
                list(connection.execute(text(indexes), {"table": name}).scalars()),
            )
            for name in sorted(metadata.tables)
        ]


@pytest.mark.servers
def test_the_documented_statements(on_postgres: Database) -> None:
    """They do what `put` and `delete` do, and lock the id as these do."""
    put, delete = example("sql", "put"), example("sql", "delete")
    with on_postgres.engine.begin() as connection:
        connection.execute(text(put.replace("1795348800000", "1795348800001")))
        connection.execute(text(put))
    (change,) = on_postgres.changes.newest(10)
    assert (change.id, change.created_ms) == ("monitor-17", BEGIN_MS + 1)
    assert json.loads(change.value or "") == {"interval": "5m", "task": "uptime.check"}

    with on_postgres.engine.connect() as first, first.begin() as transaction:
        first.execute(text(delete))
        with in_another_transaction(
            on_postgres, lambda second: on_postgres.outbox.delete(second, "monitor-17")
        ) as done:
            eventually(lambda: waits_for_lock(on_postgres))
            assert not done.done()
            transaction.commit()
    assert on_postgres.waiting() == [("monitor-17", None)]
    on_postgres.put("monitor-17")
    assert [one.created_ms for one in on_postgres.changes.newest(10)] == [BEGIN_MS]


@pytest.mark.servers
def test_the_documented_rights_are_enough(on_postgres: Database) -> None:
    """Those of the product and of the relay. Neither can do what the other does."""
    rows = re.findall(
        r"^\| (the product, in the )?database: `(\w+)` \| ([A-Z, ]+) \|$", text_of("docs/outbox.md"), re.M
    )
    product, relay = (on_postgres.dsn.replace("postgres@", f"{user}@") for user in ("outbox_product", "outbox_relay"))
    with on_postgres.engine.begin() as connection:
        for user in ("outbox_product", "outbox_relay"):
            connection.execute(text(f"CREATE ROLE {user} LOGIN; GRANT USAGE ON SCHEMA public TO {user}"))
        for is_product, table, rights in rows:
            user = "outbox_product" if is_product else "outbox_relay"
            connection.execute(text(f"GRANT {rights} ON {table} TO {user}"))
    writes = Database(product, create=False)
    changes = DatabaseChanges(relay, "checkins", on_postgres.time)
    try:
        writes.put("monitor-1", payload=1)
        writes.put("monitor-2", payload=2)
        writes.delete("monitor-1")
        with pytest.raises(OutboxUnavailable, match="permission denied"):
            writes.changes.newest(10)
        changes.check_tables()
        assert changes.count() == 3
        assert changes.oldest() is not None
        one, other = changes.newest(10)
        changes.remove([one])
        changes.reject(other, "wanted another one")
    finally:
        writes.close()
        changes.close()
        with on_postgres.engine.begin() as connection:
            for user in ("outbox_product", "outbox_relay"):
                connection.execute(text(f"DROP OWNED BY {user}; DROP ROLE {user}"))
