"""`clocksvc status` with many clocks: the worst first, counts by status, a selection, and all pages as JSON."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from clocksvc.cli import status
from clocksvc.cli.clock_notes import all_notes
from clocksvc.cli.main import main
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.partition import Partition
from clocksvc.service.public_state import ObserverState
from tests.unit.api.clock_fixture import GROUP, NOON, TOPIC, ClockFixture, ticks
from tests.unit.api.running_service import serving

HOLDING = [f"billing-{number}" for number in range(6)]
MANY = [*HOLDING, *(f"checkins-{number:02}" for number in range(19))]
DETAIL = "the slowest partition has not reached the next boundary"


def clock(name: str) -> ClockFixture:
    """A clock with three ticks, which catches up; one of `HOLDING` holds, the later in the list the longer."""
    fixture = ClockFixture(name)
    fixture.report(NOON - 3_450, NOON - 3_455)
    made = ticks(3, clock=name)
    if name in HOLDING:
        made = ticks(3, first_s=NOON - 3_600 - 60 * HOLDING.index(name), clock=name)
        fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(TOPIC, 0),), DETAIL))
    fixture.publish(*made)
    return fixture


@pytest.fixture(scope="module")
def many() -> Iterator[str]:
    """The URL of a service with 25 clocks."""
    with serving(*map(clock, reversed(MANY))) as served:
        yield served.url


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `clocksvc status` prints."""
    assert main(["status", *arguments]) == 0
    return capsys.readouterr().out


def rows(output: str) -> list[str]:
    """The names in the table."""
    table = output[output.index("CLOCK ") :].splitlines()[1:]
    return [line.split()[0] for line in table if re.search(r"  (holding|catching_up)  ", line)]


def test_the_worst_clocks_come_first(many: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists the twenty worst clocks, the counts of all by status, and the number of clocks that are not listed."""
    shown = printed(capsys, "--url", many)

    assert shown.startswith("25 clocks: 6 holding, 19 catching_up.\n\n")
    assert rows(shown)[:6] == HOLDING[::-1]
    assert len(rows(shown)) == 20
    assert shown.endswith("5 more clocks, which are no worse: see --all, --status and --search.\n")


def test_the_notes_of_many_clocks_are_grouped(many: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One note for each cause, with the longest hold. A few clocks have their own notes."""
    shown = printed(capsys, "--url", many)

    assert (
        "6 of these clocks: Partitions are behind (partition_behind). No tick since 2026-11-22T10:57:02Z or later.\n"
        in shown
    )
    assert "\n  The slowest partition has not reached the next boundary.\n" in shown
    assert "\n  Clocks: billing-5, billing-4, billing-3, billing-2, billing-1 and 1 more.\n" in shown
    assert "\nFor the details of a clock: clocksvc status CLOCK\n" in shown
    assert shown.count("Partitions are behind") == 1

    shown = printed(capsys, "--url", many, "--search", "billing-0")
    assert "\nbilling-0: Partitions are behind (partition_behind). No tick since 2026-11-22T11:02:02Z.\n" in shown
    assert "For the details" not in shown


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--all"], len(MANY)),
        (["--status", "holding"], len(HOLDING)),
        (["--status", "holding,catching_up", "--search", "checkins-1", "--all"], 9),
        (["--search", "BILLING-1"], 1),
        (["--search", GROUP, "--all"], len(MANY)),
    ],
)
def test_clocks_are_selected(
    many: str,
    options: Sequence[str],
    found: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`--status` and `--search` select clocks on all pages. The counts are those of all statuses."""
    monkeypatch.setattr(status, "PAGE_SIZE", 10)
    shown = printed(capsys, "--url", many, *options)

    assert len(rows(shown)) == len(set(rows(shown))) == found
    assert "more clocks" not in shown
    if "--search" not in options:
        assert shown.startswith("25 clocks: 6 holding, 19 catching_up.\n\n")


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        (["--search", "nothing"], ""),
        (["--status", "paused"], "25 clocks: 6 holding, 19 catching_up.\n\n"),
        (["--search", "billing", "--status", "paused"], "6 clocks: 6 holding.\n\n"),
    ],
)
def test_no_clock_matches(many: str, options: Sequence[str], counts: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the selection instead of an empty table, after the counts of the clocks with other statuses."""
    assert printed(capsys, "--url", many, *options) == f"{counts}no clock matches {' '.join(options)}.\n"


def test_all_pages_are_one_object(
    many: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints all pages on one line, by name, with the counts; also if there is no clock."""
    monkeypatch.setattr(status, "PAGE_SIZE", 10)
    shown = printed(capsys, "--url", many, "--json")

    body = json.loads(shown)
    assert shown.count("\n") == 1
    assert [one["clock"] for one in body["clocks"]] == MANY
    assert body["next"] is None
    assert (body["counts"]["holding"], body["counts"]["catching_up"]) == (6, 19)
    assert json.loads(printed(capsys, "--url", many, "--json", "--search", "nothing"))["clocks"] == []


def test_wrong_usage_is_named(many: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A selection of named clocks, and a status that there is not."""
    assert main(["status", "--url", many, "billing-0", "--all"]) == 2
    assert "--all, --status and --search are for the list of clocks" in capsys.readouterr().err
    assert main(["status", "--url", many, "--status", "stopped"]) == 1
    assert "wanted one or more of" in capsys.readouterr().err


def test_skipped_offsets_are_noted() -> None:
    """Ticks count them as processed, so people must see them. Also if notes are grouped by cause."""
    state = ClockFixture().view.state()
    skipped = replace(state, observer=ObserverState(0, "", {}, 1_500))
    assert any("has skipped 1,500 offsets" in line for line in all_notes([skipped]))
    assert not any("skipped" in line for line in all_notes([replace(state, observer=ObserverState(0, "", {}, 0))]))
    many = [replace(skipped, clock=f"{state.clock}-{number}") for number in range(6)]
    assert any("6 of these clocks: the groups have skipped offsets" in line for line in all_notes(many))


def test_a_group_without_committed_offsets_is_noted() -> None:
    """Its name can be wrong, which nothing else shows while the topic is empty."""
    state = ClockFixture().view.state()
    without = replace(state, observer=ObserverState(0, "", {}, 0, 0))
    assert any(f"the group {GROUP} has no committed offset in any partition" in line for line in all_notes([without]))
    for committed in (1, None):
        fine = replace(state, observer=ObserverState(0, "", {}, 0, committed))
        assert not any("no committed offset" in line for line in all_notes([fine]))
    many = [replace(without, clock=f"{state.clock}-{number}") for number in range(6)]
    assert any("6 of these clocks: their groups have no committed offset" in line for line in all_notes(many))
