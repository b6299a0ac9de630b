"""How a record lies in a tick log: key, value and type header. Every keeper stores this; none looks inside."""

from typing import NamedTuple

from clocksvc.clock.log_record import (
    Record,
    decode,
    encode,
)
from clocksvc.errors import UnreadableRecord


class Message(NamedTuple):
    """One record as the log holds it; `type` is the value of the `clocksvc-type` header."""

    key: bytes | None
    value: bytes | None
    type: str | None


def message(record: Record) -> Message:
    """What to write for a record: the key is the clock, so that compaction keeps its last record for ever."""
    return Message(record.clock.encode(), encode(record), record.type)


def read_message(clock: str, found: Message) -> Record:
    """The record of a clock's own tick log.

    Raises:
        UnreadableRecord: a type or format that this version does not read, or another clock's.
    """
    if found.value is None:
        raise UnreadableRecord("the tick log's last record is empty (a tombstone): clocksvc writes none")
    record = decode(found.type or "", found.value)
    if record.clock != clock or found.key != clock.encode():
        raise UnreadableRecord(
            f"the tick log's last record is of clock {record.clock!r} with key {found.key!r}, wanted {clock!r}: "
            f"give each clock a tick log of its own"
        )
    return record
