"""The page never shows an old all-clear: not when a replica lags, rejects a request, or has another version."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect

from clocksvc.clock.time_format import to_rfc3339
from tests.system.ops.page.browser import opened
from tests.system.ops.page.page_clock import PageClock, page_served

STATES = re.compile(r"/v1/clocks(/[a-z0-9-]+)?(\?[^/]*)?$")
"""The URLs of the list of clocks and of one clock."""


def running_clock() -> PageClock:
    """A clock with ticks up to now."""
    clock = PageClock(interval_s=60)
    clock.past(10)
    clock.report()
    return clock


def change_answers(page: Page, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the states of all further answers, in the list and of the one clock, as if another replica sent them."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        for state in body.get("clocks", [body]):
            change(state)
        if "counts" in body:
            body["counts"] = Counter(state["status"] for state in body["clocks"])
        route.fulfill(response=response, body=json.dumps(body))

    page.route(STATES, answer)


def test_the_page_recovers_from_an_answer_that_it_can_not_draw(browser: Browser) -> None:
    """The page shows an error, polls again, and recovers with the next valid answer."""
    with page_served(running_clock()) as shown, opened(browser, shown.url, fake_time=True) as seen:
        expect(seen.page.locator("#Headline")).to_have_text("checkins is running")
        change_answers(seen.page, lambda state: state.pop("partitions"))
        seen.skip_to_next_poll()

        expect(seen.page.locator("#Headline")).to_have_text("The service's answer can't be displayed")
        expect(seen.page.locator("#Headline")).to_have_attribute("data-tone", "lost")

        seen.page.unroute(STATES)
        seen.skip_to_next_poll()
        expect(seen.page.locator("#Headline")).to_have_text("checkins is running")


def test_the_hold_of_a_lagging_replica_is_shown(browser: Browser) -> None:
    """A lagging replica's hold is shown, although its older tick is not."""

    def lag(state: dict[str, Any]) -> None:
        state["timestamp_seconds"] -= state["interval_seconds"]
        state["time"] = before = to_rfc3339(state["timestamp_seconds"] * 1000)
        if "last_tick" in state:
            state["last_tick"] |= {"time": before, "timestamp_seconds": state["timestamp_seconds"]}
        state["hold"] = {"reason": "store_unavailable", "since": before, "partitions": [], "detail": "no answer"}
        state["status"] = "holding"

    with page_served(running_clock()) as shown, opened(browser, shown.url, fake_time=True) as seen:
        expect(seen.page.locator("#Headline")).to_have_text("checkins is running")
        at = seen.text("Time")
        change_answers(seen.page, lag)
        seen.skip_to_next_poll()

        expect(seen.page.locator("#Headline")).to_contain_text("checkins stopped ")
        expect(seen.page.locator("#Sentence")).to_contain_text("store_unavailable")
        assert seen.text("Time") == at


def test_a_token_that_is_no_longer_good_leaves_no_all_clear(browser: Browser) -> None:
    """Behind the dialog the headline and the tab's title show that the state is unknown."""
    with page_served(running_clock()) as shown, opened(browser, shown.url, fake_time=True) as seen:
        expect(seen.page.locator("#Headline")).to_have_text("checkins is running")
        seen.page.route(
            STATES, lambda route: route.fulfill(status=401, json={"detail": "this token is not known here"})
        )
        seen.skip_to_next_poll()

        expect(seen.page.get_by_role("dialog", name="A token is required")).to_be_visible()
        seen.page.clock.fast_forward(2_000)
        expect(seen.page.locator("#Headline")).to_have_text("The service requires a token")
        assert seen.page.title().startswith("? ")


def test_an_open_stream_does_not_hide_an_outage(browser: Browser) -> None:
    """Without answers to its polls the page shows an outage after 16 s, although the stream is alive."""
    with page_served(running_clock()) as shown, opened(browser, shown.url, fake_time=True) as seen:
        expect(seen.page.locator("#Link")).to_have_text("live")
        seen.page.route(STATES, lambda route: None)
        seen.page.clock.fast_forward(6_000)
        seen.page.clock.fast_forward(13_000)

        expect(seen.page.locator("#Headline")).to_have_text("The service does not answer")
        expect(seen.page.locator("#Outage")).to_contain_text("No answer since")
