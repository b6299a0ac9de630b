"""Pages of several partitions: together they are one sorted list, for all sizes of the pages of each partition."""

import asyncio
import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.api.schedule_merge import FetchPage, merged_page
from clocksvc.schedules.schedule_json import ListedSchedule, SchedulePage

IDS = st.lists(st.text("ab:1", min_size=1, max_size=4), unique=True, max_size=60)


def source(ids: list[str], shorter: Callable[[], bool]) -> FetchPage:
    """A partition with these ids. Its pages can be shorter than requested."""

    async def fetch(after: str | None, limit: int) -> SchedulePage:
        left = sorted(one for one in ids if after is None or one > after)
        page = left[: 1 if shorter() else limit]
        listed = [ListedSchedule(one, b"x" * len(one), one) for one in page]
        return SchedulePage(listed, page[-1] if len(page) < len(left) else None)

    return fetch


@given(ids=IDS, partitions=st.integers(1, 5), limit=st.integers(1, 70), seed=st.integers(0, 100))
@settings(max_examples=150)
def test_pages_are_one_sorted_list(ids: list[str], partitions: int, limit: int, seed: int) -> None:
    """Each id once, in order, and `next` is None on the last page alone."""
    rng = random.Random(seed)
    parts: list[list[str]] = [[] for _ in range(partitions)]
    for one in ids:
        rng.choice(parts).append(one)
    sources = [source(part, partial(rng.choice, [True, False, False])) for part in parts]

    async def read() -> list[str]:
        found: list[str] = []
        after: str | None = None
        while True:
            page = await merged_page(sources, after, limit, rng.choice([3, 10_000]))
            found += [one.id for one in page.schedules]
            assert len(page.schedules) <= limit
            if page.next is None:
                return found
            assert page.next == found[-1]
            after = page.next

    assert asyncio.run(read()) == sorted(ids)


@pytest.mark.parametrize("partitions", [1, 8, 256])
def test_little_more_is_fetched_than_is_needed(partitions: int) -> None:
    """A page of 256 partitions does not fetch a full page of each."""
    fetched = 0
    ids = [f"{number:05}" for number in range(10_000)]
    random.Random(7).shuffle(ids)

    async def counted(fetch: FetchPage, after: str | None, limit: int) -> SchedulePage:
        nonlocal fetched
        page = await fetch(after, limit)
        fetched += len(page.schedules)
        return page

    sources = [partial(counted, source(ids[number::partitions], lambda: False)) for number in range(partitions)]
    page = asyncio.run(merged_page(sources, None, 1_000, 10**9))

    assert [one.id for one in page.schedules] == sorted(ids)[:1_000]
    assert fetched <= 1_000 * 1.5 + 20 * partitions
