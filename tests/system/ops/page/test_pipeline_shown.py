"""The pipeline on the page: its stages in order, what each one waits for, and the stage to blame."""

from collections.abc import Mapping
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import UpstreamSpec
from clocksvc.committed.rules import WaitsFor
from clocksvc.interfaces.observations import PartitionObservation, UpstreamObservation
from clocksvc.service.pipeline import Pipeline, Stage, pipeline_to_wire
from clocksvc.service.public_state import ObserverState
from tests.system.ops.page.browser import PHONE
from tests.system.ops.page.drawn_page import ANSWER, drawn
from tests.system.ops.page.fixture_states import NOW_MS, TOPIC, clock_state, partition

OTHER = "https://clocksvc.eu-west-1.example.org"
RAW, ENRICHED, WAREHOUSE = (UpstreamSpec(name) for name in ("raw", "enriched", "warehouse"))
REMOTE = UpstreamSpec("orders", OTHER)
OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("#Stages .stage")].map((one) => one.getBoundingClientRect());
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
  return boxes.some((a, at) => boxes.slice(at + 1).some((b) => !apart(a, b)));
}"""


def at_ms(behind_s: int) -> int:
    """The last boundary that was at least this long ago."""
    return (NOW_MS - behind_s * 1000) // 60_000 * 60_000


def stage(name: UpstreamSpec, number: int, *after: UpstreamSpec, behind_s: int = 65, **more: Any) -> Stage:
    """A stage that runs, unless `more` has another status."""
    fields = {"status": "running", "stage_behind_ms": 60_000 if after else None} | more
    return Stage(name, after, number, at_ms(behind_s), behind_s * 1000, **fields)


def pipelines(*stages: Stage, more: int = 0) -> dict[str, Mapping[str, Any]]:
    """The answers for all stages of this installation."""
    return {
        one.name.clock: pipeline_to_wire(Pipeline(one.name.clock, stages, more)) for one in stages if not one.name.url
    }


def stuck() -> tuple[Stage, ...]:
    """Three stages. A partition holds the first one."""
    hold = {
        "reason": "partition_behind",
        "since": "2026-11-30T10:15:00Z",
        "partitions": [{"topic": TOPIC, "partition": 3}],
        "detail": "it is behind",
    }
    waits = {"reason": "upstream_behind", "since": "2026-11-30T10:15:00Z", "partitions": [], "detail": "waits"}
    late: dict[str, Any] = {"behind_s": 300, "status": "holding"}
    return (
        stage(RAW, 1, hold=hold, to_blame=True, **late),
        stage(ENRICHED, 2, RAW, hold=waits, waits_for=RAW, stage_behind_ms=0, **late),
        stage(WAREHOUSE, 3, ENRICHED, hold=waits, waits_for=ENRICHED, stage_behind_ms=0, **late),
    )


def waiting_clock(**more: Any) -> dict[str, Any]:
    """The state of the warehouse, which waits for `enriched`, which waits for `raw`."""
    raw = Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 3),), "it is behind").to_wire()
    first = {"clock": "raw", "url": "", "time": None, "status": "holding", "hold": raw}
    enriched = Hold(Reason.UPSTREAM_BEHIND, upstream=first).to_wire()
    second = {"clock": "enriched", "url": "", "time": None, "status": "holding", "hold": enriched}
    hold = Hold(Reason.UPSTREAM_BEHIND, detail="the upstream clock enriched has not reached 10:16", upstream=second)
    return clock_state(
        Status.HOLDING,
        name="warehouse",
        behind_s=300,
        hold=hold,
        heartbeats_every_s=None,
        source="committed",
        after=(UpstreamObservation("enriched", "", at_ms(300)),),
        observer=ObserverState(NOW_MS - 3_000, "", {}, 0),
        **more,
    )


def words(page: Page, name: str) -> str:
    """The text of one stage."""
    return page.locator(f'#Stages [data-key="{name}"]').inner_text()


def test_three_stages_of_which_the_first_one_is_stuck(browser: Browser) -> None:
    """In order, with lines between them; only the first one is marked, and it can be selected."""
    raw = clock_state(
        Status.HOLDING, name="raw", behind_s=300, hold=Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 3),))
    )
    with drawn(browser, [waiting_clock(), raw], pipelines(*stuck())) as seen:
        page = seen.page
        expect(page.locator("#Stages .name")).to_have_text(["raw", "enriched", "warehouse"])
        expect(page.locator("#Stages .blamed .name")).to_have_text("raw")
        expect(page.locator("#PipelineWords")).to_have_text("raw delays the pipeline.")
        expect(page.locator("#PipelineLines path.waits")).to_have_count(2)
        assert "delays the pipeline" in words(page, "raw")
        assert f"Partitions are behind (partition_behind): {TOPIC}:3." in words(page, "raw")
        assert "Waits for enriched." in words(page, "warehouse")
        assert "level with enriched" in words(page, "warehouse")
        assert not page.evaluate(OVERLAPS)
        lefts = [box["x"] for box in (one.bounding_box() for one in page.locator("#Stages .stage").all()) if box]
        assert lefts == sorted(set(lefts))
        assert seen.text("Headline") == "2 of 2 clocks stopped: raw, and 1 clock after it"
        assert "The stage raw holds: Partitions are behind (partition_behind)." in seen.text("Advice")
        expect(page.locator("#Clocks li", has_text="warehouse").locator(".why")).to_contain_text(
            "Waits for raw (upstream_behind)"
        )
        seen.check_accessibility()

        page.locator('#Stages [data-key="raw"] a').click()
        expect(page.locator("#ClockName")).to_have_text("raw")
        expect(page.locator("#Stages [aria-current] .name")).to_have_text("raw")


def test_a_clock_without_other_stages_has_no_pipeline(browser: Browser) -> None:
    """The panel is hidden, and the stages are not read again with each poll."""
    with drawn(browser, [clock_state(behind_s=5)]) as seen:
        for _ in range(2):
            seen.page.evaluate(ANSWER, [clock_state(behind_s=5)])

        expect(seen.page.locator("#Pipeline")).to_be_hidden()
        assert seen.page.evaluate("asked.filter((path) => path.endsWith('pipeline')).length") == 1


def diamond() -> tuple[Stage, ...]:
    """Two branches, one of which catches up."""
    left, right, sink = (UpstreamSpec(name) for name in ("left", "right", "checkins"))
    return (
        stage(RAW, 1, behind_s=5),
        stage(left, 2, RAW, waiting={"not_processed": 2}),
        stage(right, 2, RAW, behind_s=3_600, status="catching_up", stage_behind_ms=3_540_000, to_blame=True),
        stage(sink, 3, left, right, behind_s=3_600, status="catching_up", stage_behind_ms=0, waits_for=right),
    )


@pytest.mark.parametrize("size", [(1366, 900), PHONE])
def test_a_diamond_fits_a_desk_and_a_phone(browser: Browser, size: tuple[int, int]) -> None:
    """Each stage once, four lines, nothing overlaps, and nothing is wider than the page."""
    with drawn(browser, [clock_state(behind_s=5)], pipelines(*diamond()), size=size) as seen:
        page = seen.page
        expect(page.locator("#Stages .stage")).to_have_count(4)
        expect(page.locator("#PipelineLines path")).to_have_count(4)
        expect(page.locator("#PipelineLines path.waits")).to_have_count(1)
        assert "2 partitions: the group has not processed it (not_processed)." in words(page, "left")
        assert "59 min behind raw" in words(page, "right")
        assert "level with the stages before" in words(page, "checkins")
        assert not page.evaluate(OVERLAPS)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_stages_of_another_installation_lead_to_its_page(browser: Browser) -> None:
    """Only if the address is one of the web. A stage that can't be read shows the error."""
    strange = UpstreamSpec("strange", "javascript:alert(1)")
    ours = UpstreamSpec("checkins")
    stages = (
        Stage(REMOTE, problem="401 from the service: the token is not known", to_blame=True),
        Stage(strange, status="running"),
        stage(ours, 2, REMOTE, strange, waits_for=REMOTE),
    )
    with drawn(browser, [clock_state(behind_s=5)], pipelines(*stages, more=7)) as seen:
        page = seen.page
        link = page.locator(f'#Stages [data-key="orders@{OTHER}"] a')
        expect(link).to_have_attribute("href", f"{OTHER}/#orders")
        assert "Not readable: 401 from the service: the token is not known." in words(page, f"orders@{OTHER}")
        assert page.locator('#Stages [data-key="strange@javascript:alert(1)"] a').get_attribute("href") is None
        expect(page.locator("#PipelineWords")).to_have_text(
            f"orders@{OTHER} delays the pipeline. 7 more stages not shown."
        )
        seen.check_accessibility()


@pytest.mark.parametrize("waits_for", WaitsFor)
def test_a_partition_shows_what_it_waits_for(browser: Browser, waits_for: WaitsFor) -> None:
    """In the table of the slowest partitions, with its offsets, and in what to do. Nothing about heartbeats."""
    line = partition(3, 300, observed=PartitionObservation(10, 1_012, waits_for))
    state = clock_state(
        Status.HOLDING,
        behind_s=300,
        hold=Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 3),), "it is behind"),
        slowest=[line],
        heartbeats_every_s=None,
        source="committed",
        observer=ObserverState(NOW_MS - 3_000, "", {str(waits_for): 1}, 7),
    )
    with drawn(browser, [state]) as seen:
        expect(seen.page.locator("#Slowest .note")).to_contain_text(f"({waits_for}). Committed 10, end 1,012.")
        assert f"{TOPIC}:3: " in seen.text("Advice")
        assert "eartbeat" not in seen.text("Clock")
        assert "Committed offsets, read 3 s ago, 7 offsets skipped" in seen.text("Facts")
        seen.page.get_by_role("link", name="Runbook: partition_behind").click()
        expect(seen.page.locator("#RunbookText h3").last).to_have_text("Clocks from committed offsets")
