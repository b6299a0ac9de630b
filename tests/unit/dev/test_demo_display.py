"""The demo's display: a screen of any size, and plain lines, from the service's answers."""

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from clocksvc.clock.holds import Hold, Reason, Status
from clocksvc.clock.partition import Partition
from clocksvc.clock.tick import Tick
from clocksvc.dev.demo import presentation
from clocksvc.dev.demo.delivery_checks import Due, DueSequence, Job
from clocksvc.dev.demo.display import SOON, Frame, PlainDisplay, ScreenDisplay, blocks, render
from clocksvc.dev.demo.presentation import DemoSnapshot, PartitionReader, snapshot
from clocksvc.service.public_state import PartitionCounts, PublicPartition, PublicState
from tests.public_states import public_state

pytestmark = pytest.mark.core

NOON_MS = 1_795_348_800_000
FRAME = Frame(
    header=("clocksvc dev", "Kafka 4.3.1 :41092", "Valkey :41379", "http://127.0.0.1:8080", "/docs", "Ctrl-C ends all"),
    question=("Question: has everything before T been processed?", 'clock "demo", a tick every 5 s, UTC'),
    hints=("curl -N 127.0.0.1:8080/v1/clocks/demo/ticks/stream", "clocksvc status", "clocksvc tail demo"),
    at_ms=NOON_MS,
)


DUE = [Due(name, name, NOON_MS + 35_000, NOON_MS + 35_000) for name in ("monitor-1", "monitor-2")]
"""What was due at 12:00:35."""


def sequence(*schedules: str) -> DueSequence:
    """A record of each of these schedules; the newest one was due at 12:00:35."""
    found = DueSequence()
    for before, name in zip(reversed(range(len(schedules))), schedules, strict=True):
        at_ms = NOON_MS + 35_000 - before * 5_000
        found.add(Due(name, f"{name} {at_ms}", at_ms, at_ms))
    return found


def tick(seconds: int) -> Tick:
    """A tick `seconds` after noon."""
    at_ms = NOON_MS + seconds * 1000
    return Tick("demo", at_ms, at_ms - 5_000, 5_000, at_ms)


def partition(number: int, timestamp_ms: int | None) -> PublicPartition:
    """A partition clock."""
    return PublicPartition(Partition("demo", number), timestamp_ms, None, None, None, excluded=False, rejected=None)


def state(**changes: Any) -> PublicState:
    """The service's answer at 12:00:41: at 12:00:35, partition 3 behind."""
    fields = {
        "clock": "demo",
        "last_tick": tick(35),
        "behind_ms": 6_200,
        "status": Status.RUNNING,
        "partitions": PartitionCounts(known=4, unknown=0, excluded=0, rejected=0),
        "leader": "host:7",
        "slowest": (
            partition(3, NOON_MS + 36_000),
            partition(2, NOON_MS + 38_700),
            partition(0, NOON_MS + 40_000),
            partition(1, NOON_MS + 40_200),
        ),
    }
    return public_state(**(fields | changes))


def hold_line(
    at_ms: int, reason: Reason, *numbers: int, since_ms: int | None = NOON_MS + 46_000
) -> presentation.EventLine:
    """The line for a hold that names these partitions."""
    hold = Hold(reason, tuple(Partition("demo", number) for number in numbers), "the detail")
    return presentation.hold(at_ms, hold, state(status=Status.HOLDING, hold=hold, hold_since_ms=since_ms))


def at_1200_41(changes: dict[str, Any] | None = None) -> DemoSnapshot:
    """The snapshot of the state above."""
    readers = {
        0: PartitionReader("consumer-1", NOON_MS + 41_900),
        1: PartitionReader("consumer-1", None),
        2: PartitionReader("consumer-2", NOON_MS + 38_700),
        3: PartitionReader("consumer-2", NOON_MS + 36_000),
    }
    remarks = {2: "slow on purpose", 3: "quiet: heartbeats only"}
    jobs = presentation.jobs(NOON_MS + 30_000, NOON_MS + 35_000, NOON_MS + 41_900, 14)
    due = presentation.schedules(3, sequence(*["monitor-1"] * 24))
    second = presentation.second_stage("running", NOON_MS + 35_000, 1_812)
    return snapshot(state(**(changes or {})), NOON_MS + 41_900, readers, remarks, "host:7", jobs, due, second)


