"""The page's advice fits the cause of each hold. What it says comes from the service's answer."""

import re

import pytest
from playwright.sync_api import Browser, Page

from tests.system.ops.page.drawn_page import ANSWER, drawn
from tests.system.ops.page.fixture_states import GROUP, TOPIC, causes, states
from tests.unit.test_hold_causes import CAUSES, words

FURTHER_WORDS: dict[str, tuple[str, ...]] = {
    "behind-silent": (f"for {TOPIC}:0, last reported 51 s ago",),
    "behind-stuck": ("heartbeats arrive",),
    "behind-no-heartbeats": ("No heartbeat for 16 s though one is due every 5 s", "is a Celery worker running?"),
    "behind-heartbeats-off": ("switch heartbeats on", "heartbeat.every"),
    "behind-long-name": ("too_far_ahead", "Find the producer whose clock is ahead", "Start a consumer"),
    "rejected-foreign-group": ("'canary'", f"Use group {GROUP}"),
    "unreported-foreign-topic": ("'brk'",),
    "paused": ("4 ticks due.",),
    "ticklog-truncated": ("--last-tick 2026-11-30T10:15:00Z",),
}
"""Words of what the page itself concludes."""
EXCLUDABLE = {"behind-silent", "behind-stuck", "rejected-too-far-ahead", "rejected-no-timestamp"} | {
    name for name in states() if name.startswith("behind")
}
"""Causes for which an exclusion can help. Otherwise it is a mistake, as at a first start or for a wrong group."""


def test_the_panel_has_the_words_of_each_cause(browser: Browser) -> None:
    """The words of `tests/hold_causes.json`, and the code of the reason. All are sentences, and none is shown twice."""
    held = causes() | {name: state for name, state in states().items() if state["hold"]}
    with drawn(browser, list(held.values())) as seen:
        for name, state in held.items():
            seen.page.evaluate(ANSWER, [state])
            lines = panel_lines(seen.page)
            shown = " ".join(lines)
            wanted = [f"({state['hold']['reason']})", *FURTHER_WORDS.get(name, ())]
            if name in CAUSES:
                wanted += words(name, "advice")

            assert [word for word in wanted if word not in shown] == [], f"{name}: {shown}"
            assert [line for line in lines if re.match(r"[a-z']+[ ,]", line)] == [], name
            assert len(set(lines)) == len(lines), name
            assert ("clocksvc exclude" in shown) == (name in EXCLUDABLE), name


@pytest.mark.parametrize("status", ["starting", "unreported"])
def test_before_the_first_tick_there_is_no_empty_figure(browser: Browser, status: str) -> None:
    """No dash for the delay, and no empty box for the time."""
    with drawn(browser, [(states() | causes())[status]]) as seen:
        assert not seen.page.locator("#TimeBox, #BehindBox").first.is_visible()
        assert "No tick yet" in seen.text("Sentence")


def test_a_catch_up_has_its_ticks_and_its_duration(browser: Browser) -> None:
    """The number of due ticks is the leader's. The duration follows from two answers 10 s apart."""
    before = states()["catching-up"]
    after = before | {
        "timestamp_seconds": before["timestamp_seconds"] + 129_610,
        "behind_seconds": before["behind_seconds"] - 129_600,
        "due_ticks": 2_159,
    }
    with drawn(browser, [before]) as seen:
        assert "4,319 ticks due." in seen.text("Sentence")
        seen.page.evaluate(ANSWER, [after])

        assert "2,159 ticks due, about 10 s at the present pace." in seen.text("Sentence")
        assert seen.text("Headline") == "catching-up is catching up: 1 d 12 h behind"


def test_names_from_kafka_are_text(browser: Browser) -> None:
    """A topic, a group, a detail or a reason with markup is shown as it is, and runs no script."""
    markup = "<img src=x onerror=document.body.remove()>"
    state = causes()["behind-silent"]
    state |= {"group": markup, "topics": [markup], "leader": markup}
    state["hold"] |= {"detail": f"{markup}; {markup} again", "reason": markup}
    state["hold"]["partitions"][0]["topic"] = state["slowest"][0]["topic"] = markup
    with drawn(browser, [state]) as seen:
        assert seen.page.locator("img").count() == 0
        assert seen.text("Detail").count(markup) == 2
        assert f"{markup}:0" in seen.text("Holders")


def panel_lines(page: Page) -> list[str]:
    """The sentence, the detail, what to do and the command."""
    found: list[str] = page.locator("#Sentence, #Detail li, #Advice li, #Command:not([hidden])").all_inner_texts()
    return found
