"""The page with clocks from `fixture_states`: nothing moves, so a test can compare all that is shown."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, expect

from tests.system.ops.page.browser import OpenPage, opened
from tests.system.ops.page.fixture_states import fixture_script, past_hold
from tests.system.ops.page.page_clock import start_server

HOLDS = [
    past_hold("partition_behind", 9_000, 8_600),
    past_hold("store_unavailable", 90_000, 89_910),
    past_hold("reports_rejected", 250_000, 248_700),
]
ANSWER = """async (states) => {
  api.clocks = states;
  poll();
  const name = document.getElementById("ClockName"), shown = () => states.some((one) => one.clock === name.textContent);
  for (let turn = 0; turn < 5 || (turn < 100 && !shown()); turn += 1) await new Promise((done) => setTimeout(done));
}"""
"""Answers the page's next requests with these states, and returns when the page has drawn one of them."""


@contextmanager
def drawn(
    browser: Browser,
    clocks: Sequence[Mapping[str, Any]],
    pipelines: Mapping[str, Mapping[str, Any]] = {},
    **how: Any,
) -> Iterator[OpenPage]:
    """The page with these clocks, of which the first is selected. No request and no script may fail."""
    script, server = fixture_script(clocks, HOLDS, pipelines), start_server()
    try:
        url = f"{server.url}#{clocks[0]['clock']}"
        with opened(browser, url, script=script, **how) as seen:
            expect(seen.page.locator("#HoldsList li")).to_have_count(len(HOLDS))
            expect(seen.page.locator("#MapCount")).not_to_be_empty()
            yield seen
            assert seen.errors == []
    finally:
        server.stop()