def shown(
    lines: list[presentation.EventLine], width: int, height: int, changes: dict[str, Any] | None = None
) -> list[str]:
    """The screen as text."""
    return [row.plain.rstrip() for row in render(FRAME, at_1200_41(changes), lines, width, height)]


LINES = [
    presentation.tick(NOON_MS + 41_000, tick(35), 0.0062, DUE),
    presentation.scenario_step(NOON_MS + 44_000, "heartbeats stopped. Watch the quiet partition."),
    hold_line(NOON_MS + 56_000, Reason.PARTITION_BEHIND, 3),
    presentation.waiting_job(NOON_MS + 60_000, NOON_MS + 50_000),
    presentation.skipped_ticks(NOON_MS + 70_000, [tick(second) for second in range(45, 75, 5)], in_order=True),
    presentation.job(NOON_MS + 70_000, Job("nightly", "an id", NOON_MS + 50_000, NOON_MS + 50_000, NOON_MS + 69_900)),
]


def test_a_screen_of_the_usual_size() -> None:
    """The screen has addresses, question, clock, a bar for each partition, events and hints, in this order."""
    assert shown(LINES, 100, 21) == [
        "clocksvc dev · Kafka 4.3.1 :41092 · Valkey :41379 · http://127.0.0.1:8080 · /docs · Ctrl-C ends all",
        'Question: has everything before T been processed?     clock "demo", a tick every 5 s, UTC',
        "",
        " demo   12:00:35   RUNNING   6 s behind   4/4 partitions   leader: this process",
        "   demo:0  ██████████████████████████████  12:00:41.9  consumer-1",
        "   demo:1  ████████████████████████████▎   12:00:40.2  consumer-1",
        "   demo:2  ██████████████████████████▊     12:00:38.7  consumer-2  slow on purpose",
        "   demo:3  ████████████████████████▏       12:00:36.0  consumer-2  quiet: heartbeats only  ◀ slowest",
        "   jobs    nightly: 12:00:30 done, 12:00:40 waits for its data   tick tasks: 14",
        "   due     24 records of 3 schedules, the last one monitor-1 for 12:00:35",
        "   after   warehouse 12:00:35   running   1,812 records stored by a plain group",
        "",
        " 12:00:41  tick 12:00:35   everything before 12:00:35 is processed   due: monitor-1, monitor-2",
        " 12:00:44  story: heartbeats stopped. Watch the quiet partition.",
        " 12:00:56  HOLDING since 12:00:46: demo:3 has reported nothing past 12:00:36 (partition_behind)",
        ' 12:01:00  job "nightly" for 12:00:50 waits for its data',
        " 12:01:10  ticks 12:00:45 … 12:01:10   6 skipped, each once, in order",
        ' 12:01:10  job "nightly" for 12:00:50 sent at 12:01:09: its data is complete   (with tick 12:00:50)',
        "",
        "",
        " Try: curl -N 127.0.0.1:8080/v1/clocks/demo/ticks/stream · clocksvc status · clocksvc tail demo",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140])
@pytest.mark.parametrize("height", [3, 10, 24, 50])
def test_a_screen_fits_any_terminal_size(width: int, height: int) -> None:
    """No row is wider and no screen is higher than the terminal."""
    rows = shown(LINES * 10, width, height)

    assert len(rows) <= height
    assert max(map(len, rows)) <= width


def test_a_small_screen_keeps_what_matters() -> None:
    """On 80 columns long lines wrap between words, extras are omitted, and the newest lines stay."""
    rows = shown(LINES * 10, 80, 24)

    assert len(rows) == 24
    assert " 12:00:41  tick 12:00:35   everything before 12:00:35 is processed" in rows
    assert " 12:00:56  HOLDING since 12:00:46: demo:3 has reported nothing past 12:00:36" in rows
    assert "           (partition_behind)" in rows
    assert rows[-4] == ' 12:01:10  job "nightly" for 12:00:50 sent at 12:01:09: its data is complete'
    assert rows[9].endswith("consumer-2  quiet: heartbeats only  ◀")
    assert rows[10] == "   jobs    nightly: 12:00:30 done, 12:00:40 waits for its data   tick tasks: 14"
    assert rows[11] == "   due     24 records of 3 schedules, the last one monitor-1 for 12:00:35"
    assert rows[12] == "   after   warehouse 12:00:35   running   1,812 records stored by a plain group"


