"""What is not known, or can not be drawn, is never shown as well: replicas that lag, refuse, are of another version."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect

from tests.system.ops.page.browser import opened
from tests.system.ops.page.stage import (
    Stage,
    showing,
)

STATES = "**/v1/clocks"


def a_clock_that_moves() -> Stage:
    """With ticks up to now."""
    stage = Stage(interval_s=60)
    stage.past(10)
    stage.report()
    return stage


def answered_with(page: Page, change: Callable[[dict[str, Any]], None]) -> None:
    """From now on the clock's state is told otherwise, as by another replica."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        for state in body["clocks"]:
            change(state)
        route.fulfill(response=response, body=json.dumps(body))

    page.route(STATES, answer)


def test_an_answer_that_can_not_be_drawn_ends_nothing(browser: Browser) -> None:
    """The page says that it can't show it, asks again, and comes back with the next good answer."""
    with showing(a_clock_that_moves()) as shown, opened(browser, shown.url, hurried=True) as seen:
        expect(seen.page.locator("#Verdict")).to_have_text("checkins moves")
        answered_with(seen.page, lambda state: state.pop("partitions"))
        seen.hurry()

        expect(seen.page.locator("#Verdict")).to_have_text("The service's answer can't be shown")
        expect(seen.page.locator("#Verdict")).to_have_attribute("data-tone", "lost")

        seen.page.unroute(STATES)
        seen.hurry()
        expect(seen.page.locator("#Verdict")).to_have_text("checkins moves")


def test_a_hold_told_by_a_replica_that_lags_counts(browser: Browser) -> None:
    """Its last tick is older than the one shown, which stays; that it can't reach its store is news all the same."""

    def lag(state: dict[str, Any]) -> None:
        before = state["last_tick"]["previous"]
        state["timestamp_seconds"] -= state["interval_seconds"]
        state["time"] = before
        state["last_tick"] |= {"time": before, "timestamp_seconds": state["timestamp_seconds"]}
        state["hold"] = {"reason": "store_unavailable", "since": before, "partitions": [], "detail": "no answer"}
        state["status"] = "holding"

    with showing(a_clock_that_moves()) as shown, opened(browser, shown.url, hurried=True) as seen:
        expect(seen.page.locator("#Verdict")).to_have_text("checkins moves")
        at = seen.text("Time")
        answered_with(seen.page, lag)
        seen.hurry()

        expect(seen.page.locator("#Verdict")).to_contain_text("checkins has stood still since")
        expect(seen.page.locator("#Sentence")).to_contain_text("store_unavailable")
        assert seen.text("Time") == at


def test_a_token_that_is_no_longer_good_leaves_no_all_clear(browser: Browser) -> None:
    """Behind the dialogue stands that nothing is known, also in the tab's title."""
    with showing(a_clock_that_moves()) as shown, opened(browser, shown.url, hurried=True) as seen:
        expect(seen.page.locator("#Verdict")).to_have_text("checkins moves")
        seen.page.route(
            STATES, lambda route: route.fulfill(status=401, json={"detail": "this token is not known here"})
        )
        seen.hurry()

        expect(seen.page.get_by_role("dialog", name="A token is needed")).to_be_visible()
        seen.page.clock.fast_forward(2_000)
        expect(seen.page.locator("#Verdict")).to_have_text("The service wants a token")
        assert seen.page.title().startswith("? ")


def test_a_stream_that_goes_on_is_no_news_of_the_clocks(browser: Browser) -> None:
    """Nobody answers how the clocks are: after some seconds the page says so, though the stream is alive."""
    with showing(a_clock_that_moves()) as shown, opened(browser, shown.url, hurried=True) as seen:
        expect(seen.page.locator("#Link")).to_have_text("live")
        seen.page.route(STATES, lambda route: None)
        seen.page.clock.fast_forward(6_000)
        seen.page.clock.fast_forward(13_000)

        expect(seen.page.locator("#Verdict")).to_have_text("The service does not answer")
        expect(seen.page.locator("#Trouble")).to_contain_text("No answer since")
