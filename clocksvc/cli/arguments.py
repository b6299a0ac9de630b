"""What several commands take: the configuration's file, the service's address, times. No command's logic."""

import argparse
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from clocksvc.client.http import (
    nobody_answered,
    token_refused,
)
from clocksvc.clock.duration import parse_duration
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.errors import InvalidValue

if TYPE_CHECKING:
    from clocksvc.settings import Settings

DEFAULT_URL = "http://127.0.0.1:8080"


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config`, for commands that read the configuration."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the configuration (YAML); else CLOCKSVC_CONFIG names it; any field by environment too: CLOCKSVC_…",
    )


def config_file(args: argparse.Namespace) -> str | None:
    """The file that was named, if one was."""
    return args.config or os.environ.get("CLOCKSVC_CONFIG") or None


def load_settings(args: argparse.Namespace, overrides: Mapping[str, object] = MappingProxyType({})) -> "Settings":
    """The configuration that was named.

    Args:
        overrides: variables of the configuration that arguments set; those that are None are not.

    Raises:
        SettingsError: names everything that is wrong with it.
    """
    from clocksvc.settings import load

    return load(args.config, os.environ | {name: str(value) for name, value in overrides.items() if value is not None})


def add_url(parser: argparse.ArgumentParser) -> None:
    """`--url`, for commands that ask a service. The token comes by environment alone: arguments are for all to read."""
    parser.add_argument(
        "--url",
        default=os.environ.get("CLOCKSVC_URL") or DEFAULT_URL,
        help=f"of the service; else CLOCKSVC_URL, else {DEFAULT_URL}; a token comes in CLOCKSVC_TOKEN",
    )


def token() -> str | None:
    """The token to show to the service, if there is one."""
    return os.environ.get("CLOCKSVC_TOKEN") or None


def said(error: BaseException) -> str:
    """An error in words; where nobody was there to answer, or a token is missing, with what to do about it."""
    if nobody_answered(error):
        return f"{error}; start it with `clocksvc serve`, or name it with --url or CLOCKSVC_URL"
    return f"{error}; set CLOCKSVC_TOKEN to one of the service's tokens" if token_refused(error) else str(error)


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")


def time(field: str, text: str) -> int:
    """Milliseconds from RFC 3339 or epoch seconds.

    Raises:
        InvalidValue: names `field`.
    """
    return parse_timestamp(field, text)


def duration_ms(field: str, text: str) -> int:
    """Milliseconds from a duration as the configuration writes it.

    Raises:
        InvalidValue: names `field`.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidValue(field, text, str(error)) from None