@pytest.mark.parametrize(
    ("share", "bar"),
    [(0.0, ""), (-1.0, ""), (1.0, "████"), (7.0, "████"), (0.5, "██"), (0.625, "██▌"), (0.03, "▏")],
)
def test_a_bar_is_exact_to_an_eighth_of_a_character(share: float, bar: str) -> None:
    """Four characters show 32 steps."""
    assert blocks(share, 4) == bar


def test_a_clock_of_which_little_is_known() -> None:
    """Before the first report there are no numbers, and no partition is the slowest."""
    unknown = {
        "last_tick": None,
        "behind_ms": None,
        "status": Status.STARTING,
        "leader": None,
        "partitions": None,
        "slowest": (partition(1, None), partition(0, None)),
    }
    rows = shown([], 100, 20, unknown)

    assert rows[3] == " demo   --:--:--   STARTING   leader: none"
    assert rows[5] == f"   demo:1  {'':<32}  unknown     consumer-1"
    assert not any("slowest" in row for row in rows)


def test_a_screen_without_an_answer_shows_that_it_waits() -> None:
    """Until the service has answered once, the screen waits for it."""
    assert "waiting for the service …" in [row.plain for row in render(FRAME, None, [], 100, 30)]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            hold_line(NOON_MS, Reason.PARTITION_BEHIND, 2, 3),
            "HOLDING since 12:00:46: demo:2, demo:3 have reported nothing past 12:00:38 (partition_behind)",
        ),
        (
            hold_line(NOON_MS, Reason.PARTITION_UNREPORTED, 1, since_ms=None),
            "HOLDING: demo:1 has not been reported yet (partition_unreported)",
        ),
        (
            hold_line(NOON_MS, Reason.STORE_UNAVAILABLE),
            "HOLDING since 12:00:46: the detail (store_unavailable)",
        ),
        (
            hold_line(NOON_MS, Reason.REPORTS_REJECTED, 0),
            "HOLDING since 12:00:46: demo:0: the detail (reports_rejected)",
        ),
    ],
    ids=["behind", "unreported", "no partition", "another reason"],
)
def test_a_hold_in_words(line: presentation.EventLine, text: str) -> None:
    """A hold names start, partitions and reason; the service's detail is the fallback."""
    assert line.text == text


def test_skipped_ticks_in_words() -> None:
    """A few ticks are listed; a broken sequence is never called complete."""
    few = [tick(45), tick(50), tick(55)]

    assert presentation.skipped_ticks(0, few, True).text == (
        "ticks 12:00:45, 12:00:50, 12:00:55   3 skipped, each once, in order"
    )
    assert "NOT each once and in order" in presentation.skipped_ticks(0, few, False).text


@pytest.mark.parametrize(
    ("last_s", "tick_s", "now_s", "text"),
    [
        (None, None, 3, "nightly: not yet"),
        (None, 5, 9, "nightly: next 12:00:10"),
        (None, 5, 10, "nightly: 12:00:10 waits for its data"),
        (10, 10, 12, "nightly: 12:00:10 done, next 12:00:20"),
        (10, 15, 41, "nightly: 12:00:10 done, 12:00:20 waits for its data"),
    ],
    ids=["before the first tick", "not due yet", "due, and its tick has not come", "done", "held"],
)
def test_how_the_jobs_stand_in_words(last_s: int | None, tick_s: int | None, now_s: int, text: str) -> None:
    """The last and the next nightly job are named; the next one waits once it is due by the wall clock."""
    last_ms, tick_ms = (None if one is None else NOON_MS + one * 1000 for one in (last_s, tick_s))

    assert presentation.jobs(last_ms, tick_ms, NOON_MS + now_s * 1000, 3) == f"{text}   tick tasks: 3"


