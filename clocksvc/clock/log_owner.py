"""Which store leads a log, and whether another store may lead it.

The tick log outlives the store: a store that has lost everything is filled again from the log. Two installations with
the same prefix and the same tick log, but with different stores, must not do that with each other's ticks. Therefore
each log names the store that led it last, with a random id, and this store is marked with the same id. The mark is
lost with the rest of the store. A store without a mark may lead the log if it is known to be the same store: this
process has seen it with the log's id, or its address is the one in the log.

A store that gets its mark because of its address alone gets a new id. If two stores have the same address, as in two
networks, the other store's leaders find an id in the log that is not theirs, and stop. For the same reason, a store
gets a new id if it has the log's id at another address: it was moved with its data, or is a copy of the other store.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from clocksvc.clock.log_record import FORMAT, Message
from clocksvc.errors import StoreMismatch

OWNER = "installation"
_KEY = b"_installation"
ADOPT = "clocksvc init --adopt-tick-log"
"""The command with which an operator confirms that an empty store has replaced the log's store."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What identifies an installation.

    Attributes:
        prefix: the prefix of the keys in its store.
        store: the address of its store, without credentials. It has the machine's name if it is an address that means
            another server on another machine.
    """

    prefix: str
    store: str


@dataclass(frozen=True, slots=True)
class LogOwner:
    """The installation that led a log last, and the id of the store that it used."""

    installation: Installation
    store_id: str

    def message(self) -> Message:
        """Return the record that names the owner of a log."""
        body = {
            "format": FORMAT,
            "prefix": self.installation.prefix,
            "store": self.installation.store,
            "store_id": self.store_id,
        }
        return Message(_KEY, json.dumps(body).encode(), OWNER)


@dataclass(frozen=True, slots=True)
class StoreMark:
    """What a store remembers of a log.

    Attributes:
        store_id: the id of this store, which its leaders write to the log.
        adopts: the id of the store that it replaces, as an operator has confirmed; None unless no leader has led the
            log with this store yet.
    """

    store_id: str
    adopts: str | None = None


def read_owner(message: Message) -> LogOwner | None:
    """Return the owner that a record names; None if it is a record of another type."""
    if message.type != OWNER:
        return None
    try:
        body = json.loads(message.value or b"")
        prefix, store, store_id = body["prefix"], body["store"], body["store_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not all(isinstance(text, str) for text in (prefix, store, store_id)):
        return None
    return LogOwner(Installation(prefix, store), store_id)


def confirm_store(
    log: int,
    own: Installation,
    mark: StoreMark | None,
    owner: LogOwner | None,
    seen: Collection[str] = (),
    leads: Collection[int] = (),
) -> str | None:
    """Return the id with which an installation's store may lead a log; None if the store needs a new id.

    Args:
        log: the number of the log, for the error's text.
        mark: the store's mark of this log.
        owner: the owner that the log names.
        seen: the ids with which this process has seen the store marked.
        leads: other logs of the tick log that this store leads, as far as they are known, for the error's text.

    Raises:
        StoreMismatch: another store leads the log, or may lead it.
    """
    if owner is None:
        return None if mark is None else mark.store_id
    if owner.installation.prefix != own.prefix:
        raise StoreMismatch(
            f"log {log} of the tick log belongs to the installation {owner.installation.prefix!r} (its redis.prefix), "
            f"not to {own.prefix!r}: give this installation its own tick_log.topic"
        )
    if mark is not None and owner.store_id == mark.store_id and owner.installation.store != own.store:
        return None  # the store was moved with its data, or is a copy
    if mark is not None and owner.store_id in (mark.store_id, mark.adopts):
        return mark.store_id
    if owner.store_id in seen:
        return owner.store_id  # the store is empty, or went back to an older state
    if mark is not None:
        raise StoreMismatch(
            f"log {log} of the tick log was led last by another installation with redis.prefix {own.prefix!r} and "
            f"{_other_store(owner, own)}, not with the Redis here, {own.store}: give each installation its own "
            "redis.prefix and tick_log.topic (runbook, ClocksvcStoreMismatch)"
        )
    if owner.installation.store != own.store:
        raise StoreMismatch(
            f"log {log} of the tick log belongs to redis.prefix {own.prefix!r} with the Redis "
            f"{owner.installation.store}, and the Redis here, {own.store}, has no mark of log {log}: "
            + (_led(leads) if leads else _UNMARKED)
        )
    return None


_UNMARKED = (
    "most likely the log is another installation's, so give this one its own redis.prefix and tick_log.topic. Only if "
    f"this Redis was empty when it replaced that one, run {ADOPT}"
)


def _led(leads: Collection[int]) -> str:
    return (
        f"the log is another installation's, because this Redis leads other logs of the tick log ({name_logs(leads)}). "
        "Give this installation its own redis.prefix and tick_log.topic (runbook, ClocksvcStoreMismatch)"
    )


def leading_logs(marks: Mapping[int, StoreMark | None], owners: Mapping[int, LogOwner | None]) -> list[int]:
    """Return the logs that a store leads: it is marked with the id of their owner."""
    return [
        log
        for log, mark in sorted(marks.items())
        if mark is not None and (owner := owners.get(log)) is not None and owner.store_id == mark.store_id
    ]


def name_logs(logs: Collection[int]) -> str:
    """Return the numbers of some logs as text."""
    return ", ".join(str(log) for log in sorted(logs))


def _other_store(owner: LogOwner, own: Installation) -> str:
    if owner.installation.store == own.store:
        return "another Redis of the same address"
    return f"another Redis, {owner.installation.store}"
