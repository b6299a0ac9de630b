"""Log lines for machines and for people, and URLs without passwords."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from clocksvc.errors import InvalidValue
from clocksvc.redaction import without_password
from clocksvc.service.log_format import setup_logging

pytestmark = pytest.mark.core


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _leaves_logging_as_it_was() -> Iterator[None]:
    """Remove after the test what it has set up."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, access_level = list(root.handlers), root.level, access.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    access.setLevel(access_level)


def _record(message: str, created: float = 1_795_334_400.123, **extra: object) -> logging.LogRecord:
    record = logging.getLogger("clocksvc.leader").makeRecord(
        "clocksvc.leader", logging.INFO, "leader.py", 1, message, (), None, extra=extra
    )
    record.created = created
    return record


def _line(stream: io.StringIO, record: logging.LogRecord) -> str:
    logging.getLogger().handle(record)
    return stream.getvalue()


def test_json_is_the_default_for_a_stream_that_is_no_terminal() -> None:
    """A line is one JSON object: time, level, logger, message, then the details."""
    stream = io.StringIO()
    setup_logging(stream=stream)

    line = _line(stream, _record("lease taken", clock="checkins", term=3, partitions=[0, 1]))

    assert line.count("\n") == 1
    assert list(json.loads(line).items()) == [
        ("time", "2026-11-22T08:00:00.123Z"),
        ("level", "INFO"),
        ("logger", "clocksvc.leader"),
        ("message", "lease taken"),
        ("clock", "checkins"),
        ("term", 3),
        ("partitions", [0, 1]),
    ]


def test_text_is_the_default_on_a_terminal() -> None:
    """One readable line with the same facts; details as name=value."""
    stream = Terminal()
    setup_logging(stream=stream)

    line = _line(stream, _record("lease taken", clock="checkins", why="none had it", none=None))

    expected = (
        '2026-11-22T08:00:00.123Z INFO     clocksvc.leader: lease taken clock=checkins why="none had it" none=null\n'
    )
    assert line == expected


@pytest.mark.parametrize(("log_format", "stream"), [("text", io.StringIO()), ("json", Terminal())])
def test_the_format_can_be_chosen(log_format: str, stream: io.StringIO) -> None:
    """`--log-format` overrides the default of the stream."""
    setup_logging(log_format, stream=stream)

    assert _line(stream, _record("hello")).startswith("{") == (log_format == "json")


