"""The format of log lines: JSON for machines, or readable text for people at a terminal.

Code that logs does not import this module. It uses `logging.getLogger("clocksvc.<part>")`, a short constant message,
and details in `extra`. Secrets must not be logged. Those that are logged by mistake are masked here: passwords in URLs,
and fields with a name such as `password`, at any depth.
"""

import json
import logging
import math
import sys
from typing import Any, Protocol

from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import InvalidValue
from clocksvc.redaction import masked_field, printable, without_password

FORMATS = ("json", "text")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_OWN = ("time", "level", "logger", "message", "error", "traceback")
# The attributes of every record. All others come from `extra`, except `color_message`: uvicorn's message with colours.
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"})


class LogStream(Protocol):
    """Where log lines go."""

    def write(self, text: str, /) -> object:
        """Write a line."""

    def flush(self) -> None:
        """Flush it."""

    def isatty(self) -> bool:
        """True if it is a terminal."""


def setup_logging(
    log_format: str | None = None,
    *,
    level: str = "INFO",
    stream: LogStream | None = None,
) -> None:
    """Send all log lines and Python's warnings to `stream`. A later call replaces the settings of an earlier call.

    Start uvicorn with `log_config=None`, so that its lines are included.

    Args:
        log_format: `json` or `text`; None for text if `stream` is a terminal, else JSON.
        level: the lowest level that is logged.
        stream: the destination; None for stderr.

    Raises:
        InvalidValue: an unknown format or level.
    """
    stream = sys.stderr if stream is None else stream
    if log_format is None:
        log_format = "text" if stream.isatty() else "json"
    if log_format not in FORMATS:
        raise InvalidValue("--log-format", log_format, f"wanted one of {', '.join(FORMATS)}")
    if level.upper() not in LEVELS:
        raise InvalidValue("--log-level", level, f"wanted one of {', '.join(LEVELS)}")
    handler = _Handler(stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for earlier in [earlier for earlier in root.handlers if isinstance(earlier, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


class _Handler(logging.StreamHandler[LogStream]):
    """The handler that `setup_logging` adds; handlers of other libraries stay."""


class JsonFormatter(logging.Formatter):
    """Formats a line as JSON: time (RFC 3339, UTC), level, logger, message, `extra` fields, error, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = _head(record)
        line |= {_distinct_name(name): _json_value(value) for name, value in _extra(record).items()}
        if error := _error(record):
            line["error"] = error
        if traceback := _traceback(self, record):
            line["traceback"] = traceback
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """Formats a line as `time level logger: message name=value …`. A traceback follows on separate lines."""

    def format(self, record: logging.LogRecord) -> str:
        head = _head(record)
        extra = "".join(f" {name}={_text_value(value)}" for name, value in _extra(record).items())
        line = f"{head['time']} {head['level']:<8} {head['logger']}: {printable(head['message'])}{extra}"
        traceback = "\n".join(map(printable, _traceback(self, record).split("\n")))
        return f"{line}\n{traceback}" if traceback else line


def _head(record: logging.LogRecord) -> dict[str, str]:
    return {
        "time": to_rfc3339(int(record.created * 1000)),
        "level": record.levelname,
        "logger": record.name,
        "message": without_password(record.getMessage()),
    }


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: masked_field(name, value) for name, value in vars(record).items() if name not in _STANDARD}


def _distinct_name(name: str) -> str:
    return f"{name}_" if name in _OWN else name


def _error(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    return without_password(f"{type(error).__name__}: {error}") if error else None


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[1] else []
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return without_password("\n".join(parts))


def _json_value(value: Any) -> Any:
    """Return a value that JSON can represent. Other values become text, so that no line is lost because of them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, str | bool | int):
        return value
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return without_password(str(value))
    return value


def _text_value(value: Any) -> str:
    if isinstance(value, str):
        return value if value and value.isprintable() and " " not in value else _printable_json(value)
    plain = _json_value(value)
    return printable(plain) if isinstance(plain, str) else _printable_json(plain)


def _printable_json(value: Any) -> str:
    return printable(json.dumps(value, ensure_ascii=False))
