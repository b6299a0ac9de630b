"""The list of clocks: which clocks are listed, in which order, and where the next page begins.

An order depends only on the clocks' states, and not on the time of the request. A clock whose state does not change
keeps its place, so no page skips it.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter

from clocksvc.clock.holds import Reason, Status
from clocksvc.clock.spec import ClockSpec, check_clock_name
from clocksvc.errors import InvalidValue
from clocksvc.service.public_state import PublicState

_WANTED_CURSOR = "wanted the value of `next` in the previous page, which was requested with the same order"
_GROUPS: Mapping[str, int] = {Status.HOLDING: 0, Status.CATCHING_UP: 2, Status.PAUSED: 4}
_WAITING, _UNSENT, _OTHERS, _INCOMPLETE, _RUNNING = 1, 3, 5, 6, 7
_CURSOR = re.compile(r"([0-9]):([0-9]{1,15}):([^:]*)")
_Place = tuple[int, int, str]


class Order(StrEnum):
    """The orders of a list. `worst` begins with the clocks that have held longest. Then come those that hold only
    because they wait for an upstream clock; those that catch up, the furthest behind first; clocks whose schedules are
    not sent; paused clocks; those that are rebuilt or start; those with excluded partitions or rejected reports; and at
    the end all others by name, because how far they are behind changes with each tick."""

    NAME = "name"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class ClockQuery:
    """Which clocks a page lists.

    Attributes:
        after: the place of the last clock on the previous page; None for the first page.
        statuses: list only clocks with these statuses; None for all.
    """

    order: Order = Order.NAME
    after: _Place | None = None
    statuses: Collection[Status] | None = None

    def select(self, states: Iterable[PublicState]) -> list[PublicState]:
        """Return the clocks of this page and of all further pages, in order."""
        wanted = (state for state in states if self.statuses is None or state.status in self.statuses)
        placed = sorted(((place_of(state, self.order), state) for state in wanted), key=itemgetter(0))
        return [state for place, state in placed if self.after is None or place > self.after]


def is_found(spec: ClockSpec, search: str) -> bool:
    """Return whether the clock's name, its group or one of its topics contains a text, in small or capital letters."""
    return any(search.lower() in text.lower() for text in (spec.name, spec.group, *spec.topics))


def place_of(state: PublicState, order: Order) -> _Place:
    """Return a clock's sort key in an order."""
    if order is Order.NAME:
        return 0, 0, state.clock
    group = _group_of(state)
    if group == _RUNNING:
        return group, 0, state.clock
    reached_ms = 0 if state.last_tick is None else state.last_tick.at_ms
    since_ms = (state.hold_since_ms or 0) if state.status is Status.HOLDING else reached_ms
    return group, since_ms, state.clock


def _group_of(state: PublicState) -> int:
    if state.status is Status.HOLDING and state.hold is not None and state.hold.reason is Reason.UPSTREAM_BEHIND:
        return _WAITING
    if state.status in (Status.HOLDING, Status.CATCHING_UP):
        return _GROUPS[state.status]
    last_ms = None if state.last_tick is None else state.last_tick.at_ms
    if state.schedules is not None and not state.schedules.are_sent(last_ms, state.interval_ms):
        return _UNSENT
    if state.status is not Status.RUNNING:
        return _GROUPS.get(state.status, _OTHERS)
    counts = state.partitions
    return _INCOMPLETE if counts is not None and (counts.excluded or counts.rejected) else _RUNNING


def cursor_after(state: PublicState, order: Order) -> str:
    """Return the cursor of the page after this clock."""
    group, at_ms, clock = place_of(state, order)
    return clock if order is Order.NAME else f"{group}:{at_ms}:{clock}"


def parse_cursor(text: str, order: Order) -> _Place:
    """The reverse of `cursor_after`.

    Raises:
        InvalidValue: not a cursor of this order.
    """
    wanted = InvalidValue("after", text, _WANTED_CURSOR)
    found = _CURSOR.fullmatch(text if order is Order.WORST else f"0:0:{text}")
    if found is None:
        raise wanted
    group, at_ms, clock = found.groups()
    try:
        check_clock_name("after", clock)
    except InvalidValue:
        raise wanted from None
    return int(group), int(at_ms), clock


def parse_statuses(text: str) -> frozenset[Status]:
    """Parse a list of statuses that are separated by commas.

    Raises:
        InvalidValue: a word is not a status.
    """
    try:
        return frozenset(Status(word) for word in text.split(","))
    except ValueError:
        raise InvalidValue("status", text, f"wanted one or more of {', '.join(Status)}, separated by commas") from None


def count_statuses(states: Iterable[PublicState]) -> dict[str, int]:
    """Return the number of clocks with each status."""
    counts = dict.fromkeys(map(str, Status), 0)
    for state in states:
        counts[str(state.status)] += 1
    return counts
