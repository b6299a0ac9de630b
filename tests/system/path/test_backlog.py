"""A clock with a backlog emits its ticks one by one, and does not delay other clocks."""

import itertools
from collections.abc import Iterator

import pytest

from tests import http_client
from tests.system.clock_fixture import WITHIN_S, ClockFixture, running
from tests.system.evidence import broken_links, early_ticks
from tests.system.installation import wall_ms
from tests.waiting import eventually

pytestmark = pytest.mark.path

INTERVALS = 10_000
LARGEST_GAP_S = 4.0
PAGE = 1_000


@pytest.fixture(scope="module")
def clocks(
    tmp_path_factory: pytest.TempPathFactory, bootstrap: str, redis_url: str
) -> Iterator[tuple[ClockFixture, ClockFixture]]:
    """Two clocks of one service: one for a backlog, and one that must not be delayed."""
    run = f"backlog{wall_ms() % 10**8}"
    long = ClockFixture(run, "long", 2, "CreateTime", max_out_of_orderness="0s")
    steady = ClockFixture(run, "steady", 2)
    with running(tmp_path_factory.mktemp("backlog"), bootstrap, redis_url, run, long, steady):
        yield long, steady


def pages(url: str, after_s: int) -> list[int]:
    """All ticks after a time, from the pages of the list, in epoch seconds."""
    ticks: list[int] = []
    after: int | str = after_s
    while True:
        page = http_client.get(url, params={"after": after, "limit": PAGE}, timeout=10).json()
        if not page["ticks"]:
            return ticks
        ticks += [tick["timestamp_seconds"] for tick in page["ticks"]]
        after = page["next"]


def largest_gap(moments: list[float]) -> float:
    """The longest time between two moments in a row."""
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


def test_a_backlog_is_ticked_one_by_one_while_another_clock_goes_on(clocks: tuple[ClockFixture, ClockFixture]) -> None:
    """A jump of 10,000 intervals gives 10,000 ticks in order: in the tick log, in lists, and on a stream that is
    interrupted and resumed. Meanwhile the ticks of another clock come on time."""
    with clocks[0] as long, clocks[1] as steady:
        start_s = wall_ms() // 1000 - INTERVALS - 10
        end_s = start_s + INTERVALS
        wanted = list(range(start_s + 1, end_s + 1))
        consumer, bystander = long.consumer(), steady.consumer()
        steady.producer(0, 1)
        beside = steady.follow()
        long.write({0: start_s * 1000, 1: start_s * 1000})
        long.until_reached(start_s)
        steady.until_running()
        follower = long.follow(after=start_s, hang_up_every=INTERVALS // 3)
        jumped_ms = wall_ms()

        long.write({0: end_s * 1000, 1: end_s * 1000})

        eventually(
            lambda: len(follower.arrived) >= INTERVALS, within=2 * WITHIN_S, what=f"{INTERVALS} ticks on the stream"
        )
        done_s = wall_ms() // 1000
        assert follower.ticks() == wanted
        assert follower.connections >= 3
        assert pages(f"{long.installation.url}/v1/clocks/long/ticks", start_s) == wanted
        ticks = long.log()
        assert [tick.at_ms // 1000 for tick in ticks] == [start_s, *wanted]
        assert broken_links(ticks, 1_000) == []
        assert early_ticks(ticks, consumer.notes, 2, 0) == []

        steady.until_reached(done_s)
        eventually(lambda: beside.ticks()[-1] >= done_s, what="the other clock's stream to go on")
        others = steady.log()
        assert broken_links(others, 1_000) == []
        assert early_ticks(others, bystander.notes, 2, 0) == []
        meanwhile = [tick.appended_ms / 1000 for tick in others if tick.appended_ms >= jumped_ms - 1_000]
        assert largest_gap(meanwhile) <= LARGEST_GAP_S
        assert largest_gap([moment for _, moment in beside.arrived]) <= LARGEST_GAP_S
