"""The demo's output: a live screen if the output is a terminal, else plain lines."""

import os
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from clocksvc.clock import boundary
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.dev.demo.demo_config import INTERVAL_S
from clocksvc.dev.demo.presentation import Bar, DemoSnapshot, EventLine, precise_time_of_day, time_of_day

SOON = "{soon}"
WINDOW_S = 30.0
"""A full bar means the current time. An empty bar means this many seconds ago."""
_SOON_MS = 20_000
_WIDEST_BAR = 32
_NARROWEST_BAR = 8
_ROOMY = 96
_MARKER = "◀ slowest"
_TRY = " Try: "
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL = "█"
_STYLES = {"running": "bold green", "holding": "bold yellow", "catching_up": "bold cyan"}


@dataclass(frozen=True, slots=True)
class Frame:
    """The fixed parts of the screen: addresses, the question, and commands to try.

    Attributes:
        hints: commands to try. `SOON` in them is replaced by a time in the near future.
        at_ms: when the display started.
    """

    header: tuple[str, ...]
    question: tuple[str, str]
    hints: tuple[str, ...]
    at_ms: int

    def hints_at(self, now_ms: int) -> list[str]:
        """Return the commands to try, with times that are valid now."""
        soon = to_rfc3339(boundary.ceil(now_ms + _SOON_MS, INTERVAL_S * 1000))
        return [hint.replace(SOON, soon) for hint in self.hints]


def render(
    frame: Frame, snapshot: DemoSnapshot | None, lines: Sequence[EventLine], width: int, height: int
) -> list[Text]:
    """Return at most `height` lines of at most `width` characters, with as many of the newest `lines` as fit."""
    top = [Text(row, style="bold") for row in wrapped(frame.header, " · ", width)]
    top += [Text(row) for row in wrapped(frame.question, "     ", width)]
    clock = [Text("waiting for the service …")] if snapshot is None else _clock(snapshot, width)
    hints = frame.hints_at(frame.at_ms if snapshot is None else snapshot.now_ms)
    bottom = [Text(row, style="dim") for row in _hints(hints, width)]
    room = max(0, height - len(top) - len(clock) - len(bottom) - 3)
    told = [row for line in lines for row in event_rows(line, width)][-room:] if room else []
    # Padding keeps the hints at the bottom edge.
    space = [Text("")] * (room - len(told))
    rows = [*top, Text(""), *clock, Text(""), *told, *space, Text(""), *bottom]
    for row in rows:
        row.truncate(width, overflow="ellipsis")
    return rows[:height]


def event_rows(line: EventLine, width: int) -> list[Text]:
    """Return one event, wrapped to rows."""
    head = f" {time_of_day(line.at_ms)}  "
    text = line.text + (line.extra if len(head) + len(line.text) + len(line.extra) <= width else "")
    rows = textwrap.wrap(text, max(20, width - len(head)), replace_whitespace=False) or [""]
    return [
        Text.assemble((head if number == 0 else " " * len(head), "dim"), (row, line.style))
        for number, row in enumerate(rows)
    ]


def wrapped(items: Iterable[str], between: str, width: int) -> list[str]:
    """Join items to as few rows as possible. An item is never split."""
    rows: list[str] = []
    for item in items:
        if rows and len(rows[-1]) + len(between) + len(item) <= width:
            rows[-1] += between + item
        else:
            rows.append(item)
    return rows


def _clock(snapshot: DemoSnapshot, width: int) -> list[Text]:
    time = "--:--:--" if snapshot.time_ms is None else time_of_day(snapshot.time_ms)
    behind = "" if snapshot.behind_s is None else f"   {snapshot.behind_s:.0f} s behind"
    counts = "" if snapshot.known is None else f"   {snapshot.known}/{snapshot.total} partitions"
    head = Text.assemble(
        (f" {snapshot.clock}   {time}   ", "bold"),
        (snapshot.status.upper().replace("_", " "), _STYLES.get(snapshot.status, "bold")),
        f"{behind}{counts}   leader: {snapshot.leader}",
    )
    names = max((len(bar.name) for bar in snapshot.bars), default=0)
    marker = _MARKER if width >= _ROOMY else _MARKER[0]
    beside = max((len(_beside(bar, "")) for bar in snapshot.bars), default=0) + 2 + len(marker)
    room = width - len("     ") - names - len("  12:00:35.2") - beside
    cells = max(_NARROWEST_BAR, min(_WIDEST_BAR, room))
    rows = [head, *(_bar(bar, snapshot.now_ms, names, cells, marker) for bar in snapshot.bars)]
    for name, text in (("jobs", snapshot.jobs), ("due", snapshot.schedules), ("after", snapshot.second_stage)):
        if text:
            rows.append(Text(f"   {name:<{names}}  {text}"))
    return rows


