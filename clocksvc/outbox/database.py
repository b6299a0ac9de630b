"""The relay's side of the outbox: reads and removes the changes of one clock (`interfaces.outbox.PendingChanges`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from clocksvc.errors import InvalidValue, OutboxUnavailable
from clocksvc.interfaces.outbox import Change, Oldest
from clocksvc.interfaces.time import Time
from clocksvc.outbox import tables
from clocksvc.redaction import without_password

CONNECT_TIMEOUT_S = 10
_DRIVERS = ("postgresql", "sqlite")


class DatabaseChanges:
    """Implements PendingChanges with SQLAlchemy. Opens at most one connection. Not thread-safe.

    Args:
        dsn: the database's URL in SQLAlchemy's form, such as `postgresql+psycopg://user@host/database`.
        clock: the clock's name.
        time: the clock for the time of a rejection.

    Raises:
        InvalidValue: the URL is not valid, names another kind of database, or its driver is not installed.
    """

    def __init__(self, dsn: str, clock: str, time: Time) -> None:
        url = _parsed(dsn)
        self.name = url.render_as_string(hide_password=True)
        self._clock, self._time = clock, time
        self._engine = _engine(url)

    def check_tables(self) -> None:
        """Check that the database has the tables.

        Raises:
            InvalidValue: a table is missing.
            OutboxUnavailable: the database does not answer.
        """
        with self._transaction() as connection:
            found = inspect(connection)
            missing = [table.name for table in tables.metadata.sorted_tables if not found.has_table(table.name)]
        if missing:
            wanted = f"wanted a database with the outbox's tables; missing: {', '.join(sorted(missing))}"
            raise InvalidValue("--dsn", self.name, wanted)

    def newest(self, limit: int) -> list[Change]:
        with self._transaction() as connection:
            rows = connection.execute(tables.NEWEST, {"clock": self._clock, "limit": limit}).all()
        return [Change(*row) for row in rows]

    def remove(self, changes: Sequence[Change]) -> None:
        rows = [{"of_clock": self._clock, "of_id": one.id, "up_to": one.number} for one in changes]
        with self._transaction() as connection:
            connection.execute(tables.REMOVE, rows)

    def reject(self, change: Change, problem: str) -> None:
        moved = {"at_number": change.number, "problem": problem, "rejected_ms": self._time.now_ms()}
        with self._transaction() as connection:
            connection.execute(tables.REJECT, moved)
            connection.execute(tables.REMOVE_ONE, {"at_number": change.number})

    def oldest(self) -> Oldest | None:
        with self._transaction() as connection:
            row = connection.execute(tables.OLDEST, {"clock": self._clock}).one_or_none()
        return None if row is None else Oldest(*row)

    def count(self) -> int:
        with self._transaction() as connection:
            counted: int = connection.execute(tables.COUNT, {"clock": self._clock}).scalar_one()
        return counted

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            # Also after an error of a statement: after a failover, the old connection may be to a read-only server.
            self._engine.dispose()
            why = without_password(str(getattr(error, "orig", None) or error)).strip()
            raise OutboxUnavailable(f"the database {self.name} can't be used: {why}") from error


def _parsed(dsn: str) -> URL:
    wanted = "wanted a URL such as postgresql+psycopg://user@host/database or sqlite:////var/lib/product.db"
    try:
        url = make_url(dsn)
    except (ArgumentError, ValueError):
        raise InvalidValue("--dsn", without_password(dsn), wanted) from None
    if url.get_backend_name() not in _DRIVERS:
        raise InvalidValue("--dsn", url.render_as_string(hide_password=True), wanted)
    # Otherwise SQLite would create an empty database.
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        raise InvalidValue("--dsn", url.render_as_string(hide_password=True), "wanted a file that exists")
    return url


def _engine(url: URL) -> Engine:
    seconds = "connect_timeout" if url.get_backend_name() == "postgresql" else "timeout"
    arguments = {} if seconds in url.query else {seconds: CONNECT_TIMEOUT_S}
    try:
        return create_engine(url, pool_size=1, max_overflow=0, connect_args=arguments)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        wanted = f"wanted a driver that is installed, such as that of the extra 'postgres' ({error})"
        raise InvalidValue("--dsn", url.render_as_string(hide_password=True), wanted) from None
