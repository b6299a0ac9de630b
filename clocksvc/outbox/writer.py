"""The product's side of the outbox: changes of schedules, written in the product's own transactions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from clocksvc.clock.spec import check_clock_name
from clocksvc.clock.time_format import parse_whole_seconds
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.outbox.tables import ADD, FORGET_ID, lock_id
from clocksvc.schedules.schedule import Schedule, parse_schedule

_SECOND_MS = 1000


class Outbox:
    """The outbox of one clock. It has no connection and no state, so threads and processes can share it.

    Each method needs the connection or the session of the product's transaction. The change is relayed once this
    transaction is committed, and never if it is rolled back. Until then, other transactions that change the same
    schedule wait. Transactions that change several schedules should do it in the order of the ids, as with all rows:
    otherwise two of them can wait for each other, and the database ends one of them.

    With asyncio: `await connection.run_sync(outbox.put, "monitor-17", schedule)`.

    Args:
        clock: the clock's name.
        interval: the clock's interval, such as `60s`. With it, `put` also raises an error for an interval that is no
            multiple of it. Without it, only the relay finds such a schedule.
        time: the clock for `created_at`.
    """

    def __init__(self, clock: str, *, interval: str | int | None = None, time: Time | None = None) -> None:
        check_clock_name("clock", clock)
        self._clock = clock
        self._interval_ms = _SECOND_MS if interval is None else _interval_ms(interval)
        self._time = time or SystemTime()

    def put(self, connection: Connection | Session, schedule_id: str, schedule: Mapping[str, Any]) -> None:
        """Create or replace a schedule.

        `created_at` is the time of the first `put` of this id, or of the first one after a `delete`.

        Args:
            schedule: as in docs/schedule.schema.json, without `created_at`: `task`, `interval` or `cron`, and more.

        Raises:
            InvalidValue: the id or a field is not valid, or the connection commits each statement. Nothing was written.
            sqlalchemy.exc.SQLAlchemyError: as every statement of the connection.
        """
        parse_id(schedule_id)
        if schedule.get("created_at") is not None:
            raise InvalidValue("created_at", schedule["created_at"], "wanted no such field: the outbox sets it")
        now_ms = self._time.now_ms()
        self._add(_connection(connection), schedule_id, parse_schedule(schedule, self._interval_ms, now_ms), now_ms)

    def delete(self, connection: Connection | Session, schedule_id: str) -> None:
        """Delete a schedule. It is no error if it does not exist.

        Raises:
            InvalidValue: the id is not valid, or the connection commits each statement. Nothing was written.
            sqlalchemy.exc.SQLAlchemyError: as every statement of the connection.
        """
        parse_id(schedule_id)
        opened = _connection(connection)
        # Also if there is no such id: the row locks it against a `put` in another transaction.
        self._add(opened, schedule_id, None, self._time.now_ms())
        opened.execute(FORGET_ID, {"clock": self._clock, "id": schedule_id})

    def _add(self, connection: Connection, schedule_id: str, schedule: Schedule | None, now_ms: int) -> None:
        created_ms = lock_id(connection, self._clock, schedule_id, now_ms)
        value = None if schedule is None else replace(schedule, created_ms=created_ms).encode().decode()
        row = {
            "clock": self._clock,
            "id": schedule_id,
            "value": value,
            "created_ms": created_ms,
            "written_ms": now_ms,
        }
        connection.execute(ADD, row)


def _interval_ms(interval: str | int) -> int:
    try:
        return parse_whole_seconds(interval)
    except ValueError as error:
        raise InvalidValue("interval", interval, str(error)) from None


def _connection(given: Connection | Session) -> Connection:
    connection = given.connection() if isinstance(given, Session) else given
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise InvalidValue("connection", "AUTOCOMMIT", "wanted the connection of a transaction")
    return connection
