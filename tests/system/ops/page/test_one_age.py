"""One number for one fact: each part of the page shows the same age, however much time has passed since the answer."""

import re

from playwright.sync_api import Browser, Page, expect

from tests.system.ops.page.drawn_page import drawn
from tests.system.ops.page.fixture_states import TOPIC, causes, clock_state, states

AGE = r"\d+ (?:s|min|h|d)(?: \d+ (?:s|min|h))?"


def texts(page: Page, *names: str) -> dict[str, str]:
    """The texts of elements, by their ids."""
    return {name: page.locator(f"#{name}").inner_text() for name in names}


def ages(text: str) -> set[str]:
    """All ages in a text."""
    return set(re.findall(AGE, text))


def test_a_partition_has_one_age(browser: Browser) -> None:
    """The map's cell, the table of the slowest partitions and the table of all partitions."""
    with drawn(browser, [causes()["behind-silent"]]) as seen:
        page = seen.page
        page.get_by_text("All partitions as a table").click()
        cell = page.evaluate(f"import('./status/partition_map.js').then((map) => map.cellCenter('{TOPIC}', 0))")
        page.evaluate("pass(4_000)")
        page.locator("#Map").hover(position=cell)

        expect(page.locator("#Hover")).to_contain_text("4 min 35 s behind")
        expect(page.locator("#Slowest tr").first.locator("td").first).to_have_text("4 min 35 s")
        expect(page.locator("#TableRows tr").first.locator("td").last).to_have_text("4 min 35 s")
        # the table of the slowest partitions and the advice have the age of the last report
        expect(page.locator("#Slowest tr").first.locator("td").last).to_have_text("51 s ago")
        expect(page.locator("#Advice")).to_contain_text("last reported 51 s ago")


def test_a_hold_has_one_age(browser: Browser) -> None:
    """Headline, sentence and overview; and the delay of the clock in panel and overview."""
    one = causes()["behind-silent"]
    with drawn(browser, [one]) as seen:
        before = seen.text("Now")
        seen.page.evaluate("pass(4_000)")
        assert seen.text("Now") != before
        shown = texts(seen.page, "Headline", "Sentence", "Behind")
        assert ages(shown["Headline"]) == ages(shown["Sentence"]) == {"4 min 5 s"}
        assert shown["Behind"] == "5 min 5 s"
    with drawn(browser, [one, clock_state(behind_s=5, name="other")]) as seen:
        overview = seen.page.locator("#Clocks li").first
        expect(overview.locator(".why")).to_contain_text("for 4 min 5 s")
        expect(overview.locator(".behind")).to_have_text("5 min 5 s behind")
        expect(seen.page.locator("#Sentence")).to_contain_text("for 4 min 5 s")


def test_heartbeats_have_one_age_and_one_conclusion(browser: Browser) -> None:
    """The details and the advice say since when there is no heartbeat, and do not ask."""
    with drawn(browser, [states()["behind-no-heartbeats"]]) as seen:
        conclusion = "No heartbeat for 16 s though one is due every 5 s: is a Celery worker running?"
        expect(seen.page.locator("#Facts")).to_contain_text(conclusion)
        expect(seen.page.locator("#Advice")).to_contain_text(conclusion)
        assert "are heartbeats sent" not in seen.page.locator("body").inner_text()
