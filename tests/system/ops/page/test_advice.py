"""The page's advice fits the cause of each hold. What it says comes from the service's answer."""

import pytest
from playwright.sync_api import Browser, Page

from tests.system.ops.page.drawn_page import ANSWER, drawn
from tests.system.ops.page.fixture_states import GROUP, TOPIC, states

WORDS: dict[str, tuple[str, ...]] = {
    "behind-silent": ("partition_behind", f"Start a consumer of group {GROUP} for {TOPIC}:3", "last reported 51 s ago"),
    "behind-stuck": ("heartbeats arrive", "stuck at a record", "lag"),
    "behind-no-heartbeats": ("No heartbeat for 16 s though one is due every 5 s", "is a Celery worker running?"),
    "behind-heartbeats-off": ("switch heartbeats on", "heartbeat.every"),
    "behind-long-name": ("too_far_ahead", "Find the producer whose clock is ahead", "Start a consumer"),
    "unreported": ("partition_unreported", f"Start the consumers of group {GROUP}", TOPIC),
    "unreported-all-excluded": ("Every partition is excluded", "clocksvc include"),
    "rejected-too-far-ahead": ("too_far_ahead", "max_future", "NTP"),
    "rejected-no-timestamp": ("no_timestamp", "LogAppendTime"),
    "rejected-not-milliseconds": ("not_milliseconds", "seconds", "in milliseconds since 1970"),
    "rejected-foreign-group": ("foreign_group", "'billing-consumer'", f"Use group {GROUP}", "group.id"),
    "rejected-foreign-topic": ("foreign_topic", "'brk'", TOPIC, "topic="),
    "topic-missing": ("topic_missing", "does not list", "Describe"),
    "ahead-of-time": ("ahead_of_time", "NTP"),
    "metadata-unavailable": ("metadata_unavailable", "TOPIC_AUTHORIZATION_FAILED", "describe"),
    "store-unavailable": ("store_unavailable", "redis.prod.internal:6379", "Start Redis"),
    "store-mismatch": ("store_mismatch", "'x8sZt1qSTe-staging'", "redis.prefix"),
    "ticklog-unavailable": ("ticklog_unavailable", "NOT_ENOUGH_REPLICAS", "in sync"),
    "ticklog-truncated": ("ticklog_truncated", "--last-tick 2026-11-30T10:15:00Z", "cleanup.policy=compact"),
    "ticklog-open-transaction": ("ticklog_open_transaction", "find-hanging", "abort"),
    "leader-stuck": ("leader_stuck", "another replica can lead"),
    "config-conflict": ("config_conflict", "a-7c9f:1", "rolling update"),
    "no-leader": ("no_leader", "Check that replicas run"),
    "paused": ("paused", "Paused by ops: migration, CHG-0815.", "clocksvc resume"),
}
"""For each cause, the words that a person must read in the panel of the clock."""
NO_EXCLUSION = ("unreported", "rejected-not-milliseconds", "rejected-foreign-group", "rejected-foreign-topic")
"""Causes for which an exclusion is a mistake: a first start, or a consumer with a wrong setting."""


def test_the_panel_has_the_words_of_each_cause(browser: Browser) -> None:
    """Reason with its code, detail, what to do; as sentences with capitals; each sentence once."""
    every = states()
    held = {name: state for name, state in every.items() if state["hold"]}
    assert set(held) == set(WORDS)
    with drawn(browser, list(held.values())) as seen:
        for name, state in held.items():
            seen.page.evaluate(ANSWER, [state])
            lines = panel_lines(seen.page)
            shown = " ".join(lines)

            assert [word for word in WORDS[name] if word not in shown] == [], f"{name}: {shown}"
            assert [line for line in lines if line[:1].islower() and ": " not in line] == [], name
            assert len(set(lines)) == len(lines), name
            assert "clocksvc exclude" not in shown or name not in NO_EXCLUSION


@pytest.mark.parametrize("status", ["starting", "unreported"])
def test_before_the_first_tick_there_is_no_empty_figure(browser: Browser, status: str) -> None:
    """No dash for the delay, and no empty box for the time."""
    with drawn(browser, [states()[status]]) as seen:
        assert not seen.page.locator("#TimeBox, #BehindBox").first.is_visible()
        assert "No tick yet" in seen.text("Sentence")


def test_a_catch_up_has_its_ticks_and_its_duration(browser: Browser) -> None:
    """From two answers 10 s apart, between which the clock has come 20 minutes closer."""
    before = states()["catching-up"]
    after = before | {
        "timestamp_seconds": before["timestamp_seconds"] + 1_210,
        "behind_seconds": before["behind_seconds"] - 1_200,
    }
    with drawn(browser, [before]) as seen:
        assert "64 ticks due." in seen.text("Sentence")
        seen.page.evaluate(ANSWER, [after])

        assert "44 ticks due, about 23 s at the present pace." in seen.text("Sentence")


def test_names_from_kafka_are_text(browser: Browser) -> None:
    """A topic, a group, a detail or a reason with markup is shown as it is, and runs no script."""
    markup = "<img src=x onerror=document.body.remove()>"
    state = states()["behind-silent"]
    state |= {"group": markup, "topics": [markup], "leader": markup}
    state["hold"] |= {"detail": f"{markup}; {markup} again", "reason": markup}
    state["hold"]["partitions"][0]["topic"] = state["slowest"][0]["topic"] = markup
    with drawn(browser, [state]) as seen:
        assert seen.page.locator("img").count() == 0
        assert seen.text("Detail").count(markup) == 2
        assert f"{markup}:3" in seen.text("Holders")


def panel_lines(page: Page) -> list[str]:
    """The sentence, the detail, what to do and the command."""
    found: list[str] = page.locator("#Sentence, #Detail li, #Advice li, #Command:not([hidden])").all_inner_texts()
    return found
