"""The tables of the outbox, and the SQL for both of their users: the product and the relay.

`clocksvc_outbox` has the changes that wait. `clocksvc_outbox_ids` has a row for each id that exists. The transaction
that writes a change locks the id's row first, and only then takes the change's number. So changes of one id have
numbers in the order of their commits, although those of different ids may not. `clocksvc_outbox_rejected` has changes
that can't be relayed.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Executable,
    Identity,
    Index,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from clocksvc.errors import InvalidValue

metadata = MetaData()
"""The tables, for `metadata.create_all(engine)` and for `target_metadata` of Alembic."""

_NUMBER = BigInteger().with_variant(Integer, "sqlite")  # the only type that SQLite numbers by itself

_CLOCK, _ID = String(63), String(64)

pending = Table(
    "clocksvc_outbox",
    metadata,
    Column("number", _NUMBER, Identity(), primary_key=True),
    Column("clock", _CLOCK, nullable=False),
    Column("id", _ID, nullable=False),
    Column("value", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("written_ms", BigInteger, nullable=False),
    Index("clocksvc_outbox_by_number", "clock", "number"),
    Index("clocksvc_outbox_by_id", "clock", "id", "number"),
    # Otherwise SQLite reuses the numbers of removed rows, and a relay that was suspended could remove a new row.
    sqlite_autoincrement=True,
)

ids = Table(
    "clocksvc_outbox_ids",
    metadata,
    Column("clock", _CLOCK, primary_key=True),
    Column("id", _ID, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
)

rejected = Table(
    "clocksvc_outbox_rejected",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("clock", _CLOCK, nullable=False),
    Column("id", _ID, nullable=False),
    Column("value", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("written_ms", BigInteger, nullable=False),
    Column("problem", Text, nullable=False),
    Column("rejected_ms", BigInteger, nullable=False),
)


def lock_id(connection: Connection, clock: str, schedule_id: str, now_ms: int) -> int:
    """Lock an id until the end of the transaction, and return when it was first written: `now_ms` if it is new.

    The update changes nothing. It locks the row, which an insert that does nothing would not.
    """
    statement = _LOCKS.get(connection.dialect.name)
    if statement is None:
        known = " or ".join(_LOCKS)
        raise InvalidValue("connection", connection.dialect.name, f"wanted a connection to {known}")
    row = {"clock": clock, "id": schedule_id, "created_ms": now_ms}
    created_ms: int = connection.execute(statement, row).scalar_one()
    return created_ms


def _lock(dialect: Any) -> Executable:
    new: Any = dialect.insert(ids)
    unchanged = {"created_ms": ids.c.created_ms}
    statement: Executable = new.on_conflict_do_update(index_elements=[ids.c.clock, ids.c.id], set_=unchanged).returning(
        ids.c.created_ms
    )
    return statement


_LOCKS = {"postgresql": _lock(postgresql), "sqlite": _lock(sqlite)}

ADD: Insert = insert(pending).inline()
"""Without RETURNING, which would require the right to read the table."""

FORGET_ID = delete(ids).where(ids.c.clock == bindparam("clock"), ids.c.id == bindparam("id"))


def _newest() -> Executable:
    waiting_longest = (
        select(pending.c.id)
        .where(pending.c.clock == bindparam("clock"))
        .order_by(pending.c.number)
        .limit(bindparam("limit"))
        .subquery()
    )
    numbers = (
        select(func.max(pending.c.number))
        .where(pending.c.clock == bindparam("clock"), pending.c.id.in_(select(waiting_longest.c.id)))
        .group_by(pending.c.id)
    )
    columns = (pending.c.number, pending.c.id, pending.c.value, pending.c.created_ms)
    return select(*columns).where(pending.c.number.in_(numbers)).order_by(pending.c.number)


NEWEST = _newest()
"""The newest change of each of the ids of the first `limit` rows of a clock."""

REMOVE = delete(pending).where(
    and_(
        pending.c.clock == bindparam("of_clock"),
        pending.c.id == bindparam("of_id"),
        pending.c.number <= bindparam("up_to"),
    )
)

_MOVED = [column.name for column in pending.columns]
REJECT = insert(rejected).from_select(
    [*_MOVED, "problem", "rejected_ms"],
    select(*pending.columns, bindparam("problem"), bindparam("rejected_ms")).where(
        pending.c.number == bindparam("at_number")
    ),
)
REMOVE_ONE = delete(pending).where(pending.c.number == bindparam("at_number"))

OLDEST = (
    select(pending.c.number, pending.c.written_ms)
    .where(pending.c.clock == bindparam("clock"))
    .order_by(pending.c.number)
    .limit(1)
)
COUNT = select(func.count()).where(pending.c.clock == bindparam("clock"))
