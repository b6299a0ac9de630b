"""`clocksvc status` of clocks from committed offsets: the stages of their pipeline, and what partitions wait for."""

import re

import pytest

from clocksvc.cli.main import main
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.spec import UpstreamSpec
from tests.unit.api.clock_fixture import TOPIC, ClockFixture, ticks
from tests.unit.api.running_service import serving
from tests.unit.api.test_pipeline import OTHER, stuck


def table(shown: str, first: str) -> list[list[str]]:
    """The rows of the table whose head begins with this word, without the head."""
    lines = shown[shown.index(f"\n{first} ") + 1 :].split("\n\n")[0].splitlines()
    return [re.split(" {2,}", line) for line in lines[1:]]


def test_the_stages_are_listed_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """With what each one waits for, and the stage that delays the others."""
    with serving(*stuck()) as served:
        assert main(["status", "--url", served.url, "warehouse"]) == 0
    shown = capsys.readouterr().out

    assert table(shown, "STAGE") == [
        ["1", f"b@{OTHER}", "-", "not known", "-", "not readable: no answer"],
        [
            "1",
            "raw",
            "2026-11-22T11:00:00Z",
            "holding",
            "-",
            f"DELAYS THE PIPELINE. Partitions are behind (partition_behind): {TOPIC}:1",
        ],
        ["2", "warehouse", "2026-11-22T11:00:00Z", "holding", "-", "raw"],
    ]


def test_the_note_of_a_hold_names_the_stage_to_blame(capsys: pytest.CaptureFixture[str]) -> None:
    """In the list of all clocks, too."""
    with serving(*stuck()) as served:
        assert main(["status", "--url", served.url]) == 0
    shown = capsys.readouterr().out

    assert "warehouse: An upstream clock is behind (upstream_behind)." in shown
    assert f"\n  The stage to blame is raw: Partitions are behind (partition_behind): {TOPIC}:1.\n" in shown


def test_the_notes_of_many_clocks_name_the_stages_to_blame(capsys: pytest.CaptureFixture[str]) -> None:
    """Once for all clocks with the reason."""
    waiting = [ClockFixture(f"after-{number}", after=[UpstreamSpec("raw")]) for number in range(6)]
    upstream = {"clock": "raw", "url": "", "time": None, "status": "holding", "hold": None}
    for each in waiting:
        each.publish_hold(Hold(Reason.UPSTREAM_BEHIND, upstream=upstream))
        each.publish(*ticks(1, clock=each.spec.name))
        each.read()
    with serving(*waiting) as served:
        assert main(["status", "--url", served.url]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert "  To blame: raw." in lines
    assert len([line for line in lines if "upstream_behind" in line]) == 1


def test_past_holds_name_the_stage_to_blame(capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of partitions."""
    with serving(*stuck()) as served:
        assert main(["status", "--url", served.url, "warehouse"]) == 0

    assert capsys.readouterr().out.splitlines()[-1].endswith("An upstream clock is behind (upstream_behind): raw")


def test_partitions_have_their_offsets_and_what_they_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of reports. What is not known has a dash."""
    with serving(*stuck()) as served:
        assert main(["status", "--url", served.url, "warehouse"]) == 0
    shown = capsys.readouterr().out

    lines = {row[0]: row[3:] for row in table(shown, "SLOWEST")}
    assert lines == {
        f"{TOPIC}:0": ["10", "12", "the group has not processed it (not_processed)"],
        f"{TOPIC}:1": ["-", "7", "the group has committed nothing (nothing_committed)"],
    }


def test_a_clock_without_other_stages_has_no_table_of_stages(capsys: pytest.CaptureFixture[str]) -> None:
    """As before there were pipelines. Its normal delay is that of committed offsets."""
    clock = ClockFixture("payments", after=[])
    with serving(clock) as served:
        assert main(["status", "--url", served.url, "payments"]) == 0
    shown = capsys.readouterr().out

    assert "STAGE" not in shown
    assert "max_out_of_orderness, drain_delay, poll, and the time between two commits of the group." in shown
