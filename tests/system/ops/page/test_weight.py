"""What the page costs: bytes, questions, the browser's time; with 4,096 partitions and a tick each second."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from playwright.sync_api import Browser, Page, expect

from tests.system.ops.page.browser import opened
from tests.system.ops.page.stage import (
    Stage,
    showing,
)
from tests.waiting import eventually

PARTITIONS = 4_096
MEASURED_S = 10
HISTORY = "performance.getEntriesByType('resource').filter((one) => one.name.endsWith('limit=360')).length"
SIZES = (
    "(end) => performance.getEntriesByType('resource').filter((one) => one.name.endsWith(end))"
    ".map((one) => one.encodedBodySize)"
)
SCRIPT = {
    "EvaluateScript", "FunctionCall", "TimerFire", "FireAnimationFrame", "RunMicrotasks", "v8.compile", "v8.run",
    "v8.callFunction", "v8.evaluateModule", "EventDispatch", "MinorGC", "MajorGC", "V8.GCScavenger",
}  # fmt: skip
"""Chromium's names for what a script does on the page's thread, its rubbish taken out included."""


def wide() -> Stage:
    """A clock of 4,096 partitions, a tick a second."""
    stage = Stage(partitions=PARTITIONS, interval_s=1)
    stage.past(1_000, until_s=1)
    stage.report(0.2)
    return stage


@contextmanager
def ticking(stage: Stage) -> Iterator[None]:
    """Every second all partitions are reported and a tick is given."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(1 - stage.now_ms() % 1000 / 1000):
            stage.report()
            stage.tick()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def test_it_takes_little_of_a_core_and_asks_seldom(browser: Browser) -> None:
    """While a tick comes each second and the map of 4,096 is drawn anew: scripts take less than 10% of a core, by
    Chromium's own tracing; clocks and partitions are asked for each 5 s at most, in pages of at most 60 kB."""
    with showing(stage := wide()) as shown, ticking(stage), opened(browser, shown.url) as seen:
        expect(seen.page.get_by_role("img", name="4,096 partition clocks")).to_be_visible()
        eventually(lambda: seen.page.evaluate(HISTORY), what="the page to have all that it loads")
        before = seen.text("Time")

        share = traced(browser, seen.page, MEASURED_S)

        print(f"script took {share:.1%} of a core")
        assert share < 0.10
        assert seen.text("Time") > before
        assert seen.errors == []
        for question in ("/partitions/brief", "/v1/clocks"):
            asked = [one for one in seen.requests if one.url.endswith(question)]
            began = [one.timing["startTime"] for one in asked if one.timing["startTime"] > 0]
            assert len(began) >= 3
            assert min(after - before for before, after in pairwise(began)) >= 5_000
        assert all(size < 60_000 for size in seen.page.evaluate(f"({SIZES})('/partitions/brief')"))


def test_a_busy_script_would_be_seen(browser: Browser) -> None:
    """The measurement has teeth: a script that works for a tenth of the time is counted as at least that."""
    busy = "setInterval(() => { for (const end = performance.now() + 20; performance.now() < end; ); }, 200)"
    with showing(stage := Stage()) as shown, ticking(stage), opened(browser, shown.url) as seen:
        assert traced(browser, seen.page, 3, busy) >= 0.08


def test_the_first_picture_comes_within_a_second(browser: Browser) -> None:
    """Both what is painted first and the clock with its words; the best of three: what else runs here only adds."""
    painted, clocks = [], []
    with showing(stage := wide()) as shown, ticking(stage):
        for _ in range(3):
            with opened(browser, shown.url) as seen:
                painted.append(
                    seen.page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
                )
                clocks.append(seen.page.evaluate("performance.getEntriesByName('clocks-shown')[0].startTime"))

    print(f"first paint after {sorted(map(round, painted))} ms, the clock after {sorted(map(round, clocks))} ms")
    assert min(painted) < 1_000
    assert min(clocks) < 1_000


def test_all_that_is_loaded_weighs_less_than_150_kb(browser: Browser) -> None:
    """The page with all its files and all answers, the map of 4,096 partitions and the ticks of the last hours too."""
    with showing(wide()) as shown, opened(browser, shown.url) as seen:
        expect(seen.page.get_by_role("img", name="4,096 partition clocks")).to_be_visible()
        eventually(lambda: seen.page.evaluate(HISTORY), what="the page to have all that it loads")
        entries = seen.page.evaluate(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
            ".map((one) => [one.name, one.transferSize])"
        )
        loaded = dict(reversed(entries))  # of what was asked for again, the first answer

        weight = sum(loaded.values())
        own = sum(size for name, size in loaded.items() if "/v1/" not in name)
        print(f"{len(loaded)} answers, {weight} bytes, {own} of them the page's files")
        assert len(loaded) > 20
        assert weight < 150_000
        assert all(size > 0 for name, size in loaded.items() if not name.endswith("/stream"))
        assert {name.split("/")[2] for name in loaded} == {shown.url.split("/")[2]}


def traced(browser: Browser, page: Page, seconds: int, script: str = "null") -> float:
    """The share of one core that the page's scripts take for so long, this one among them."""
    browser.start_tracing(page=page, categories=["devtools.timeline", "v8", "v8.execute", "disabled-by-default-v8.gc"])
    page.evaluate(script)
    page.wait_for_timeout(seconds * 1000)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = {(one["pid"], one["tid"]) for one in events if one.get("name") == "FireAnimationFrame"}
    spans = sorted(
        (one["ts"], one["ts"] + one["dur"])
        for one in events
        if one.get("ph") == "X" and one["name"] in SCRIPT and (one["pid"], one["tid"]) in threads
    )
    assert spans
    return union_us(spans) / (seconds * 1e6)


def union_us(spans: list[tuple[float, float]]) -> float:
    """How long at least one of these spans lasts; they are sorted by their beginnings."""
    total, upto = 0.0, float("-inf")
    for begin, end in spans:
        total += max(0.0, end - max(begin, upto))
        upto = max(upto, end)
    return total
