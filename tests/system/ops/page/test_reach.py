"""A service that ends, comes back, wants a token or refuses one: the page says so, and goes on by itself."""

from itertools import pairwise

from playwright.sync_api import Browser, expect

from clocksvc.api.tokens import Scope, Token
from tests.system.ops.page.browser import opened
from tests.system.ops.page.stage import (
    Stage,
    feeding,
    show,
    showing,
)

SOON_MS = 30_000
NETWORK = "Failed to load resource"
"""The browser itself writes this for every answer that is an error, and for every connection that is refused."""


def test_it_survives_a_restart_and_says_so(browser: Browser) -> None:
    """It says that nobody answers, since when, what to do; then it is live again, with every tick given meanwhile."""
    stage = Stage(interval_s=1)
    stage.past(30, until_s=3)
    stage.report()
    with feeding(stage):
        first = show(stage)
        with opened(browser, first.url) as seen:
            page = seen.page
            expect(page.locator("#Link")).to_have_text("live")
            first.stop()

            expect(page.locator("#Verdict")).to_have_text("The service does not answer", timeout=SOON_MS)
            expect(page.locator("#Link")).to_contain_text("reconnecting")
            expect(page.locator("#Trouble")).to_contain_text("No answer since")
            expect(page.locator("#Word")).to_contain_text("? no answer, was")
            expect(page.locator("#Advice")).to_contain_text("Do replicas run")
            expect(page.locator("#Announce")).to_have_text("The service does not answer")
            seen.check_rules()

            stage.report()
            last_s = stage.tick()
            second = show(stage, port=first.port)

            expect(page.locator("#Link")).to_have_text("live", timeout=SOON_MS)
            expect(page.locator("#Announce")).to_have_text("The service answers again")
            expect(page.locator("#Trouble")).to_be_hidden()
            times = page.locator("#Ticks strong")
            expect(times.first).to_have_text(f"{last_s // 3600 % 24:02}:{last_s // 60 % 60:02}:{last_s % 60:02}")
            assert follow_each_other(times.all_inner_texts())
            resumed = [one for one in seen.requests if "/ticks/stream" in one.url][-1]
            assert resumed.headers["last-event-id"].isdigit()
            assert [error for error in seen.errors if NETWORK not in error] == []
            second.stop()


def test_a_token_is_asked_for_and_kept_in_the_tab_alone(browser: Browser) -> None:
    """A wrong one is refused and asked for again; the good one opens everything, travels in no address, and goes."""
    stage = Stage(interval_s=60)
    stage.past(10)
    stage.report()
    secret = "s3cret-of-the-night-shift"
    with (
        showing(stage, tokens=[Token("night", secret, frozenset({Scope.READ}))]) as shown,
        opened(browser, shown.url, wait=False) as seen,
    ):
        page = seen.page
        box = page.get_by_role("dialog", name="A token is needed")
        field = page.get_by_label("Token with the scope read")
        expect(box).to_be_visible()
        page.keyboard.press("Escape")
        expect(box).to_be_visible()
        field.fill("a-wrong-one")
        page.keyboard.press("Enter")
        expect(page.locator("#TokenWhy")).to_have_text("That one was refused: this token is not known here.")
        field.fill(secret)
        page.get_by_role("button", name="Use it").click()

        expect(page.locator("#Link")).to_have_text("live", timeout=SOON_MS)
        expect(page.locator("#ClockName")).to_have_text("checkins")
        assert page.evaluate("Object.values(sessionStorage)") == [secret]
        assert page.evaluate("[Object.values(localStorage), document.cookie]") == [[], ""]
        assert not [request.url for request in seen.requests if secret in request.url]
        assert [error for error in seen.errors if NETWORK not in error] == []

        page.get_by_role("button", name="Forget the token").click()

        expect(box).to_be_visible()
        assert page.evaluate("Object.values(sessionStorage)") == []


def test_a_token_that_may_not_read_is_told_so(browser: Browser) -> None:
    """In the service's words, with the way to another one."""
    stage = Stage(interval_s=60)
    with (
        showing(stage, tokens=[Token("consumer", "s3cret-of-a-consumer", frozenset({Scope.REPORT}))]) as shown,
        opened(browser, shown.url, wait=False) as seen,
    ):
        seen.page.get_by_label("Token with the scope read").fill("s3cret-of-a-consumer")
        seen.page.keyboard.press("Enter")

        expect(seen.page.locator("#Verdict")).to_have_text("The service refuses to tell")
        expect(seen.page.locator("#Trouble")).to_contain_text("token 'consumer' lacks the scope 'read'")
        expect(seen.page.get_by_role("button", name="Forget the token")).to_be_visible()


def test_a_store_out_of_reach_is_a_hold_with_its_advice(browser: Browser) -> None:
    """The service answers, so the page shows what it says: nothing of it is guessed."""
    stage = Stage(interval_s=60)
    stage.past(10)
    stage.report()
    with showing(stage) as shown, opened(browser, shown.url, hurried=True) as seen:
        expect(seen.page.locator("#Link")).to_have_text("live")
        stage.store.broken = True
        seen.hurry()

        expect(seen.page.locator("#Sentence")).to_contain_text("Reason: store_unavailable", timeout=SOON_MS)
        expect(seen.page.locator("#Advice")).to_contain_text("Bring Redis back")
        expect(seen.page.locator("#Facts")).to_contain_text("not known")


def follow_each_other(times: list[str]) -> bool:
    """Whether times of the day, the newest first, are a second apart."""
    seconds = [int(time[:2]) * 3600 + int(time[3:5]) * 60 + int(time[6:]) for time in times]
    return len(times) > 5 and all((a - b) % 86_400 == 1 for a, b in pairwise(seconds))
