"""What commands print can't control the terminal, also if other programs have chosen names and reasons."""

import json
import re
from dataclasses import replace

import pytest

from clocksvc.cli import console
from clocksvc.cli.main import main
from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from tests.repository import ROOT
from tests.unit.api.clock_fixture import NOON, ROSTER, TOKEN, TOPIC, ClockFixture
from tests.unit.api.running_service import RunningService

ANSI = "\x1b[2J\x1b[31mred\x07"
EVIL = f"{ANSI}\x9b1A\u202etxt\u2066\u200f\r\nclock: all is well\x00\x7f"


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Both outputs."""
    captured = capsys.readouterr()
    return captured.out + captured.err


def harmless(text: str) -> bool:
    """Whether a text has only printable characters and line breaks."""
    return all(char == "\n" or char.isprintable() for char in text)


@pytest.fixture
def hostile(clock_fixture: ClockFixture, served: RunningService) -> ClockFixture:
    """A clock whose exclusion, pause and hold have control characters: nothing checked them when they were written."""
    excluded = replace(ROSTER, excluded=frozenset({Partition(TOPIC, 0)}))
    exclusion = Exclusion(Partition(TOPIC, 0), f"by{EVIL}", NOON * 1000, f"why{EVIL}")
    clock_fixture.store.write_roster(TOKEN, excluded, 2, [exclusion], Pause(f"by{EVIL}", NOON * 1000, f"why{EVIL}"))
    clock_fixture.publish_hold(Hold(Reason.PARTITION_BEHIND, (Partition(f"{TOPIC}", 0),), f"detail{EVIL}"))
    clock_fixture.view.invalidate()
    return clock_fixture


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], 0),
        (["status", "checkins"], 0),
        (["status", "--json"], 0),
        (["wait", "checkins", "--until", "2100-01-01T00:00:00Z", "--timeout", "0"], 3),
        (["pause", "checkins", "--reason", "again"], 0),
        (["include", "checkins", f"{TOPIC}:1", "--reason", "again"], 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("hostile")
def test_nothing_controls_the_terminal(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    """Control characters, ANSI sequences and bidirectional marks are printed as escapes, and begin no line."""
    assert main(arguments) == code

    text = printed(capsys)
    assert harmless(text)
    assert "\nclock: all is well" not in text


@pytest.mark.usefixtures("hostile")
def test_json_remains_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes in JSON are JSON's own."""
    main(["status", "checkins", "--json"])

    assert json.loads(capsys.readouterr().out)["pause"]["reason"] == f"why{EVIL}"


def test_an_error_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    """An error repeats a text of the user or of another program."""
    assert main(["wait", "checkins", "--until", f"x{ANSI}"]) == 1

    assert harmless(printed(capsys))


def test_people_can_read_their_own_language(capsys: pytest.CaptureFixture[str]) -> None:
    """Printable characters of all languages are printed as they are, and columns are aligned."""
    console.show_table([("Grüße", "日本語"), (f"{ANSI}", "ok")])
    console.print_json({"reason": "Grüße 日本語"})

    assert capsys.readouterr().out == (
        f'{"Grüße":<22}  日本語\n\\x1b[2J\\x1b[31mred\\x07  ok\n{{"reason":"Grüße 日本語"}}\n'
    )


def test_only_the_console_prints() -> None:
    """No command prints without escapes."""
    modules = (ROOT / "clocksvc" / "cli").glob("*.py")

    assert {one.name for one in modules if re.search(r"(?<!def )\bprint\(", one.read_text())} == {"console.py"}
