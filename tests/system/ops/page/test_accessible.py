"""For those who don't see it, don't use a mouse, or have it dark: axe's rules, the keyboard, the themes."""

import pytest
from playwright.sync_api import Browser, expect

from clocksvc.api.tokens import Scope, Token
from clocksvc.clock.holds import (
    Hold,
    Reason,
)
from clocksvc.clock.overrides import Exclusion
from clocksvc.clock.partition import Partition
from tests.system.ops.page.browser import (
    DESK,
    PHONE,
    opened,
)
from tests.system.ops.page.stage import (
    TOPIC,
    Stage,
    showing,
)

ORDER = ["Skip to the clock", "Theme", "API", "RunbookLink", "All partitions as a table"]


def troubled() -> list[Stage]:
    """Clocks of every colour: one holds and has an exclusion, one catches up, one is well."""
    holding, late, well = (Stage(name, interval_s=60) for name in ("holding", "late", "well"))
    for stage, ago_s in ((holding, 600), (late, 7_200), (well, 0)):
        stage.past(60, until_s=ago_s, holds=[(40, 10)])
        stage.report(ago_s, {1: None, 2: 100, 4: 300})
    holding.roster([Exclusion(Partition(TOPIC, 3), "ops", holding.now_ms(), "disk died")])
    holding.say(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 0),), "behind"))
    return [holding, late, well]


@pytest.mark.parametrize(("theme", "size"), [("light", DESK), ("dark", DESK), ("dark", PHONE)])
def test_axe_finds_nothing(browser: Browser, theme: str, size: tuple[int, int]) -> None:
    """Of a clock that holds, with the table open, in both themes."""
    with showing(*troubled()) as shown, opened(browser, shown.url, theme=theme, size=size) as seen:
        expect(seen.page.locator("#Verdict")).to_contain_text("stands still: holding")
        seen.page.get_by_text("All partitions as a table").click()
        expect(seen.page.locator("#TableRows tr").first).to_be_visible()
        seen.check_rules()
        seen.page.get_by_role("link", name="late").click()
        expect(seen.page.locator("#Word")).to_have_text("» catching up")
        seen.check_rules()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_dialogues(browser: Browser, theme: str) -> None:
    """The one that asks for a token, and the runbook."""
    stage = Stage(interval_s=60)
    stage.say(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 0),), "behind"))
    with (
        showing(stage, tokens=[Token("night", "s3cret-of-the-night", frozenset({Scope.READ}))]) as shown,
        opened(browser, shown.url, theme=theme, wait=False) as seen,
    ):
        expect(seen.page.get_by_role("dialog")).to_be_visible()
        seen.check_rules()
        seen.page.get_by_label("Token with the scope read").fill("s3cret-of-the-night")
        seen.page.keyboard.press("Enter")
        seen.page.get_by_role("link", name="Runbook").click()
        expect(seen.page.get_by_role("dialog", name="Runbook")).to_be_visible()
        seen.check_rules()


def test_a_chosen_theme_wins_and_is_kept(browser: Browser) -> None:
    """Over the system's; the map is drawn anew in its colours."""
    stage = Stage(interval_s=60)
    stage.past(10)
    stage.report()
    with showing(stage) as shown, opened(browser, shown.url, theme="light") as seen:
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
    """In order, with a focus that is seen: past the head to the clock, its runbook and its table."""
    with showing(*troubled()) as shown, opened(browser, shown.url) as seen:
        page = seen.page
        expect(page.locator("#Verdict")).to_contain_text("stands still: holding")
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
    """What a screen reader jumps by."""
    with showing(*troubled()) as shown, opened(browser, shown.url) as seen:
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