def test_the_time_to_try_is_soon_reached() -> None:
    """The hint names a boundary about 20 s ahead, so that the copied command returns soon."""
    frame = dataclasses.replace(FRAME, hints=(f"clocksvc wait demo --until {SOON}",))

    assert frame.hints_at(NOON_MS + 1) == ["clocksvc wait demo --until 2026-11-22T12:00:25Z"]
    assert render(frame, None, [], 100, 20)[-1].plain.endswith(" --until 2026-11-22T12:00:20Z")
    assert render(frame, at_1200_41(), [], 100, 20)[-1].plain.endswith(" --until 2026-11-22T12:01:05Z")


def test_plain_lines() -> None:
    """Without a terminal each event is a full line, and nothing is drawn."""
    out = io.StringIO()
    show = PlainDisplay(out)
    show.progress("starting Kafka")
    show.begin(FRAME)
    show.draw(at_1200_41())
    for line in LINES:
        show.show_event(line)
    show.end()
    rows = out.getvalue().splitlines()

    assert rows[0] == "clocksvc dev: starting Kafka"
    assert rows[-6] == " 12:00:41  tick 12:00:35   everything before 12:00:35 is processed   due: monitor-1, monitor-2"
    assert rows[-4].endswith("demo:3 has reported nothing past 12:00:36 (partition_behind)")
    assert len(rows) == 10
    assert "\x1b" not in out.getvalue()


def test_the_screen_leaves_its_last_picture_behind() -> None:
    """After `end` the terminal's text is restored, with the last screen below it; a second `end` has no effect."""
    out = io.StringIO()
    show = ScreenDisplay(Console(file=out, force_terminal=True, width=100, height=30, highlight=False))
    show.begin(FRAME)
    show.show_event(LINES[0])
    show.draw(at_1200_41())
    show.end()
    show.end()
    before, _, after = out.getvalue().partition("\x1b[?1049l")

    assert "\x1b[?1049h" in before
    assert "RUNNING" in before
    assert after.count("RUNNING") == 1
    assert "tick 12:00:35" in after


def test_a_tick_without_schedules_shows_its_latency() -> None:
    """Otherwise it shows what was due; after a hold, how many records."""
    assert presentation.tick(0, tick(35), 0.0062).extra == "   (committed in 6 ms)"
    assert presentation.tick(0, tick(35), 0.0062, DUE).extra == "   due: monitor-1, monitor-2"
    assert presentation.skipped_ticks(0, [tick(35), tick(40)], True, DUE).text.endswith("in order   due: 2 records")


def test_schedules_are_summarised() -> None:
    """Before the scheduler is ready, and with one record."""
    assert presentation.schedules(0, DueSequence()) == "no schedule yet: the scheduler starts"
    assert presentation.schedules(3, sequence("monitor-1")) == (
        "1 record of 3 schedules, the last one monitor-1 for 12:00:35"
    )


def test_schedules_of_the_user_are_shown() -> None:
    """By their ids, as many as fit into a line, before those of the demo; their records are counted separately."""
    many = [Due(f"acme:{number}", f"{number}", 0, 0) for number in range(1_204)]

    assert presentation.tick(0, tick(35), None, many[:1]).extra == "   due: acme:0"
    assert presentation.tick(0, tick(35), None, many).extra == "   due: acme:0, acme:1, acme:2 and 1,201 more"
    assert presentation.tick(0, tick(35), None, [*DUE, many[7]]).extra == "   due: acme:7, monitor-1 and 1 more"
    assert presentation.schedules(3, sequence("monitor-1", "acme:home", "acme:home")) == (
        "1 record of 3 schedules and 2 of your own, the last one acme:home for 12:00:35"
    )


def test_the_second_stage_in_words() -> None:
    """Before its first answer, its first tick, and a hold: because of the first stage, or of another reason."""
    assert presentation.second_stage("", None, 0) == (
        "warehouse --:--:--   no answer yet   0 records stored by a plain group"
    )
    assert presentation.second_tick(0, tick(35)).text == (
        "warehouse 12:00:35   everything before 12:00:35 has passed both groups"
    )
    assert presentation.second_hold(0, "upstream_behind").text == "warehouse waits for demo (upstream_behind)"
    assert presentation.second_hold(0, "partition_behind").text == "warehouse HOLDING (partition_behind)"
