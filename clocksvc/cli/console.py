"""Options that several commands have, and how commands print. No logic of a single command."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from clocksvc.client.http import (
    is_connection_refused,
    is_unauthenticated,
)
from clocksvc.clock.time_format import parse_duration
from clocksvc.errors import InvalidValue

if TYPE_CHECKING:
    from clocksvc.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8080"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`, for commands that read the configuration."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration (YAML); default: the file in CLOCKSVC_CONFIG. "
        "Variables CLOCKSVC_… override single fields",
    )


def config_file(args: argparse.Namespace) -> str | None:
    """The file from `--config` or CLOCKSVC_CONFIG; None if neither is set."""
    return args.config or os.environ.get("CLOCKSVC_CONFIG") or None


def load_settings(args: argparse.Namespace, overrides: Mapping[str, object] = MappingProxyType({})) -> "Settings":
    """Load the configuration from `--config` and the environment.

    Args:
        overrides: configuration variables set by other arguments; a value of None sets nothing.

    Raises:
        SettingsError: lists every problem of the configuration.
    """
    from clocksvc.settings import load

    return load(args.config, os.environ | {name: str(value) for name, value in overrides.items() if value is not None})


def add_url(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, for commands that call a service.

    There is no option for the token: all users of a machine can read the arguments of its processes.
    """
    parser.add_argument(
        "--url",
        default=os.environ.get("CLOCKSVC_URL") or DEFAULT_URL,
        help=f"address of the service; default: CLOCKSVC_URL, or {DEFAULT_URL}. Set a token in CLOCKSVC_TOKEN",
    )


def service_token() -> str | None:
    """The token in CLOCKSVC_TOKEN; None if there is none."""
    return os.environ.get("CLOCKSVC_TOKEN") or None


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--json`; `what` names in the help what is printed."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def duration_ms(field: str, text: str) -> int:
    """Milliseconds from a duration as written in the configuration.

    Raises:
        InvalidValue: names `field`.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidValue(field, text, str(error)) from None


def error_text(error: BaseException) -> str:
    """The error's message; with what to do about it if the service can't be reached or asks for a token."""
    if is_connection_refused(error):
        return f"{error}; start it with `clocksvc serve`, or set its address with --url or CLOCKSVC_URL"
    return f"{error}; set CLOCKSVC_TOKEN to one of the service's tokens" if is_unauthenticated(error) else str(error)


def print_json(value: object) -> None:
    """Print one JSON value on one line and flush, so that a reader of a pipe gets it at once."""
    print(json.dumps(value, separators=(",", ":"), ensure_ascii=False), flush=True)


def note(text: str) -> None:
    """Print a line to stderr: for the person who waits, not for the pipe."""
    print(text, file=sys.stderr, flush=True)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """The rows as text with aligned columns. All rows have the same number of cells."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
