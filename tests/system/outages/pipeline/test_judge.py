"""The judge of a pipeline finds what a wrong pipeline would do."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.evidence import TickWithOffset
from tests.system.outages.pipeline.faults import chain_of
from tests.system.outages.pipeline.judge import Judgement, Stage, judge, read_notes, read_sink
from tests.system.outages.pipeline.stage import Input, Member, store

pytestmark = pytest.mark.core

TIMESTAMPS = {"0:0": 500, "0:1": 1_500, "1:0": 1_900}
HANDLED = {"0:0": 900, "0:1": 1_900, "1:0": 2_500}


def tick(at_ms: int, appended_ms: int) -> TickWithOffset:
    return TickWithOffset(at_ms, at_ms - 1_000, appended_ms, {"interval_seconds": 1})


def judged(*ticks: TickWithOffset, handled: dict[str, int] = HANDLED) -> Judgement:
    return judge(TIMESTAMPS, [Stage("warehouse", ticks, handled)], 1_000, [range(10_000)])


def test_nothing_is_wrong() -> None:
    """Each record before a tick was handled before the tick."""
    found = judged(tick(1_000, 1_100), tick(2_000, 2_600), tick(3_000, 3_100))

    assert found.wrong == {"early": [], "missing": [], "broken": []}
    assert (found.records, found.ticks) == (3, {"warehouse": 3})
    assert found.latencies_s["warehouse"] == pytest.approx((0.1, 0.59, 0.6))


def test_a_tick_before_its_record_was_handled() -> None:
    """Also if the record comes with a later tick only."""
    found = judged(tick(1_000, 899), tick(2_000, 2_499), tick(3_000, 3_100))

    assert found.wrong["early"] == [
        "warehouse: tick 1000 before record 0:0 was handled",
        "warehouse: tick 2000 before record 1:0 was handled",
    ]


def test_a_record_that_is_never_handled() -> None:
    """It is missing, and each tick after it is early."""
    found = judged(tick(1_000, 1_100), tick(2_000, 9_000), handled={"0:0": 900, "1:0": 2_500})

    assert found.wrong["missing"] == ["0:1"]
    assert found.wrong["early"] == ["warehouse: tick 2000 before record 0:1 was handled"]


def test_a_tick_that_is_lost() -> None:
    """The chain is broken."""
    assert len(judged(tick(1_000, 1_100), tick(3_000, 3_100)).wrong["broken"]) == 2


def test_notes_and_rows_have_the_first_time(tmp_path: Path) -> None:
    """A record that is handled again keeps it. Half a line is left out."""
    notes = [tmp_path / "a", tmp_path / "b"]
    notes[0].write_text("0:0 500 900\n0:1 1500 2000\n0:2 17")
    notes[1].write_text("0:1 1500 1900\n")
    sink = tmp_path / "sink.sqlite"
    member = Member("sink-0", "sink", "", "", "", str(sink))
    for _ in range(2):
        store(member, [Input(0, "0:0", 500)])
        first = read_sink(sink)

    assert read_notes(notes) == {"0:0": 900, "0:1": 1_900}
    assert read_sink(sink) == first
    assert first.keys() == {"0:0"}


def test_the_stage_that_a_hold_names() -> None:
    """The last one of the chain."""
    own: dict[str, Any] = {"reason": "partition_behind", "upstream": None}
    enriched = {"reason": "upstream_behind", "upstream": {"clock": "orders", "hold": own}}

    assert chain_of(own) == ("warehouse",)
    assert chain_of({"reason": "upstream_behind", "upstream": {"clock": "enriched", "hold": enriched}}) == (
        "warehouse",
        "enriched",
        "orders",
    )
    assert chain_of({"reason": "upstream_behind", "upstream": {"clock": "enriched", "hold": None}}) == (
        "warehouse",
        "enriched",
    )


def test_a_member_gets_its_settings() -> None:
    """As the argument of its process."""
    member = Member("a-0", "plain", "127.0.0.1:9092", "a", "a-group", "notes", output="b", outputs=3, first=True)

    assert Member(**json.loads(member.to_json())) == member
