"""An entry: something that is sent by the clock, by a schedule of its own. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from clocksvc.clock.time_format import parse_duration
from clocksvc.errors import InvalidValue


class CatchUp(StrEnum):
    """What becomes of due times that were missed."""

    ALL = "all"
    LAST = "last"


class Schedule(Protocol):
    """When an entry is due, in the clock's time."""

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        """The due times after one moment and not after another, ascending; in ms since the epoch."""

    def words(self) -> str:
        """The schedule in words: the same words, the same due times."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a dispatcher.

    Attributes:
        name: of which each is there once.
        catch_up: of several due times that are sent together, each in order, or only the last.
        max_age_ms: what was due longer ago than this, by the wall clock, is not sent any more; None sends all.
    """

    name: str
    schedule: Schedule
    catch_up: CatchUp = CatchUp.ALL
    max_age_ms: int | None = None


def parse_backlog(field: str, catch_up: object, max_age: object) -> tuple[CatchUp, int | None]:
    """What people write about missed due times: `all` or `last`, and an age such as `1h` or None.

    Raises:
        InvalidValue: names the field as `<field>.catch_up` or `<field>.max_age`.
    """
    if catch_up not in tuple(CatchUp):
        raise InvalidValue(f"{field}.catch_up", catch_up, "wanted 'all' or 'last'")
    try:
        max_age_ms = None if max_age is None else parse_duration(max_age)
    except ValueError as error:
        raise InvalidValue(f"{field}.max_age", max_age, str(error)) from None
    return CatchUp(str(catch_up)), max_age_ms


@dataclass(frozen=True, slots=True)
class EachTick:
    """Due at each tick. Its due times are the ticks themselves, so it is asked about one tick at a time."""

    def due(self, after_ms: int, upto_ms: int) -> Iterator[int]:
        if upto_ms > after_ms:
            yield upto_ms

    def words(self) -> str:
        return "each tick"
