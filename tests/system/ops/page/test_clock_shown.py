"""What the page shows of a clock: its time, how far it is behind, its hold, since when, and what to do."""

import pytest
from playwright.sync_api import Browser, expect

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.hold_history import HoldChange
from tests.system.ops.page.browser import DESKTOP, PHONE, WALL, opened
from tests.system.ops.page.page_clock import TOPIC, PageClock, page_served

BEHIND = Hold(
    Reason.PARTITION_BEHIND, (Partition(TOPIC, 3),), "the slowest partition has not reached the next boundary"
)
SOON_MS = 20_000
"""The timeout for what the page shows after its next poll, on a busy machine."""


def test_it_updates_on_a_tick(browser: Browser) -> None:
    """A tick event changes the global clock, the list of ticks and the headline; there is no error."""
    clock = PageClock(interval_s=1)
    clock.past(30, until_s=5)
    clock.report()
    with page_served(clock) as shown, opened(browser, shown.url) as seen:
        expect(seen.page.locator("#Link")).to_have_text("live")
        before = seen.text("Time")

        last_s = clock.tick()

        time = time_of_day(last_s)
        expect(seen.page.locator("#Time")).to_have_text(time)
        expect(seen.page.locator("#Ticks li").first).to_contain_text(time)
        expect(seen.page.locator("#Ticks li").nth(5)).to_contain_text(":")
        assert before < time or before.startswith("23:59")
        expect(seen.page.locator("#Word")).to_have_text("● running")
        expect(seen.page.locator("#Headline")).to_have_text("checkins is running")
        assert seen.errors == []


def test_a_hold_is_shown_with_its_partition_and_ends(browser: Browser) -> None:
    """The hold is in the headline, the panel, the table and the map's label, with what to do. The next tick ends it."""
    clock = PageClock(interval_s=1)
    clock.past(60, until_s=15)
    clock.report(0.5, {3: 40})
    clock.publish_hold(BEHIND)
    with page_served(clock) as shown, opened(browser, shown.url, fake_time=True) as seen:
        page = seen.page
        expect(page.locator("#Headline")).to_contain_text("checkins stopped 1")
        expect(page.locator("#Word")).to_have_text("■ holding")
        expect(page.locator("#Sentence")).to_contain_text("Partitions are behind (partition_behind). No tick since")
        expect(page.locator("#Holders li")).to_have_text([f"{TOPIC}:3"])
        expect(page.locator("#Advice")).to_contain_text(f"A consumer reports {TOPIC}:3, and heartbeats arrive.")
        expect(page.locator("#CommandText")).to_contain_text(f"clocksvc exclude checkins {TOPIC}:3 --reason")
        expect(page.locator("#Slowest tr.holds .name")).to_have_text([f"{TOPIC}:3"])
        expect(page.get_by_role("img", name="1 partition holds the clock")).to_be_visible()
        assert page.title().startswith("■ ")

        clock.report()
        clock.publish_hold(None)
        clock.tick()

        expect(page.locator("#Holders li")).to_have_count(0)
        expect(page.locator("#Todo")).to_be_hidden()
        seen.skip_to_next_poll()
        expect(page.locator("#Headline")).to_have_text("checkins is running", timeout=SOON_MS)
        expect(page.locator("#Announce")).to_have_text("checkins is running again")
        expect(page.locator("#HoldsList li")).to_contain_text(
            [f"Partitions are behind (partition_behind): {TOPIC}:3"], timeout=SOON_MS
        )
        assert seen.errors == []


def test_a_hold_that_begins_later_is_announced(browser: Browser) -> None:
    """Within one poll the hold is announced to screen readers. Earlier holds come from the service: the page that shows
    them was not open then."""
    clock = PageClock(interval_s=60, holds=[HoldChange(1_500_000, BEHIND), HoldChange(240_000, None)])
    clock.past(120)
    clock.report()
    with page_served(clock) as shown, opened(browser, shown.url, fake_time=True) as seen:
        page = seen.page
        expect(page.locator("#Link")).to_have_text("live")
        expect(page.locator("#HoldsList li")).to_have_count(1, timeout=SOON_MS)
        expect(page.locator("#HoldsList li")).to_contain_text("21 min. Partitions are behind (partition_behind): ")
        expect(page.locator("#HoldsWords")).to_contain_text("1 hold")
        expect(page.locator("#Line .hold")).to_have_count(1)
        expect(page.locator("#Announce")).to_be_empty()

        clock.publish_hold(BEHIND)
        seen.skip_to_next_poll()

        expect(page.locator("#Announce")).to_have_text(
            f"checkins stopped. Partitions are behind (partition_behind): {TOPIC}:3", timeout=SOON_MS
        )
        expect(page.locator("#HoldsWords")).to_contain_text("2 holds")
        expect(page.locator("#HoldsList li")).to_have_count(1)


