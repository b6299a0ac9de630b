"""Missed runs of several partitions: their order, their pages and their JSON.

Each partition has its missed runs in a chain of pages, newest first. A cursor is the last run of a response,
and for each partition the place in its chain where its last run was found, so that the next response does not begin at
the newest one again.
"""

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from clocksvc.api.problems import truncated
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import InvalidValue
from clocksvc.scheduler import owned

_CURSOR = re.compile(r"(\d{1,15})\.(\d{1,3})\.(\d{1,18})((?:\.\d{1,3}-\d{1,18})*)", re.ASCII)

Key = tuple[int, int, int]
"""Sorts missed runs: the newest tick first, then by partition, then the newest record first."""


class MissedRun(NamedTuple):
    """A missed run.

    Attributes:
        place: the argument `before` of the page of its partition in which it is.
        fields: its JSON object.
    """

    key: Key
    place: int | None
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, partition: int, run: owned.MissedRun, place: int | None) -> "MissedRun":
        """Return a run of a partition."""
        missed = run.missed
        fields = {
            "id": missed.key.decode(),
            "due": to_rfc3339(missed.first_ms),
            "last_due": to_rfc3339(missed.last_ms),
            "runs": missed.runs,
            "reason": missed.reason.value,
            "tick": to_rfc3339(run.tick_ms),
            "partition": partition,
            "offset": run.offset,
        }
        return cls((-run.tick_ms, partition, -run.offset), place, fields)


class MissedPage(NamedTuple):
    """Missed runs in the order of their keys. `more` is True if others follow."""

    runs: list[MissedRun]
    more: bool


@dataclass(frozen=True, slots=True)
class MissedCursor:
    """Where a list continues: after the run with this key. `pages` has places by partition."""

    key: Key
    pages: Mapping[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        tick, partition, offset = self.key
        places = "".join(f".{number}-{place}" for number, place in sorted(self.pages.items()))
        return f"{-tick}.{partition}.{-offset}{places}"

    @classmethod
    def parse(cls, text: str) -> "MissedCursor":
        """Return the cursor of a text. Raises InvalidValue."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidValue("after", truncated(text), "wanted the `next` of another page")
        tick, partition, offset, places = match.groups()
        pairs = (place.split("-") for place in places.split(".")[1:])
        return cls((-int(tick), int(partition), -int(offset)), {int(number): int(place) for number, place in pairs})


def newest_runs(pages: Iterable[MissedPage], limit: int) -> MissedPage:
    """Return the first runs of several pages, none of which is shorter than `limit` if it has more."""
    pages = list(pages)
    runs = list(heapq.merge(*(page.runs for page in pages)))
    return MissedPage(runs[:limit], len(runs) > limit or any(page.more for page in pages))


def missed_page_to_wire(page: MissedPage, cursor: MissedCursor | None, *, with_places: bool) -> dict[str, Any]:
    """Return a page as a JSON object.

    Args:
        cursor: the cursor that the page continues.
        with_places: True for a process that merges the page with those of other processes.
    """
    following = None
    if page.more and page.runs:
        pages = dict({} if cursor is None else cursor.pages)
        pages |= {run.key[1]: run.place for run in page.runs if run.place is not None}
        following = str(MissedCursor(page.runs[-1].key, pages))
    places = {"places": [run.place for run in page.runs]} if with_places else {}
    return {"missed_runs": [run.fields for run in page.runs], "next": following, **places}


def missed_page_from_wire(body: Any) -> MissedPage:
    """Return a page with places. Raises KeyError, TypeError or ValueError if it is none."""
    runs = []
    for fields, place in zip(body["missed_runs"], body["places"], strict=True):
        key = (-parse_timestamp("tick", fields["tick"]), int(fields["partition"]), -int(fields["offset"]))
        runs.append(MissedRun(key, None if place is None else int(place), fields))
    return MissedPage(runs, body["next"] is not None)
