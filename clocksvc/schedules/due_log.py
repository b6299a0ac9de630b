"""The records of the topic of due schedules, and what a new owner of a partition learns from them.

A transaction has the records of one or more ticks, and after them the position. So if a transaction was committed only
in part, there are due records behind the newest position. A new owner begins at this position, and passes over the
records whose ids are there.

The records of missed runs are a chain: each has the offset of the one before it, and a position has the offset of the
newest one. So they are found without reading the due records between them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from clocksvc.clock.log_record import TYPE_HEADER
from clocksvc.clock.time_format import parse_timestamp, time_to_wire, to_rfc3339
from clocksvc.errors import UnreadableRecord
from clocksvc.interfaces.due_log import DueLogRecord
from clocksvc.interfaces.schedule_topics import POSITION_KEY
from clocksvc.interfaces.task_queue import (
    CLOCK_HEADER,
    DUE_HEADER,
    ID_HEADER,
    SCHEDULE_HEADER,
    TASK_HEADER,
    TICK_HEADER,
    repeatable_id,
)
from clocksvc.schedules.wheel import Due, DueAtTick, Missed, Reason

PREVIOUS_HEADER = "clocksvc-previous-missed"
MISSED, POSITION, ACCEPTED = "missed", "position", "accepted"
FORMAT = 1
_POSITION_KEY = POSITION_KEY.encode()
_MISSED_TYPE = (TYPE_HEADER, MISSED.encode())


class Position(NamedTuple):
    """Up to which tick everything of a partition was sent.

    Attributes:
        tick_ms: None if the partition had an owner before the clock's first tick: everything due at this tick is sent.
        newest_missed: the offset of the newest record of the type `missed`; None if there was none.
    """

    tick_ms: int | None
    newest_missed: int | None = None


def due_id(clock: str, schedule_id: str, due_ms: int) -> str:
    """Return the id of a due record: a UUID made from clock, schedule and due time."""
    return repeatable_id(clock, schedule_id, due_ms)


def due_record(clock: str, due: Due, tick_ms: int) -> DueLogRecord:
    """Return the record of a schedule that is due. Its value is the payload."""
    headers = [
        (ID_HEADER, due_id(clock, due.key.decode(), due.due_ms).encode()),
        (SCHEDULE_HEADER, due.key),
        (TASK_HEADER, due.task.task.encode()),
        (CLOCK_HEADER, clock.encode()),
        (DUE_HEADER, _time(due.due_ms)),
        (TICK_HEADER, _time(tick_ms)),
    ]
    return DueLogRecord(due.key, due.task.payload, headers)


def missed_record(clock: str, missed: Missed, tick_ms: int) -> DueLogRecord:
    """Return the record of due times that are not sent."""
    schedule_id = missed.key.decode()
    value = {
        "format": FORMAT,
        "schedule": schedule_id,
        "reason": missed.reason.value,
        "runs": missed.runs,
        "first_due": to_rfc3339(missed.first_ms),
        "last_due": to_rfc3339(missed.last_ms),
    }
    headers = {
        TYPE_HEADER: MISSED,
        ID_HEADER: repeatable_id(clock, schedule_id, missed.first_ms, missed.last_ms, missed.reason.value),
        SCHEDULE_HEADER: schedule_id,
        CLOCK_HEADER: clock,
        TICK_HEADER: to_rfc3339(tick_ms),
    }
    return DueLogRecord(missed.key, msgspec.json.encode(value), _encoded(headers))


def rejected_record(clock: str, due: DueLogRecord) -> DueLogRecord:
    """Return the record of a due time whose task a task queue rejects."""
    headers = dict(due.headers)
    due_ms, tick_ms = (parse_timestamp(name, headers[name].decode()) for name in (DUE_HEADER, TICK_HEADER))
    return missed_record(clock, Missed(due_ms, due_ms, due.key, 1, Reason.REJECTED), tick_ms)


def accepted_record(clock: str, due: Sequence[DueLogRecord]) -> DueLogRecord:
    """Return the record of due records that a task queue has accepted, but whose tick has more of them.

    Args:
        due: at least one. The last one is of the latest tick.
    """
    ids = [dict(one.headers)[ID_HEADER].decode() for one in due]
    value = {"format": FORMAT, "clock": clock, "ids": ids}
    headers = [(TYPE_HEADER, ACCEPTED.encode()), (CLOCK_HEADER, clock.encode())]
    tick = (TICK_HEADER, dict(due[-1].headers)[TICK_HEADER])
    return DueLogRecord(due[-1].key, msgspec.json.encode(value), [*headers, tick])


def position_record(clock: str, position: Position) -> DueLogRecord:
    """Return the record that ends a transaction. It is produced once all records before it were acknowledged."""
    tick, newest = time_to_wire(position.tick_ms), position.newest_missed
    value = {"format": FORMAT, "clock": clock, "tick": tick, "newest_missed": newest}
    headers = {TYPE_HEADER: POSITION, CLOCK_HEADER: clock}
    if tick is not None:
        headers[TICK_HEADER] = tick
    return DueLogRecord(_POSITION_KEY, msgspec.json.encode(value), _encoded(headers))


def is_missed(record: DueLogRecord) -> bool:
    """True for the record of due times that are not sent."""
    return record.headers[0] == _MISSED_TYPE


def chained(record: DueLogRecord, previous: int | None) -> DueLogRecord:
    """Return the record of due times that are not sent with the offset of the one before it; None if there is none."""
    if previous is None:
        return record
    return record._replace(headers=[*record.headers, (PREVIOUS_HEADER, str(previous).encode())])


def read_previous(headers: Iterable[tuple[str, bytes | None]]) -> int | None:
    """Return the offset of the missed run before this one; None if this is the first one.

    Raises:
        UnreadableRecord: the header is no offset.
    """
    value = dict(headers).get(PREVIOUS_HEADER)
    if value is None:
        return None
    if not value.isdigit():
        raise UnreadableRecord(f"{PREVIOUS_HEADER}: {value!r} is not valid: wanted an offset")
    return int(value)


def tick_records(clock: str, found: DueAtTick, tick_ms: int) -> Iterator[DueLogRecord]:
    """Yield the records of a tick, without the position: what is due, by due time, and then what was missed."""
    for due in found.due:
        yield due_record(clock, due, tick_ms)
    for missed in found.missed:
        yield missed_record(clock, missed, tick_ms)


def read_missed(key: bytes, value: bytes) -> Missed:
    """Return what a record of the type `missed` says.

    Raises:
        UnreadableRecord: the value is not valid.
    """
    fields = _fields(value)
    try:
        first_ms, last_ms = (parse_timestamp(name, str(fields[name])) for name in ("first_due", "last_due"))
        return Missed(first_ms, last_ms, key, int(fields["runs"]), Reason(fields["reason"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRecord(f"the record of a missed run is not valid: {error}") from None


def read_position(value: bytes) -> Position:
    """Return the position of a record.

    Raises:
        UnreadableRecord: the value is not valid.
    """
    try:
        fields = _fields(value)
        tick, newest = fields["tick"], fields.get("newest_missed")
        tick_ms = None if tick is None else parse_timestamp("tick", str(tick))
        return Position(tick_ms, None if newest is None else int(newest))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRecord(f"the record of a position is not valid: {error}") from None


class DueLogReader:
    """What a new owner learns from a partition, read_committed, after it has fenced the previous owner.

    Read at least from the newest position record to the end. Reading more is harmless.

    Attributes:
        position: the newest one; None if no position was read.
        sent_ids: the ids of the records after it, which are not produced again.
        sent_upto_ms: the newest tick of these records; -1 without one. All earlier ticks are complete, because a
            transaction has the records of its ticks in order.
        newest_missed: the offset of the newest record of the type `missed`; None if there is none.
    """

    def __init__(self) -> None:
        self.position: Position | None = None
        self.sent_ids: set[str] = set()
        self.newest_missed: int | None = None
        self.sent_upto_ms = -1
        self._newest_due: dict[bytes, bytes] = {}

    def read(self, offset: int, value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> None:
        """Read the next record, in the order of offsets.

        Raises:
            UnreadableRecord: this version can't read a position or a list of accepted tasks. The owner must not begin.
        """
        found = dict(headers)
        if found.get(TYPE_HEADER) == POSITION.encode():
            self.position = read_position(value)
            self.newest_missed = self.position.newest_missed
            self.sent_ids.clear()
            self.sent_upto_ms = -1
            return
        if found.get(TYPE_HEADER) == MISSED.encode():
            self.newest_missed = offset
        record_id, tick = found.get(ID_HEADER), found.get(TICK_HEADER)
        ids = [] if record_id is None else [record_id.decode()]
        if found.get(TYPE_HEADER) == ACCEPTED.encode():
            ids = _fields(value)["ids"]
        if not ids or tick is None:
            return
        self.sent_ids.update(ids)
        tick_ms = parse_timestamp(TICK_HEADER, tick.decode())
        if tick_ms > self.sent_upto_ms:
            self.sent_upto_ms = tick_ms
            self._newest_due.clear()
        schedule, due = found.get(SCHEDULE_HEADER), found.get(DUE_HEADER)
        if schedule is not None and due is not None:
            self._newest_due[schedule] = due

    def unsent(self, records: Iterable[DueLogRecord], tick_ms: int) -> Iterator[DueLogRecord]:
        """Yield the records of a tick whose ids were not read.

        If a schedule was changed since, it can have due times before one that was sent at this tick. They are left out:
        the records of each schedule are in the order of due times.
        """
        if tick_ms > self.sent_upto_ms:
            self.sent_ids.clear()
        if not self.sent_ids:
            yield from records
            return
        for one in records:
            found = dict(one.headers)
            if found[ID_HEADER].decode() in self.sent_ids:
                continue
            sent_due, due = self._newest_due.get(one.key), found.get(DUE_HEADER)
            if sent_due is None or due is None or _due_ms(due) > _due_ms(sent_due):
                yield one


def _due_ms(due: bytes) -> int:
    return parse_timestamp(DUE_HEADER, due.decode())


@lru_cache(maxsize=1_024)
def _time(timestamp_ms: int) -> bytes:
    """The records of a tick share few times."""
    return to_rfc3339(timestamp_ms).encode()


def _encoded(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in headers.items()]


def _fields(value: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UnreadableRecord(str(error)) from None
    if fields.get("format") != FORMAT:
        raise UnreadableRecord(f"format: {fields.get('format')!r} is not valid: wanted {FORMAT}")
    return fields
