"""The demo's output: a live screen on a terminal, plain lines elsewhere."""

import os
import sys
from collections import deque
from collections.abc import Iterable
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from clocksvc.dev.demo.messages import EventLine
from clocksvc.dev.demo.screen import Frame, event_rows, render
from clocksvc.dev.demo.snapshot import Snapshot

_MAX_LINES = 200
_UNLIMITED_WIDTH = 10_000


class Display(Protocol):
    """Methods are called from the demo's main thread; `progress` from any thread."""

    def progress(self, text: str) -> None:
        """Show what is done before `begin` and after `end`."""

    def begin(self, frame: Frame) -> None:
        """Start: every part runs."""

    def show_event(self, line: EventLine) -> None:
        """Show one event."""

    def draw(self, snapshot: Snapshot | None) -> None:
        """Show the state now; called several times a second."""

    def end(self) -> None:
        """Close the screen. May be called without `begin`, and twice."""


class PlainDisplay:
    """Prints a line for each event and draws nothing."""

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

    def draw(self, snapshot: Snapshot | None) -> None:
        """See Display."""

    def end(self) -> None:
        """See Display."""

    def _print(self, rows: Iterable[str]) -> None:
        # One write, so that threads don't write into each other's lines.
        self._out.write("".join(f"{row}\n" for row in rows))
        self._out.flush()


class ScreenDisplay:
    """A live screen; the last snapshot stays on the terminal after `end`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._frame = Frame((), ("", ""), (), 0)
        self._snapshot: Snapshot | None = None
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

    def draw(self, snapshot: Snapshot | None) -> None:
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
    """A screen if standard output is a terminal, else plain lines."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return ScreenDisplay(Console(highlight=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return PlainDisplay(sys.stdout)
