"""A progress line on a terminal, rewritten while a command runs."""

import sys
from types import TracebackType
from typing import Self

from clocksvc.interfaces.time import SystemTime
from clocksvc.redaction import printable

_EVERY_S = 0.1
_CLEAR = "\r\x1b[K"


class Progress:
    """Shows the progress of a command on stderr, if that is a terminal. A context manager: it removes the line.

    Args:
        shown: False to show nothing, for example because the command itself writes to the terminal.
    """

    def __init__(self, shown: bool = True) -> None:
        self._stream = sys.stderr
        self._is_shown = shown and self._stream.isatty()
        self._time = SystemTime()
        self._next_s = self._time.monotonic() + _EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Replace the line, at most 10 times a second."""
        if self._is_shown and self._time.monotonic() >= self._next_s:
            self._stream.write(f"{_CLEAR}{printable(text)}")
            self._stream.flush()
            self._next_s = self._time.monotonic() + _EVERY_S

    def clear(self) -> None:
        """Remove the line, so that another one can be printed."""
        if self._is_shown:
            self._stream.write(_CLEAR)
            self._stream.flush()