def test_exclusion_pause_leader_and_heartbeats_are_shown(browser: Browser) -> None:
    """Overrides are shown with who, when and why; ticks without a partition are no all-clear."""
    clock = PageClock(interval_s=60)
    clock.past(10, until_s=60)
    ago_ms = clock.now_ms() - 3_600_000
    exclusion = Exclusion(Partition(TOPIC, 3), "ops", ago_ms, "disk of broker 3 died, INC-4711")
    clock.roster([exclusion])
    clock.report()
    clock.tick([exclusion.partition])
    with page_served(clock) as shown, opened(browser, shown.url, fake_time=True) as seen:
        page = seen.page
        expect(page.locator("#Headline")).to_have_text("checkins is running, without 1 partition")
        expect(page.locator("#Overrides li")).to_contain_text([f"{TOPIC}:3 excluded by ops at"])
        expect(page.locator("#Overrides li")).to_contain_text(["(1 h ago): disk of broker 3 died, INC-4711"])
        expect(page.locator("#Ticks li").first).to_contain_text("without 1 partition")
        expect(page.locator("#Facts")).to_contain_text("clocksvc-7c9f-x2x:1")
        expect(page.locator("#Facts")).to_contain_text("480 delivered, 0 failed, 0 expired")

        clock.roster([exclusion], Pause("ops", ago_ms, "migration, CHG-0815"))
        clock.publish_hold(Hold(Reason.PAUSED, detail="paused by ops: migration, CHG-0815"))
        seen.skip_to_next_poll()

        expect(page.locator("#Headline")).to_have_text("checkins is paused", timeout=SOON_MS)
        expect(page.locator("#Overrides li").first).to_contain_text("Paused by ops")
        expect(page.locator("#CommandText")).to_contain_text("clocksvc resume checkins")


def test_the_runbooks_section_is_one_click_away(browser: Browser) -> None:
    """The page shows the runbook's section for the reason of the hold, from the service's own copy."""
    clock = PageClock(interval_s=60)
    clock.past(10)
    clock.report()
    clock.publish_hold(BEHIND)
    with page_served(clock) as shown, opened(browser, shown.url) as seen:
        seen.page.get_by_role("link", name="Runbook: partition_behind").click()

        box = seen.page.get_by_role("dialog", name="Runbook: partition_behind")
        expect(box).to_contain_text("What to do: start the consumer.")
        expect(box.locator("h3")).to_have_text(["Hold: partition_behind"])
        box.get_by_role("button", name="Close").click()
        expect(box).to_be_hidden()
        assert seen.errors == []


def test_a_stopped_clock_comes_first(browser: Browser) -> None:
    """Among several clocks a stopped one is selected, until the user selects another one by a click, that is by URL."""
    clocks = [PageClock(name, interval_s=60) for name in ("alpha", "beta", "gamma")]
    for clock in clocks:
        clock.past(10)
        clock.report()
    clocks[1].publish_hold(BEHIND)
    with page_served(*clocks) as shown, opened(browser, shown.url, fake_time=True) as seen:
        page = seen.page
        expect(page.locator("#Headline")).to_have_text("1 of 3 clocks stopped: beta")
        expect(page.locator("#Clocks .name")).to_have_text(["beta", "alpha", "gamma"])
        expect(page.locator("#ClockName")).to_have_text("beta")
        expect(page.locator("#Clocks li").first).to_contain_text(f"(partition_behind): {TOPIC}:3")

        clocks[1].publish_hold(None)
        clocks[0].publish_hold(BEHIND)
        seen.skip_to_next_poll()
        expect(page.locator("#ClockName")).to_have_text("alpha", timeout=SOON_MS)

        page.get_by_role("link", name="gamma").click()

        expect(page.locator("#ClockName")).to_have_text("gamma")
        expect(page.locator("#Clocks a[aria-current=true] .name")).to_have_text("gamma")
        expect(page.locator("#Link")).to_have_text("live")
        assert page.url.endswith("/#gamma")


@pytest.mark.parametrize(("size", "partitions"), [(DESKTOP, 1), (PHONE, 128), (PHONE, 4_096), (WALL, 4_096)])
def test_the_map_has_room_for_every_partition(browser: Browser, size: tuple[int, int], partitions: int) -> None:
    """The page is not wider than the screen, and even the last cell of the map can be pointed at."""
    clock = PageClock(partitions=partitions)
    clock.past(10, until_s=15)
    clock.report()
    with page_served(clock) as shown, opened(browser, shown.url, size=size) as seen:
        page = seen.page
        expect(page.get_by_role("img", name=f"{partitions:,} partition clock")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        center = f"import('./status/partition_map.js').then((map) => map.cellCenter('{TOPIC}', {partitions - 1}))"
        last = page.evaluate(center)

        page.locator("#Map").hover(position=last)

        expect(page.locator("#Hover")).to_contain_text(f"{TOPIC}:{partitions - 1} at")
        assert seen.errors == []


def test_the_table_has_what_the_map_has(browser: Browser) -> None:
    """The table has the slowest partitions first, 100 per page, with holding ones on top."""
    clock = PageClock(partitions=250)
    clock.past(10, until_s=15)
    clock.report(1, {77: 40, 200: None, 249: 30})
    clock.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 77),), "behind"))
    with page_served(clock) as shown, opened(browser, shown.url) as seen:
        page = seen.page
        page.get_by_text("All partitions as a table").click()
        names = page.locator("#TableRows .name")

        expect(page.locator("#TableCaption")).to_have_text("1 to 100 of 250, the slowest first")
        expect(names).to_have_count(100)
        assert names.all_inner_texts()[:3] == [f"{TOPIC}:77", f"{TOPIC}:200", f"{TOPIC}:249"]
        expect(page.locator("#TableRows tr").first).to_contain_text("◀ Holds the clock.")
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#TableCaption")).to_have_text("201 to 250 of 250, the slowest first")
        expect(page.get_by_role("button", name="Next")).to_be_disabled()


def time_of_day(seconds: int) -> str:
    """A time of day in the page's format."""
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
