"""For those who don't see it, don't use a mouse, or have it dark: axe's rules, the keyboard, the themes."""

import pytest
from playwright.sync_api import Browser, expect

from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.overrides import Exclusion
from clocksvc.clock.partition import Partition
from tests.system.ops.page.browser import DESKTOP, PHONE, opened
from tests.system.ops.page.page_clock import TOPIC, PageClock, page_served

ORDER = ["Skip to the clock", "Theme", "API", "RunbookLink", "All partitions as a table"]


def clocks_in_every_status() -> list[PageClock]:
    """Three clocks: one holds and has an exclusion, one catches up, one is running."""
    holding, late, running = (PageClock(name, interval_s=60) for name in ("holding", "late", "running"))
    for clock, ago_s in ((holding, 600), (late, 7_200), (running, 0)):
        clock.past(60, until_s=ago_s, holds=[(40, 10)])
        clock.report(ago_s, {1: None, 2: 100, 4: 300})
    holding.roster([Exclusion(Partition(TOPIC, 3), "ops", holding.now_ms(), "disk died")])
    holding.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 0),), "behind"))
    return [holding, late, running]


@pytest.mark.parametrize(("theme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("dark", PHONE)])
def test_axe_finds_nothing(browser: Browser, theme: str, size: tuple[int, int]) -> None:
    """axe finds no violation for a holding clock with the table open, in both themes."""
    with page_served(*clocks_in_every_status()) as shown, opened(browser, shown.url, theme=theme, size=size) as seen:
        expect(seen.page.locator("#Headline")).to_contain_text("stopped: holding")
        seen.page.get_by_text("All partitions as a table").click()
        expect(seen.page.locator("#TableRows tr").first).to_be_visible()
        seen.check_accessibility()
        seen.page.get_by_role("link", name="late").click()
        expect(seen.page.locator("#Word")).to_have_text("» catching up")
        seen.check_accessibility()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_dialogues(browser: Browser, theme: str) -> None:
    """axe finds no violation in the token dialog and in the runbook."""
    clock = PageClock(interval_s=60)
    clock.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 0),), "behind"))
    with (
        page_served(clock, tokens=[Token("night", "s3cret-of-the-night", frozenset({Scope.READ}))]) as shown,
        opened(browser, shown.url, theme=theme, wait=False) as seen,
    ):
        expect(seen.page.get_by_role("dialog")).to_be_visible()
        seen.check_accessibility()
        seen.page.get_by_label("Token with the scope read").fill("s3cret-of-the-night")
        seen.page.keyboard.press("Enter")
        seen.page.get_by_role("link", name="Runbook").click()
        expect(seen.page.get_by_role("dialog", name="Runbook")).to_be_visible()
        seen.check_accessibility()


def test_a_chosen_theme_wins_and_is_kept(browser: Browser) -> None:
    """The chosen theme replaces the system's, the map is redrawn in its colours, and the choice is kept."""
    clock = PageClock(interval_s=60)
    clock.past(10)
    clock.report()
    with page_served(clock) as shown, opened(browser, shown.url, theme="light") as seen:
        page = seen.page
        background = "getComputedStyle(document.body).backgroundColor"
        first_cell = "[...document.getElementById('Map').getContext('2d').getImageData(12, 12, 1, 1).data]"
        expect(page.get_by_role("img", name="8 partition clocks")).to_be_visible()
        light, light_cell = page.evaluate(background), page.evaluate(first_cell)

        page.get_by_label("Theme").select_option("dark")

        dark = page.evaluate(background)
        assert dark != light
        assert page.evaluate(first_cell) != light_cell
        page.reload()
        page.wait_for_selector("#Clock:not([hidden])")
        assert page.evaluate(background) == dark


def test_the_keyboard_gets_everywhere(browser: Browser) -> None:
    """The Tab key reaches everything in order, with a visible focus: header, clock, runbook, table."""
    with page_served(*clocks_in_every_status()) as shown, opened(browser, shown.url) as seen:
        page = seen.page
        expect(page.locator("#Headline")).to_contain_text("stopped: holding")
        found: list[str] = []
        focus = "[document.activeElement.tagName, document.activeElement.id || document.activeElement.innerText.trim()]"
        while len(found) < 40:
            page.keyboard.press("Tab")
            tag, name = page.evaluate(focus)
            if tag == "BODY":
                break
            found.append(name)
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", name

        assert found[0] == "Skip to the clock"
        assert [name for name in found if name in ORDER] == ORDER


def test_landmarks_and_headings_are_named(browser: Browser) -> None:
    """A screen reader finds the landmarks and headings by their names."""
    with page_served(*clocks_in_every_status()) as shown, opened(browser, shown.url) as seen:
        page = seen.page
        expect(page.locator("#ClockName")).to_have_text("holding")
        for role, name in (
            ("banner", None),
            ("main", None),
            ("contentinfo", None),
            ("region", "Clocks"),
            ("region", "holding"),
        ):
            expect(page.get_by_role(role, name=name, exact=True)).to_be_visible()  # type: ignore[arg-type]
        assert page.locator("h1").count() == 1
        assert page.locator("[aria-live]").count() == 1
