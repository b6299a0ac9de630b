"""Log lines about a state that lasts, such as a server that can't be reached: one line for each state, then a count."""

import logging
import re
import threading
from collections.abc import Hashable, Mapping
from types import MappingProxyType

REPEAT_AFTER_S = 30.0
MAX_STATES = 1_000
_DIGITS = re.compile(r"\d+")
_NO_EXTRA: Mapping[str, object] = MappingProxyType({})


def without_numbers(text: str) -> str:
    """Return the text with `#` for each number, so that texts that differ only in a duration or an offset are equal."""
    return _DIGITS.sub("#", text)


class RepeatedLines:
    """Logs a state once, and again after 30 s if it still lasts, with the number of lines that were left out.

    Several threads may use it. This module does not read the time: it is an argument.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._states: dict[Hashable, tuple[float, int]] = {}

    def log(
        self,
        now_s: float,
        level: int,
        state: Hashable,
        message: str,
        *args: object,
        extra: Mapping[str, object] = _NO_EXTRA,
    ) -> None:
        """Log a line, unless a line about the same state was logged in the last 30 s.

        Args:
            now_s: the present time in seconds; any clock.
            state: identifies the state.
            message, args, extra: as for `Logger.log`.
        """
        left_out = self._left_out(now_s, state)
        if left_out is None:
            return
        if left_out:
            message, args = f"{message}; %d more lines like this were left out", (*args, left_out)
        self._logger.log(level, message, *args, extra={**extra, "left_out": left_out} if left_out else dict(extra))

    def clear(self) -> None:
        """Forget all states, because they have ended. The next line of each is logged at once."""
        with self._lock:
            self._states.clear()

    def _left_out(self, now_s: float, state: Hashable) -> int | None:
        """Return how many lines of a state were left out, if the next one is due; None if it must be left out, too."""
        with self._lock:
            logged_at, left_out = self._states.get(state, (float("-inf"), 0))
            if 0 <= now_s - logged_at < REPEAT_AFTER_S:
                self._states[state] = (logged_at, left_out + 1)
                return None
            if len(self._states) >= MAX_STATES:
                self._states.clear()
            self._states[state] = (now_s, 0)
            return left_out
