"""`/docs` works in a browser under its Content-Security-Policy."""

from playwright.sync_api import Browser, expect

from tests.system.ops.page.browser import opened
from tests.system.ops.page.page_clock import PageClock, page_served


def test_the_reference_is_shown_without_violations(browser: Browser) -> None:
    """Swagger UI lists the routes, opens one with its schema, and sends a request; the browser blocks nothing."""
    clock = PageClock(interval_s=60)
    clock.past(10)
    clock.report()
    with page_served(clock) as shown, opened(browser, f"{shown.url}docs", wait=False) as seen:
        page = seen.page
        route = page.locator("#operations-clocks-listClocks")
        expect(route).to_be_visible()
        route.locator("button.opblock-summary-control").click()
        route.get_by_role("button", name="Try it out").click()
        route.get_by_role("button", name="Execute").click()

        expect(route.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
        assert seen.errors == []


def test_no_page_can_frame_it(browser: Browser) -> None:
    """A page that frames it, to trick a person into clicks, shows nothing of it."""
    clock = PageClock(interval_s=60)
    with page_served(clock) as shown, opened(browser, f"{shown.url}livez", wait=False) as seen:
        for path in ("docs", ""):
            seen.page.set_content(f'<iframe src="{shown.url}{path}"></iframe>')
            frame = seen.page.frames[-1]

            assert "swagger" not in frame.content().lower()
            assert "clocksvc" not in frame.content().lower()
        assert any("frame-ancestors" in error for error in seen.errors)
