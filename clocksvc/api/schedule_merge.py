"""Merges the schedules of several partitions in the order of their ids."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence

from clocksvc.schedules.schedule_json import ListedSchedule, SchedulePage

FetchPage = Callable[[str | None, int], Awaitable[SchedulePage]]
"""Returns at most this number of schedules after an id. They are in order; `next` is None if there are no more."""

_LEAST = 20
_MORE_THAN_SHARE = 1.25
"""Partitions have about the same number of schedules in a range of ids. So a little more than its share of the page
is requested from each: rarely twice, and little that the page does not need."""


async def merged_page(sources: Sequence[FetchPage], after: str | None, limit: int, max_bytes: int) -> SchedulePage:
    """Return the next page of all sources together. All of them are requested at the same time.

    Args:
        limit: the maximum number of schedules.
        max_bytes: the page ends with the schedule that exceeds this size.
    """
    if len(sources) == 1:
        return await sources[0](after, limit)
    share = min(limit, int(limit / len(sources) * _MORE_THAN_SHARE) + _LEAST)
    cursors = [_Cursor(fetch, after, share) for fetch in sources]
    await asyncio.gather(*(cursor.fill() for cursor in cursors))
    heap = [(cursor.head.id, number) for number, cursor in enumerate(cursors) if cursor.buffer]
    heapq.heapify(heap)
    page: list[ListedSchedule] = []
    size = 0
    while heap and len(page) < limit and size <= max_bytes:
        number = heap[0][1]
        cursor = cursors[number]
        page.append(cursor.take())
        size += len(page[-1].json)
        if not cursor.buffer:
            await cursor.fill()
        if cursor.buffer:
            heapq.heapreplace(heap, (cursor.head.id, number))
        else:
            heapq.heappop(heap)
    return SchedulePage(page, page[-1].id if heap else None)


class _Cursor:
    """A position in one source. `buffer` is empty at the end of the source."""

    def __init__(self, fetch: FetchPage, after: str | None, share: int) -> None:
        self.buffer: list[ListedSchedule] = []
        self._fetch, self._after, self._share = fetch, after, share
        self._complete = False

    @property
    def head(self) -> ListedSchedule:
        return self.buffer[-1]

    def take(self) -> ListedSchedule:
        return self.buffer.pop()

    async def fill(self) -> None:
        """Fetch the next schedules unless there are no more."""
        if self._complete:
            return
        page = await self._fetch(self._after, self._share)
        self.buffer = page.schedules[::-1]
        self._after, self._complete = page.next, page.next is None
