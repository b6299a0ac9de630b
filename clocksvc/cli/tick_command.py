"""A command that runs for each tick (`clocksvc tail --exec`), and the file with the last tick for which it succeeded.

The position is written after the command has exited with code 0. So after a crash the command runs again for the tick
that was in progress: at least once, in order, without a gap.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from clocksvc.cli.console import note
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import parse_timestamp, to_rfc3339
from clocksvc.errors import ClocksvcError, InvalidValue
from clocksvc.runtime.backoff import TICK_COMMAND, Backoff

_FIELD = re.compile(r"\{(\w+)\}")
_FIELDS: dict[str, Callable[[Tick], str]] = {
    "clock": lambda tick: tick.clock,
    "time": lambda tick: to_rfc3339(tick.at_ms),
    "timestamp_seconds": lambda tick: str(tick.at_ms // 1000),
    "previous": lambda tick: "" if tick.previous_ms is None else to_rfc3339(tick.previous_ms),
    "emitted_at": lambda tick: to_rfc3339(tick.emitted_at_ms),
}


class CommandFailed(ClocksvcError):
    """The command failed for one tick, and was not repeated or not successful in the last attempt."""


class Terminated(BaseException):
    """SIGTERM was received. A BaseException, as KeyboardInterrupt: no handler of errors may catch it."""


class CommandTemplate:
    """The words of a command with the fields of a tick, such as `./job {time}`.

    The text is split into words first, as a shell does, and the fields are replaced in each word afterwards. No shell
    runs, so a value can't add a word or a command.

    Raises:
        InvalidValue: the text has no words, an open quotation mark, or an unknown field.
    """

    def __init__(self, text: str) -> None:
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise InvalidValue("--exec", text, f"wanted a command with complete quotation marks: {error}") from None
        if not self._words:
            raise InvalidValue("--exec", text, "wanted a command")
        unknown = [name for word in self._words for name in _FIELD.findall(word) if name not in _FIELDS]
        if unknown:
            fields = ", ".join(f"{{{name}}}" for name in _FIELDS)
            raise InvalidValue("--exec", text, f"wanted only the fields {fields}, but it has {{{unknown[0]}}}")

    def words(self, tick: Tick) -> list[str]:
        """Return the program and its arguments for a tick."""
        return [_FIELD.sub(lambda match: _FIELDS[match[1]](tick), word) for word in self._words]


class PositionFile:
    """The clock and the time of the last tick that is done, as one line of JSON. Written atomically."""

    def __init__(self, path: Path, clock: str) -> None:
        self._path, self._clock = path, clock

    def read(self) -> int | None:
        """Return the time of the last tick that is done, in milliseconds; None if there is no file.

        Raises:
            InvalidValue: the file can't be read, is not a position, or is a position of another clock.
        """
        try:
            text = self._path.read_text(encoding="utf-8")
            position = json.loads(text)
            clock, at_ms = position["clock"], parse_timestamp("time", position["time"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidValue("--position", str(self._path), f"the file can't be read: {error.strerror}") from None
        except (KeyError, TypeError, ValueError):
            wanted = "wanted a file that this command has written, or no file"
            raise InvalidValue("--position", str(self._path), wanted) from None
        if clock != self._clock:
            wanted = f"wanted a file of its own for clock {self._clock!r}, because this one is a position of {clock!r}"
            raise InvalidValue("--position", str(self._path), wanted)
        return at_ms

    def write(self, at_ms: int) -> None:
        """Replace the position. It is on the disk when this returns.

        Raises:
            InvalidValue: the file can't be written.
        """
        text = json.dumps({"clock": self._clock, "time": to_rfc3339(at_ms)})
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            with new.open("w", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise InvalidValue("--position", str(self._path), f"the file can't be written: {error.strerror}") from None


class TickCommand:
    """Runs the command for one tick after another, and stores the position.

    On SIGTERM, a running command gets SIGTERM too, and its end is awaited; if it still exits with code 0, its tick is
    stored. Then Terminated is raised. Only the main thread may create and use this object.

    Args:
        stored: True if the position file has a position.
    """

    def __init__(
        self, template: CommandTemplate, position: PositionFile | None, attempts: int, *, stored: bool
    ) -> None:
        self._template, self._position, self._attempts, self._stored = template, position, attempts, stored
        self._busy = self._terminated = False
        self._child: subprocess.Popen[bytes] | None = None
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def run(self, tick: Tick) -> None:
        """Run the command until it succeeds for this tick. Blocks during this time.

        Raises:
            CommandFailed: the command can't be started, or no attempt succeeded. The position is unchanged.
            InvalidValue: the position can't be written.
            Terminated: SIGTERM was received.
        """
        if self._position is not None and not self._stored:
            # Without this, a restart after a failure of the very first tick would skip that tick.
            self._position.write(tick.previous_ms or 0)
            self._stored = True
        words, backoff = self._template.words(tick), Backoff(TICK_COMMAND)
        for attempt in range(1, self._attempts + 1):
            code = self._attempt(words, tick)
            if code == 0:
                return
            ended = f"exit code {code}" if code > 0 else f"signal {-code}"
            failed = f"tick {to_rfc3339(tick.at_ms)}: {words[0]} ended with {ended}"
            if attempt == self._attempts:
                raise CommandFailed(f"{failed}, attempt {attempt} of {attempt}. {self._outlook()}")
            delay_s = backoff.next()
            note(f"clocksvc tail: {failed}, attempt {attempt} of {self._attempts}; again in {delay_s:.1f} s")
            time.sleep(delay_s)

    def _attempt(self, words: Sequence[str], tick: Tick) -> int:
        self._busy = True
        try:
            code = self._exit_code(words)
            if code == 0 and self._position is not None:
                self._position.write(tick.at_ms)
        finally:
            self._busy, self._child = False, None
        if self._terminated:
            raise Terminated
        return code

    def _exit_code(self, words: Sequence[str]) -> int:
        try:
            self._child = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CommandFailed(f"{words[0]} can't be started: {reason}. {self._outlook()}") from error
        if self._terminated:  # the signal came before there was a process to forward it to
            self._child.terminate()
        return self._child.wait()

    def _outlook(self) -> str:
        return "" if self._position is None else "The next start begins with this tick"

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._terminated = True
        if not self._busy:
            raise Terminated
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)


def attempts(text: str) -> int:
    """Parse the value of `--attempts`.

    Raises:
        InvalidValue: it is not a whole number of 1 or more.
    """
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise InvalidValue("--attempts", text, "wanted a whole number, 1 or more")
    return int(text)