def _bar(bar: Bar, now_ms: int, names: int, cells: int, marker: str) -> Text:
    style = "yellow" if bar.slowest else "green"
    time = "unknown   " if bar.reached_ms is None else precise_time_of_day(bar.reached_ms)
    filled = "" if bar.reached_ms is None else blocks(1 - (now_ms - bar.reached_ms) / 1000 / WINDOW_S, cells)
    return Text.assemble(
        f"   {bar.name:<{names}}  ",
        (f"{filled:<{cells}}", style),
        f"  {time}",
        (_beside(bar, marker), style if bar.slowest else ""),
    )


def _beside(bar: Bar, marker: str) -> str:
    words = [bar.consumer, bar.remark, marker if bar.slowest else ""]
    return "".join(f"  {word}" for word in words if word)


def _hints(hints: Sequence[str], width: int) -> list[str]:
    rows = wrapped(hints, " · ", width - len(_TRY))
    return [f"{_TRY if number == 0 else ' ' * len(_TRY)}{row}" for number, row in enumerate(rows)]


def blocks(share: float, cells: int) -> str:
    """Return a bar of at most `cells` characters, in steps of an eighth of a character."""
    eighths = round(max(0.0, min(1.0, share)) * cells * 8)
    return _FULL * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


_MAX_LINES = 200
_UNLIMITED_WIDTH = 10_000


class Display(Protocol):
    """The output of the demo. Any thread may call `progress`. Only the main thread may call the other methods."""

    def progress(self, text: str) -> None:
        """Show a step of the start or of the end: before `begin`, or after `end`."""

    def begin(self, frame: Frame) -> None:
        """Start the display. All parts of the demo run now."""

    def show_event(self, line: EventLine) -> None:
        """Show one event."""

    def draw(self, snapshot: DemoSnapshot | None) -> None:
        """Show the current state. Called several times a second."""

    def end(self) -> None:
        """Close the screen. May be called without `begin`, and repeatedly."""


class PlainDisplay:
    """Prints a line for each event. Does not show the state."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def progress(self, text: str) -> None:
        """See Display."""
        self._print([f"clocksvc dev: {text}"])

    def begin(self, frame: Frame) -> None:
        """See Display."""
        hints = " · ".join(frame.hints_at(frame.at_ms))
        self._print([" · ".join(frame.header), "     ".join(frame.question), f" Try: {hints}"])

    def show_event(self, line: EventLine) -> None:
        """See Display."""
        self._print(row.plain for row in event_rows(line, _UNLIMITED_WIDTH))

    def draw(self, snapshot: DemoSnapshot | None) -> None:
        """See Display."""

    def end(self) -> None:
        """See Display."""

    def _print(self, rows: Iterable[str]) -> None:
        # Only one write, so that lines of different threads are not mixed.
        self._out.write("".join(f"{row}\n" for row in rows))
        self._out.flush()


class ScreenDisplay:
    """A live screen. Its last state remains on the terminal after `end`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._frame = Frame((), ("", ""), (), 0)
        self._snapshot: DemoSnapshot | None = None
        self._lines: deque[EventLine] = deque(maxlen=_MAX_LINES)

    def progress(self, text: str) -> None:
        """See Display."""
        self._console.print(Text(f"clocksvc dev: {text}"))

    def begin(self, frame: Frame) -> None:
        """See Display."""
        self._frame = frame
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._live.start()
        self.draw(None)

    def show_event(self, line: EventLine) -> None:
        """See Display."""
        self._lines.append(line)

    def draw(self, snapshot: DemoSnapshot | None) -> None:
        """See Display."""
        self._snapshot = snapshot
        if self._live is not None:
            self._live.update(self._rendered(), refresh=True)

    def end(self) -> None:
        """See Display."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
            self._console.print(self._rendered())

    def _rendered(self) -> Text:
        size = self._console.size
        rows = render(self._frame, self._snapshot, self._lines, size.width, size.height)
        return Text("\n", no_wrap=True).join(rows)


def open_display() -> Display:
    """Return a live screen if standard output is a terminal, else plain lines."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return ScreenDisplay(Console(highlight=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return PlainDisplay(sys.stdout)
