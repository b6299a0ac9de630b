"""The page shows that the service is down, or that it requires a token, and recovers by itself."""

from itertools import pairwise

from playwright.sync_api import Browser, expect

from clocksvc.api.tokens import Scope, Token
from tests.system.ops.page.browser import opened
from tests.system.ops.page.page_clock import PageClock, feeds_running, page_served, start_server

SOON_MS = 30_000
NETWORK = "Failed to load resource"
"""The browser logs this for every error response, and for every connection that fails."""


def test_the_page_survives_a_restart_of_the_service(browser: Browser) -> None:
    """During a restart the page shows the outage, since when and what to do; then it has every tick, none missing."""
    clock = PageClock(interval_s=1)
    clock.past(30, until_s=3)
    clock.report()
    with feeds_running(clock):
        first = start_server(clock)
        with opened(browser, first.url) as seen:
            page = seen.page
            expect(page.locator("#Link")).to_have_text("live")
            first.stop()

            expect(page.locator("#Headline")).to_have_text("The service does not answer", timeout=SOON_MS)
            expect(page.locator("#Link")).to_contain_text("reconnecting")
            expect(page.locator("#Outage")).to_contain_text("No answer since")
            expect(page.locator("#Word")).to_contain_text("? no answer, was")
            expect(page.locator("#Advice")).to_contain_text("Check that replicas run")
            expect(page.locator("#Announce")).to_have_text("The service does not answer")
            seen.check_accessibility()

            clock.report()
            last_s = clock.tick()
            second = start_server(clock, port=first.port)

            expect(page.locator("#Link")).to_have_text("live", timeout=SOON_MS)
            expect(page.locator("#Announce")).to_have_text("The service answers again")
            expect(page.locator("#Outage")).to_be_hidden()
            times = page.locator("#Ticks strong")
            expect(times.first).to_have_text(f"{last_s // 3600 % 24:02}:{last_s // 60 % 60:02}:{last_s % 60:02}")
            assert follow_each_other(times.all_inner_texts())
            resumed = [one for one in seen.requests if "/ticks/stream" in one.url][-1]
            assert resumed.headers["last-event-id"].isdigit()
            assert [error for error in seen.errors if NETWORK not in error] == []
            second.stop()


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(browser: Browser) -> None:
    """A wrong token is rejected and asked for again; a valid one is kept in the tab only, and never in a URL."""
    clock = PageClock(interval_s=60)
    clock.past(10)
    clock.report()
    secret = "s3cret-of-an-operator"
    with (
        page_served(clock, tokens=[Token("night", secret, frozenset({Scope.READ}))]) as shown,
        opened(browser, shown.url, wait=False) as seen,
    ):
        page = seen.page
        box = page.get_by_role("dialog", name="A token is required")
        field = page.get_by_label("Token with the scope read")
        expect(box).to_be_visible()
        page.keyboard.press("Escape")
        expect(box).to_be_visible()
        field.fill("a-wrong-one")
        page.keyboard.press("Enter")
        expect(page.locator("#TokenWhy")).to_have_text("The token was rejected: this token is not known here.")
        field.fill(secret)
        page.get_by_role("button", name="Use token").click()

        expect(page.locator("#Link")).to_have_text("live", timeout=SOON_MS)
        expect(page.locator("#ClockName")).to_have_text("checkins")
        assert page.evaluate("Object.values(sessionStorage)") == [secret]
        assert page.evaluate("[Object.values(localStorage), document.cookie]") == [[], ""]
        assert not [request.url for request in seen.requests if secret in request.url]
        assert [error for error in seen.errors if NETWORK not in error] == []

        page.get_by_role("button", name="Forget the token").click()

        expect(box).to_be_visible()
        assert page.evaluate("Object.values(sessionStorage)") == []


def test_a_token_without_the_scope_read_is_an_error(browser: Browser) -> None:
    """The page shows the service's error, and the button to use another token."""
    clock = PageClock(interval_s=60)
    with (
        page_served(clock, tokens=[Token("consumer", "s3cret-of-a-consumer", frozenset({Scope.REPORT}))]) as shown,
        opened(browser, shown.url, wait=False) as seen,
    ):
        seen.page.get_by_label("Token with the scope read").fill("s3cret-of-a-consumer")
        seen.page.keyboard.press("Enter")

        expect(seen.page.locator("#Headline")).to_have_text("The service rejected the request")
        expect(seen.page.locator("#Outage")).to_contain_text("token 'consumer' lacks the scope 'read'")
        expect(seen.page.get_by_role("button", name="Forget the token")).to_be_visible()


def test_a_store_out_of_reach_is_a_hold_with_its_advice(browser: Browser) -> None:
    """The page shows the hold that the service reports while Redis is down."""
    clock = PageClock(interval_s=60)
    clock.past(10)
    clock.report()
    with page_served(clock) as shown, opened(browser, shown.url, fake_time=True) as seen:
        expect(seen.page.locator("#Link")).to_have_text("live")
        clock.store.server.broken = True
        seen.skip_to_next_poll()

        expect(seen.page.locator("#Sentence")).to_contain_text(
            "Redis is not available (store_unavailable).", timeout=SOON_MS
        )
        expect(seen.page.locator("#Advice")).to_contain_text("Start Redis")
        expect(seen.page.locator("#Facts")).to_contain_text("Not known, because Redis does not answer")


def follow_each_other(times: list[str]) -> bool:
    """Whether these times of day, the newest first, are one second apart."""
    seconds = [int(time[:2]) * 3600 + int(time[3:5]) * 60 + int(time[6:]) for time in times]
    return len(times) > 5 and all((a - b) % 86_400 == 1 for a, b in pairwise(seconds))