@pytest.mark.parametrize(
    "value",
    [float("nan"), {"a": float("inf")}, {(1, 2): 3}, object(), b"bytes", {1, 2}, "\ud800", ValueError("no")],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_line_is_lost_to_its_details(log_format: str, value: object) -> None:
    """A detail that JSON can't represent is written as text; the line stays one line of strict JSON."""
    stream = io.StringIO()
    setup_logging(log_format, stream=stream)

    line = _line(stream, _record("odd", value=value))

    assert line.count("\n") == 1
    if log_format == "json":
        assert "value" in json.loads(line, parse_constant=pytest.fail)


def test_details_do_not_replace_the_lines_own_fields() -> None:
    """A detail with the name of one of the line's own fields gets an underscore after its name."""
    stream = io.StringIO()
    setup_logging("json", stream=stream)

    line = json.loads(_line(stream, _record("hello", level=9, time="then")))

    assert (line["level"], line["level_"], line["time_"]) == ("INFO", 9, "then")


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_error_comes_with_its_traceback_and_without_passwords(log_format: str) -> None:
    """The line has an exception's name, text and traceback; a password in a URL is masked everywhere."""
    stream = io.StringIO()
    setup_logging(log_format, stream=stream)

    url = "redis://u:hunter2@h"
    try:
        raise ConnectionError(f"no answer from {url}")
    except ConnectionError:
        logging.getLogger("clocksvc.store").exception("store lost %s", url, extra={"url": url})

    text = stream.getvalue()
    assert "ConnectionError: no answer from redis://u:***@h" in text
    assert "Traceback" in text
    assert "hunter2" not in text
    assert text.count("redis://u:***@h") >= 3


def test_a_message_can_not_forge_a_line() -> None:
    """A line break within a message is written as an escape, in the text format too."""
    stream = io.StringIO()
    setup_logging("text", stream=stream)

    assert "a\\nERROR b\\x1b[31m\n" in _line(stream, _record("a\nERROR b\x1b[31m"))


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_secrets_in_details_are_masked_at_any_depth(log_format: str) -> None:
    """By the names of fields, and in URLs; other values remain."""
    stream = io.StringIO()
    setup_logging(log_format, stream=stream)
    kafka = {"sasl.password": "hunter2", "sasl.username": "ann", "ssl.key.pem": "hunter2"}
    details: dict[str, Any] = {
        "settings": {"kafka": kafka, "urls": ["redis://u:hunter2@h", ("https://h?token=hunter2",)], "n": object()},
        "headers": [{"Authorization": "Bearer hunter2"}],
        "api_token": "hunter2",
        "client_secret": ["hunter2"],
        "tokens": 2,
    }

    line = _line(stream, _record("configured", **details))

    assert "hunter2" not in line
    for kept in ("ann", "redis://u:***@h", "sasl.username", "sasl.password"):
        assert kept in line
    assert '"tokens": 2' in line or "tokens=2" in line


def test_nothing_in_a_line_controls_the_terminal() -> None:
    """In the message, in details and in the traceback."""
    stream = io.StringIO()
    setup_logging("text", stream=stream)
    evil = "\x1b[31m\x9b1A\u202e"

    try:
        raise ValueError(evil)
    except ValueError:
        logging.getLogger("clocksvc.store").exception(evil, extra={"topic": evil, "more": [evil, {evil: 1}]})

    text = stream.getvalue()
    assert "Traceback" in text
    assert all(char == "\n" or char.isprintable() for char in text)


def test_a_detail_that_contains_itself_is_a_line() -> None:
    """It does not stop the program."""
    stream = io.StringIO()
    setup_logging("json", stream=stream)
    endless: dict[str, object] = {}
    endless["self"] = endless

    assert _line(stream, _record("odd", value=endless)).count("\n") == 1


def test_warnings_and_levels() -> None:
    """Python's warnings are lines too; lines below the level are dropped; after a second setup each line still comes
    once."""
    stream = io.StringIO()
    setup_logging("json", stream=io.StringIO())
    setup_logging("json", stream=stream, level="warning")

    logging.getLogger("clocksvc").info("quiet")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old way", DeprecationWarning, stacklevel=1)

    assert [json.loads(line)["logger"] for line in stream.getvalue().splitlines()] == ["py.warnings"]


@pytest.mark.parametrize(
    ("log_format", "level", "name"), [("xml", "INFO", "--log-format"), (None, "loud", "--log-lev")]
)
def test_an_unknown_format_or_level_is_rejected(log_format: str | None, level: str, name: str) -> None:
    """The error names the option, its value and valid values."""
    with pytest.raises(InvalidValue, match=rf"{name}.*wanted one of"):
        setup_logging(log_format, level=level)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:pass@host", "redis://user:***@host"),
        ("rediss://:pass@host:6379/1", "rediss://:***@host:6379/1"),
        ("redis://user:p%40ss%2Fw%3Ard@host/0", "redis://user:***@host/0"),
        ("redis://user:p@ss@host", "redis://user:***@host"),
        ("redis://user:p/a?s#s@host", "redis://user:***@host"),
        ("redis://us%40er:pass@[::1]:6379", "redis://us%40er:***@[::1]:6379"),
        ("https://token@host/path", "https://***@host/path"),
        ("redis://host/0?password=pass&db=1", "redis://host/0?password=***&db=1"),
        ("redis://host/0?ssl_keyfile=/k&ssl_password=pass", "redis://host/0?ssl_keyfile=/k&ssl_password=***"),
        (
            "sentinel://u:pass@a:26379/0;sentinel://u:pass@b:26379/0",
            "sentinel://u:***@a:26379/0;sentinel://u:***@b:26379/0",
        ),
        ("sentinel://:pass@a:26379,b:26379/0", "sentinel://:***@a:26379,b:26379/0"),
        ("redis://:pass@a,redis://:pa@ss@b", "redis://:***@a,redis://:***@b"),
        ("Error 111 connecting to redis://u:pass@h:1. me@home", "Error 111 connecting to redis://u:***@h:1. me@home"),
        ("amqp://guest:pass@rabbit//", "amqp://guest:***@rabbit//"),
        ("no url: me@home", "no url: me@home"),
        ("", ""),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    """User and host stay readable; the password does not, in any notation."""
    assert without_password(url) == shown
    assert without_password(shown) == shown
