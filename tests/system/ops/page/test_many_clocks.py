"""The page with two thousand clocks: the worst ones first, counts, search, statuses, pages, and few requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.partition import Partition
from tests.system.ops.page.browser import DESKTOP, PHONE, OpenPage, opened
from tests.system.ops.page.drawn_page import ANSWER, drawn
from tests.system.ops.page.fixture_states import TOPIC, clock_state
from tests.system.ops.page.page_clock import PageClock, page_served

HOLDING, LATE, RUNNING, SHOWN = 70, 30, 1_900, 60
SECOND_PAGE = [f"stopped-{number:02}" for number in range(SHOWN, HOLDING)] + [
    f"late-{number}" for number in range(LATE)
]
TOP = "v1/clocks?view=brief&order=worst&limit=60"
BEHIND = Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 3), Partition(TOPIC, 5)), "behind")


def clocks() -> list[dict[str, Any]]:
    """2,000 clocks in the service's order."""
    held = [
        clock_state(Status.HOLDING, behind_s=300, hold=BEHIND, name=f"stopped-{number:02}") for number in range(HOLDING)
    ]
    late = [
        clock_state(Status.CATCHING_UP, behind_s=900, due_ticks=15, name=f"late-{number}") for number in range(LATE)
    ]
    return [*held, *late, *running(RUNNING)]


def running(count: int) -> list[dict[str, Any]]:
    """Clocks that run."""
    return [clock_state(behind_s=5, name=f"customer-{number:04}") for number in range(count)]


@contextmanager
def many(browser: Browser) -> Iterator[OpenPage]:
    """The page with 2,000 clocks."""
    with drawn(browser, clocks()) as seen:
        yield seen


def names(page: Page) -> list[str]:
    """The names of the listed clocks."""
    return page.locator("#Clocks .name").all_inner_texts()


def test_the_worst_come_first_and_all_are_counted(browser: Browser) -> None:
    """The headline, the statuses and the range of the page have the numbers of all 2,000 clocks."""
    with many(browser) as seen:
        page = seen.page
        expect(page.locator("#Headline")).to_have_text(
            "70 of 2,000 clocks stopped, the 60 worst: Partitions are behind (partition_behind)"
        )
        expect(page.locator("#Statuses button")).to_have_text(
            ["all 2,000", "holding 70", "catching up 30", "running 1,900"]
        )
        assert names(page) == [f"stopped-{number:02}" for number in range(SHOWN)]
        expect(page.locator("#Clocks .why").first).to_have_text(
            f"Partitions are behind (partition_behind): {TOPIC}:3 and 1 more, for 4 min 5 s"
        )
        expect(page.locator("#Range")).to_have_text("1 to 60 of 2,000 clocks, the worst first")

        page.get_by_role("button", name="Next").click()

        expect(page.locator("#Range")).to_have_text("61 to 120 of 2,000 clocks, the worst first")
        assert names(page)[: len(SECOND_PAGE)] == SECOND_PAGE
        expect(page.locator("#Headline")).to_contain_text("70 of 2,000 clocks stopped")
        expect(page.locator("#ClockName")).to_have_text("stopped-00")

        page.get_by_role("button", name="Back").click()

        expect(page.locator("#Range")).to_have_text("1 to 60 of 2,000 clocks, the worst first")
        expect(page.get_by_role("button", name="Back")).to_be_disabled()


