"""What somebody on call sees of a clock: whether it moves, how far behind, who holds it, since when, what to do."""

import pytest
from playwright.sync_api import Browser, expect

from clocksvc.clock.holds import (
    Hold,
    Reason,
)
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from tests.system.ops.page.browser import (
    DESK,
    PHONE,
    WALL,
    opened,
)
from tests.system.ops.page.stage import (
    GROUP,
    TOPIC,
    Stage,
    showing,
)

BEHIND = Hold(
    Reason.PARTITION_BEHIND, (Partition(TOPIC, 3),), "the slowest partition has not reached the next boundary"
)
SOON_MS = 20_000
"""For what the page learns with its next answer, on a machine that has a lot to do."""


def test_it_updates_on_a_tick(browser: Browser) -> None:
    """The global clock, the list of ticks and the words change with the event, and nothing is said to be wrong."""
    stage = Stage(interval_s=1)
    stage.past(30, until_s=5)
    stage.report()
    with showing(stage) as shown, opened(browser, shown.url) as seen:
        expect(seen.page.locator("#Link")).to_have_text("live")
        before = seen.text("Time")

        last_s = stage.tick()

        time = stage_time(last_s)
        expect(seen.page.locator("#Time")).to_have_text(time)
        expect(seen.page.locator("#Ticks li").first).to_contain_text(time)
        expect(seen.page.locator("#Ticks li").nth(5)).to_contain_text(":")
        assert before < time or before.startswith("23:59")
        expect(seen.page.locator("#Word")).to_have_text("● running")
        expect(seen.page.locator("#Verdict")).to_have_text("checkins moves")
        assert seen.errors == []


def test_a_hold_is_shown_with_its_partition_and_ends(browser: Browser) -> None:
    """In the headline, the panel, the table and the map's words; with what to do. The next tick ends it at once."""
    stage = Stage(interval_s=1)
    stage.past(60, until_s=15)
    stage.report(0.5, {3: 40})
    stage.say(BEHIND)
    with showing(stage) as shown, opened(browser, shown.url, hurried=True) as seen:
        page = seen.page
        expect(page.locator("#Verdict")).to_contain_text("checkins has stood still since")
        expect(page.locator("#Word")).to_have_text("■ holding")
        expect(page.locator("#Sentence")).to_contain_text("Reason: partition_behind")
        expect(page.locator("#Holders li")).to_have_text([f"{TOPIC}:3"])
        expect(page.locator("#Advice")).to_contain_text(f"consumers of group {GROUP}")
        expect(page.locator("#CommandText")).to_contain_text(f"clocksvc exclude checkins {TOPIC}:3 --reason")
        expect(page.locator("#Slowest tr.holds th")).to_have_text([f"{TOPIC}:3"])
        expect(page.locator("#HoldsList li").first).to_contain_text(f"s · partition_behind: {TOPIC}:3")
        expect(page.get_by_role("img", name="1 partition holds the clock")).to_be_visible()
        assert page.title().startswith("■ ")

        stage.report()
        stage.say(None)
        stage.tick()

        expect(page.locator("#Holders li")).to_have_count(0)
        expect(page.locator("#Todo")).to_be_hidden()
        seen.hurry()
        expect(page.locator("#Verdict")).to_have_text("checkins moves", timeout=SOON_MS)
        expect(page.locator("#Announce")).to_have_text("checkins moves again")
        expect(page.locator("#HoldsList li").first).to_contain_text("partition_behind", timeout=SOON_MS)
        assert seen.errors == []


def test_a_hold_that_begins_later_is_announced(browser: Browser) -> None:
    """Within one question's time, to a screen reader too; the time line knows the holds from before by their gaps."""
    stage = Stage(interval_s=60)
    stage.past(120, holds=[(60, 20)])
    stage.report()
    with showing(stage) as shown, opened(browser, shown.url, hurried=True) as seen:
        page = seen.page
        expect(page.locator("#Link")).to_have_text("live")
        seen.hurry()
        expect(page.locator("#HoldsList li")).to_have_count(1, timeout=SOON_MS)
        expect(page.locator("#HoldsList li")).to_contain_text("21 min")
        expect(page.locator("#HoldsWords")).to_contain_text("1 hold")
        expect(page.locator("#Line .hold")).to_have_count(1)
        expect(page.locator("#Announce")).to_be_empty()

        stage.say(BEHIND)
        seen.hurry()

        expect(page.locator("#Announce")).to_have_text(
            f"checkins stands still: partition_behind {TOPIC}:3", timeout=SOON_MS
        )
        expect(page.locator("#HoldsList li")).to_have_count(2)


