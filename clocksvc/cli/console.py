"""Options and output functions for several commands. Contains no logic of a single command."""

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from clocksvc.client.exchange import TOKEN_HINT, is_connection_refused, is_unauthenticated
from clocksvc.clock.time_format import parse_duration
from clocksvc.errors import InvalidValue
from clocksvc.redaction import printable

if TYPE_CHECKING:
    from clocksvc.settings import Settings

_NARROWEST = 20
DEFAULT_URL = "http://127.0.0.1:8080"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the option `--config`, for commands that read the configuration."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration (YAML); default: the file in CLOCKSVC_CONFIG. "
        "Variables CLOCKSVC_… override single fields",
    )


def config_file(args: argparse.Namespace) -> str | None:
    """Return the file name from `--config` or CLOCKSVC_CONFIG; None if neither is set."""
    return args.config or os.environ.get("CLOCKSVC_CONFIG") or None


def load_settings(args: argparse.Namespace, overrides: Mapping[str, object] = MappingProxyType({})) -> "Settings":
    """Load the configuration from `--config` and the environment.

    Args:
        overrides: configuration variables that other arguments set. Variables with the value None are ignored.

    Raises:
        SettingsError: the configuration is not valid. The message lists every problem.
    """
    from clocksvc.kafka.admin import settings_problems
    from clocksvc.settings import load

    environ = os.environ | {name: str(value) for name, value in overrides.items() if value is not None}
    return load(args.config, environ, check_kafka=settings_problems)


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add the option `--url`, for commands that call a service.

    There is no option for the token, because all users of a machine can read the arguments of processes.
    """
    parser.add_argument(
        "--url",
        default=os.environ.get("CLOCKSVC_URL") or DEFAULT_URL,
        help=f"address of the service; default: CLOCKSVC_URL, or {DEFAULT_URL}. Set a token in CLOCKSVC_TOKEN",
    )


def service_token() -> str | None:
    """Return the token in CLOCKSVC_TOKEN; None if there is no token."""
    return os.environ.get("CLOCKSVC_TOKEN") or None


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the option `--json`. The help contains `what`, a description of the printed value."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def duration_ms(field: str, text: str) -> int:
    """Parse a duration in the form of the configuration, and return milliseconds.

    Raises:
        InvalidValue: the text is not a duration. The error contains `field`.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidValue(field, text, str(error)) from None


def error_text(error: BaseException) -> str:
    """Return the error's message. If the service can't be reached or requires a token, append what to do."""
    if is_connection_refused(error):
        return f"{error}; start it with `clocksvc serve`, or set its address with --url or CLOCKSVC_URL"
    if is_unauthenticated(error):
        return f"{str(error).removesuffix(TOKEN_HINT)}; set CLOCKSVC_TOKEN to one of the service's tokens"
    return str(error)


def show(*lines: str) -> None:
    """Print lines, and flush. All commands print with the functions of this module.

    Names and reasons come from other programs and users. Characters in them that would control the terminal, or begin
    another line, are printed as escapes.
    """
    print(*map(printable, lines), sep="\n", flush=True)


def show_wrapped(*lines: str) -> None:
    """As `show`. In a terminal, long lines are wrapped between words: names and commands stay in one piece."""
    for line in lines:
        show(*_wrapped(line, len(line) - len(line.lstrip())))


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns. In a terminal, the last column is wrapped between words.

    All rows must have the same number of cells.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    begin = sum(widths[:-1]) + 2 * (len(widths) - 1)
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        show(*_wrapped(line.rstrip(), begin))


def _wrapped(line: str, indent: int) -> list[str]:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    text = printable(line)
    if len(text) <= width or width < indent + _NARROWEST:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def print_json(value: object, indent: int | None = None) -> None:
    """Print one JSON value, on one line unless `indent` is set, and flush.

    So the reader of a pipe receives it immediately.
    """
    separators = (",", ":") if indent is None else None
    for line in json.dumps(value, separators=separators, indent=indent, ensure_ascii=False).split("\n"):
        print_json_line(line)


def print_json_line(line: str, end: str = "\n") -> None:
    """Print a line of JSON, and flush. Characters that would control the terminal become escapes of JSON.

    With another `end` than a line break, it is a part of a line.
    """
    if not line.isprintable():
        line = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
    print(line, end=end, flush=True)


def note(text: str) -> None:
    """Print a line to stderr, so that it is not part of the output in a pipe. Escapes are as in `show`."""
    print(printable(text), file=sys.stderr, flush=True)