def test_search_and_status_select_clocks(browser: Browser) -> None:
    """The headline still counts all clocks. What is selected is in the URL, so it survives a reload."""
    with many(browser) as seen:
        page = seen.page
        page.get_by_role("button", name="catching up 30").click()
        expect(page.locator("#Range")).to_have_text("30 of 2,000 clocks")
        assert names(page) == [f"late-{number}" for number in range(LATE)]
        expect(page.get_by_role("button", name="catching up 30")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#Announce")).to_have_text("30 of 2,000 clocks")

        page.get_by_label("Search").fill("late-2")
        expect(page.locator("#Range")).to_have_text("11 of 2,000 clocks")
        assert page.url.endswith("/?status=catching_up&search=late-2#stopped-00")
        expect(page.locator("#Statuses button")).to_have_text(["all 11", "catching up 11"])
        expect(page.locator("#Headline")).to_contain_text("70 of 2,000 clocks stopped")

        page.get_by_role("link", name="late-25").click()
        expect(page.locator("#ClockName")).to_have_text("late-25")
        page.reload()
        expect(page.locator("#Range")).to_have_text("11 of 2,000 clocks")
        expect(page.locator("#ClockName")).to_have_text("late-25")
        expect(page.get_by_label("Search")).to_have_value("late-2")

        page.get_by_label("Search").fill("nothing-has-this-name")
        expect(page.locator("#Range")).to_have_text("No clock matches")
        expect(page.locator("#Clocks li")).to_have_count(0)
        page.get_by_role("button", name="all 0").click()
        page.get_by_label("Search").fill("")
        expect(page.locator("#Range")).to_have_text("1 to 60 of 2,000 clocks, the worst first")
        assert page.url.endswith("/#late-25")


def test_a_clock_of_a_later_page_is_selected_by_its_url(browser: Browser) -> None:
    """A clock in the URL that is on no page that was read is selected. If it does not exist, the worst one is."""
    with many(browser) as seen:
        page = seen.page
        page.evaluate("location.hash = 'customer-1500'")
        expect(page.locator("#ClockName")).to_have_text("customer-1500")
        expect(page.locator("#Word")).to_have_text("● running")
        expect(page.locator("#Clocks a[aria-current]")).to_have_count(0)
        page.evaluate("location.hash = 'no-such-clock'")
        page.evaluate("poll()")
        expect(page.locator("#ClockName")).to_have_text("stopped-00")


def test_more_clocks_do_not_mean_more_work_for_the_service(browser: Browser) -> None:
    """With 2,000 clocks the list is requested every 10 s, with 1,000 every 5 s; the selected clock every 5 s."""
    with many(browser) as seen:
        page = seen.page
        page.evaluate("{ let ms = performance.now(); performance.now = () => ms; window.pass = (by) => (ms += by); }")

        def polled_after(passed_ms: int) -> list[str]:
            before: int = page.evaluate("asked.length")
            page.evaluate(f"pass({passed_ms})")
            page.evaluate(f"({ANSWER})(api.clocks)")
            found: list[str] = page.evaluate(f"asked.slice({before})")
            return [path for path in found if path.startswith("v1/clocks?") or path == "v1/clocks/stopped-00"]

        both = [TOP, "v1/clocks/stopped-00"]
        assert polled_after(10_000) == both
        assert polled_after(5_000) == both[1:]
        assert polled_after(5_000) == both
        assert polled_after(5_000) == both[1:]
        page.evaluate("api.clocks.length = 1000")
        assert polled_after(5_000) == both
        assert polled_after(5_000) == both
        assert not page.evaluate("asked.includes('v1/clocks')")


def test_changes_are_announced_and_many_in_one_sentence(browser: Browser) -> None:
    """A clock that stops comes from another page. If many stop, the headline is announced."""
    stop = f"""async (stopped) => {{
      const names = new Set(stopped.map(({{ clock }}) => clock));
      pass(10_000);
      await ({ANSWER})([...stopped, ...api.clocks.filter(({{ clock }}) => !names.has(clock))]);
    }}"""
    with drawn(browser, running(2_000)) as seen:
        page, held = seen.page, [f"customer-{number}" for number in range(1_900, 1_950)]
        stopped = [clock_state(Status.HOLDING, behind_s=300, hold=BEHIND, name=name) for name in held]
        expect(page.locator("#Announce")).to_be_empty()

        page.evaluate(stop, stopped[:1])
        expect(page.locator("#Announce")).to_contain_text("customer-1900 stopped. Partitions are behind")

        page.evaluate(stop, stopped)
        expect(page.locator("#Announce")).to_have_text(
            "50 of 2,000 clocks stopped: Partitions are behind (partition_behind)"
        )


@pytest.mark.parametrize(("theme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_the_list_is_accessible(browser: Browser, theme: str, size: tuple[int, int]) -> None:
    """axe finds no violation, also when no clock matches; the keyboard reaches search, statuses and pages."""
    with many(browser) as seen:
        page = seen.page
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.set_viewport_size({"width": size[0], "height": size[1]})
        seen.check_accessibility()
        page.get_by_label("Search").focus()
        reached = []
        for _ in range(6 + SHOWN):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.innerText.trim()"))
        assert reached[:5] == ["all 2,000", "holding 70", "catching up 30", "running 1,900", "Clocks"]
        assert reached[-1] == "ListNext"
        page.get_by_label("Search").fill("nothing")
        expect(page.locator("#Range")).to_have_text("No clock matches")
        seen.check_accessibility()


def test_a_service_with_many_clocks(browser: Browser) -> None:
    """The real API: 70 clocks in two pages, the one that holds first; found by search. No answer has 60 kB."""
    made = [PageClock(f"customer-{number:02}", interval_s=60, partitions=2) for number in range(SHOWN + 10)]
    for clock in made:
        clock.past(3)
        clock.report()
    made[-1].publish_hold(BEHIND)
    with page_served(*made) as shown, opened(browser, shown.url) as seen:
        page = seen.page
        expect(page.locator("#Headline")).to_have_text("1 of 70 clocks stopped: customer-69")
        expect(page.locator("#ClockName")).to_have_text("customer-69")
        assert names(page) == ["customer-69", *(f"customer-{number:02}" for number in range(SHOWN - 1))]
        expect(page.locator("#Clocks .why").first).to_contain_text(f"(partition_behind): {TOPIC}:3 and 1 more, for ")

        page.get_by_role("button", name="Next").click()
        expect(page.locator("#Range")).to_have_text("61 to 70 of 70 clocks, the worst first")
        assert names(page) == [f"customer-{number:02}" for number in range(SHOWN - 1, SHOWN + 9)]
        page.get_by_label("Search").fill("R-6")
        expect(page.locator("#Range")).to_have_text("10 of 70 clocks")
        page.get_by_role("button", name="holding 1").click()
        expect(page.locator("#Range")).to_have_text("1 of 70 clocks")

        sizes = page.evaluate(
            "performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/clocks?'))"
            ".map((one) => one.encodedBodySize)"
        )
        assert len(sizes) >= 4
        assert max(sizes) < 60_000
        assert seen.errors == []