def test_exclusion_pause_leader_and_heartbeats_are_told(browser: Browser) -> None:
    """Who, when and why; and that ticks come without a partition is no all-clear."""
    stage = Stage(interval_s=60)
    stage.past(10, until_s=60)
    ago_ms = stage.now_ms() - 3_600_000
    exclusion = Exclusion(Partition(TOPIC, 3), "ops", ago_ms, "disk of broker 3 died, INC-4711")
    stage.roster([exclusion])
    stage.report()
    stage.tick([exclusion.partition])
    with showing(stage) as shown, opened(browser, shown.url, hurried=True) as seen:
        page = seen.page
        expect(page.locator("#Verdict")).to_have_text("checkins moves, without 1 partition")
        expect(page.locator("#Standing li")).to_contain_text([f"{TOPIC}:3 excluded by ops at"])
        expect(page.locator("#Standing li")).to_contain_text(["(1 h ago): disk of broker 3 died, INC-4711"])
        expect(page.locator("#Ticks li").first).to_contain_text("without 1 partition")
        expect(page.locator("#Facts")).to_contain_text("clocksvc-7c9f-x2x:1")
        expect(page.locator("#Facts")).to_contain_text("480 delivered, 0 failed, 0 expired")

        stage.roster([exclusion], Pause("ops", ago_ms, "migration, CHG-0815"))
        stage.say(Hold(Reason.PAUSED, detail="paused by ops: migration, CHG-0815"))
        seen.hurry()

        expect(page.locator("#Verdict")).to_have_text("checkins is paused", timeout=SOON_MS)
        expect(page.locator("#Standing li").first).to_contain_text("Paused by ops")
        expect(page.locator("#CommandText")).to_contain_text("clocksvc resume checkins")


def test_the_runbooks_section_is_one_click_away(browser: Browser) -> None:
    """From the service itself, for the reason of the hold and no other."""
    stage = Stage(interval_s=60)
    stage.past(10)
    stage.report()
    stage.say(BEHIND)
    with showing(stage) as shown, opened(browser, shown.url) as seen:
        seen.page.get_by_role("link", name="Runbook: partition_behind").click()

        box = seen.page.get_by_role("dialog", name="Runbook: partition_behind")
        expect(box).to_contain_text("What to do. Start the consumer")
        expect(box.locator("h3")).to_have_text(["Hold: partition_behind"])
        box.get_by_role("button", name="Close").click()
        expect(box).to_be_hidden()
        assert seen.errors == []


def test_the_clock_that_stands_still_comes_first(browser: Browser) -> None:
    """Among several it is opened by itself, until somebody opens another one: by a click, and so by an address."""
    stages = [Stage(name, interval_s=60) for name in ("alpha", "beta", "gamma")]
    for stage in stages:
        stage.past(10)
        stage.report()
    stages[1].say(BEHIND)
    with showing(*stages) as shown, opened(browser, shown.url, hurried=True) as seen:
        page = seen.page
        expect(page.locator("#Verdict")).to_have_text("1 of 3 clocks stands still: beta")
        expect(page.locator("#Clocks .name")).to_have_text(["beta", "alpha", "gamma"])
        expect(page.locator("#ClockName")).to_have_text("beta")
        expect(page.locator("#Clocks li").first).to_contain_text(f"partition_behind: {TOPIC}:3")

        stages[1].say(None)
        stages[0].say(BEHIND)
        seen.hurry()
        expect(page.locator("#ClockName")).to_have_text("alpha", timeout=SOON_MS)

        page.get_by_role("link", name="gamma").click()

        expect(page.locator("#ClockName")).to_have_text("gamma")
        expect(page.locator("#Clocks a[aria-current=true] .name")).to_have_text("gamma")
        expect(page.locator("#Link")).to_have_text("live")
        assert page.url.endswith("/#gamma")


@pytest.mark.parametrize(("size", "partitions"), [(DESK, 1), (PHONE, 128), (PHONE, 4_096), (WALL, 4_096)])
def test_the_map_has_room_for_every_partition(browser: Browser, size: tuple[int, int], partitions: int) -> None:
    """No page is wider than its screen, and each cell can be pointed at: the last one too."""
    stage = Stage(partitions=partitions)
    stage.past(10, until_s=15)
    stage.report()
    with showing(stage) as shown, opened(browser, shown.url, size=size) as seen:
        page = seen.page
        expect(page.get_by_role("img", name=f"{partitions:,} partition clock")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        last = page.evaluate(f"import('./status/heat.js').then((heat) => heat.middleOf('{TOPIC}', {partitions - 1}))")

        page.locator("#Map").hover(position=last)

        expect(page.locator("#Hover")).to_contain_text(f"{TOPIC}:{partitions - 1} at")
        assert seen.errors == []


def test_the_table_has_what_the_map_has(browser: Browser) -> None:
    """The slowest first, 100 at a time; the one that holds on top."""
    stage = Stage(partitions=250)
    stage.past(10, until_s=15)
    stage.report(1, {77: 40, 200: None, 249: 30})
    stage.say(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 77),), "behind"))
    with showing(stage) as shown, opened(browser, shown.url) as seen:
        page = seen.page
        page.get_by_text("All partitions as a table").click()
        names = page.locator("#TableRows th")

        expect(page.locator("#TableCaption")).to_have_text("1 to 100 of 250, the slowest first")
        expect(names).to_have_count(100)
        assert names.all_inner_texts()[:3] == [f"{TOPIC}:77", f"{TOPIC}:200", f"{TOPIC}:249"]
        expect(page.locator("#TableRows tr").first).to_contain_text("◀ holds")
        page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Next").click()
        expect(page.locator("#TableCaption")).to_have_text("201 to 250 of 250, the slowest first")
        expect(page.get_by_role("button", name="Next")).to_be_disabled()


def stage_time(seconds: int) -> str:
    """A time of the day, as the page writes it."""
    return f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
