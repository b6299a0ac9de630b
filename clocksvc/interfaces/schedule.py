"""Schedules: what a dispatcher sends, at which due times, and what happens to missed due times."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from clocksvc.clock.time_format import parse_duration
from clocksvc.errors import InvalidValue


class CatchUp(StrEnum):
    """Which of several missed due times are sent: all in order, or only the last."""

    ALL = "all"
    LAST = "last"


class Recurrence(Protocol):
    """The due times of a schedule, in the clock's time."""

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        """Yield the due times after `after_ms` up to and including `upto_ms`, ascending, in ms since the epoch."""

    def fingerprint(self) -> str:
        """Return a text that identifies the due times. Recurrences with equal fingerprints have the same due times."""


@dataclass(frozen=True, slots=True)
class EachTick:
    """A Recurrence that is due at each tick.

    `due` must be called once for each tick, with the tick as `upto_ms`. It yields only `upto_ms`, because it does not
    know the ticks before it.
    """

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        if upto_ms > after_ms:
            yield upto_ms

    def fingerprint(self) -> str:
        return "each tick"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule of a dispatcher.

    Attributes:
        name: unique within its dispatcher, and not empty.
        max_age_ms: a task is not sent if its due time is longer ago than this by the wall clock; None for no limit.
        task: the name of the task that is sent, by which a dispatcher recognises its app; "" if `name` contains it.
    """

    name: str
    recurrence: Recurrence
    catch_up: CatchUp = CatchUp.ALL
    max_age_ms: int | None = None
    task: str = ""


def parse_catch_up(field: str, catch_up: object, max_age: object) -> tuple[CatchUp, int | None]:
    """Parse the options `catch_up` (`all` or `last`) and `max_age` (a duration such as `1h`, or None).

    Returns:
        The mode, and the age in ms.

    Raises:
        InvalidValue: an option is not valid. Its name in the error is `<field>.catch_up` or `<field>.max_age`.
    """
    if catch_up not in tuple(CatchUp):
        raise InvalidValue(f"{field}.catch_up", catch_up, "wanted 'all' or 'last'")
    try:
        max_age_ms = None if max_age is None else parse_duration(max_age)
    except ValueError as error:
        raise InvalidValue(f"{field}.max_age", max_age, str(error)) from None
    return CatchUp(str(catch_up)), max_age_ms
