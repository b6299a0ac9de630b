"""A valid configuration with one change, in the file or the environment: it loads, or the error names the field and
shows no secret, neither the changed one nor another."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clocksvc.errors import SettingsError
from clocksvc.settings import Settings, settings_from
from clocksvc.settings.environment import put
from tests.unit.settings.sample_config import file_reader, loaded

pytestmark = pytest.mark.core

LEAK = "Leak4711"
"""Part of every secret, and of every value that replaces one."""

Path = tuple[str | int, ...]

DOCUMENT: dict[str, Any] = {
    "redis": {
        "url": "rediss://redis.example:6380/0",
        "prefix": "clocksvc",
        "username": "ops",
        "password": f"redis-{LEAK}",
        "sentinel": {"service": "primary", "nodes": ["one:26379", "two"], "username": "s", "password": f"s-{LEAK}"},
        "cluster": False,
        "ssl_ca_file": "/etc/ca.pem",
    },
    "kafka": {
        "bootstrap.servers": "one:9092,two:9092",
        "security.protocol": "sasl_ssl",
        "sasl.username": "clocksvc",
        "sasl.password": f"kafka-{LEAK}",
        "ssl.key.pem": f"-----{LEAK}-----",
        "socket.timeout.ms": 10_000,
        "topic_ids": False,
    },
    "tick_log": {"topic": "clocksvc-ticks", "keep": "30d"},
    "scheduler": {"host": "10.0.0.7", "port": 8081, "address": "http://10.0.0.7:8081"},
    "celery": {"broker_url": f"redis://:broker-{LEAK}@redis.example/1"},
    "clocks": {
        "checkins": {
            "topics": ["ingest-checkins", "more"],
            "group": "consumers",
            "interval": "60s",
            "max_out_of_orderness": "10s",
            "max_future": 60,
            "max_drift": "6d",
            "hold_after": "2m",
            "heartbeat": {"every": "30s", "key": "k", "payload": "p"},
            "recent_ticks": "7d",
            "schedules": {"partitions": 8, "sink": "topic"},
        },
        "bills": {"topics": ["bills"], "group": "billing", "heartbeat": None},
    },
    "api": {
        "host": "0.0.0.0",
        "port": 8080,
        "tokens": [
            {"name": "grafana", "token": f"grafana-token-{LEAK}", "scopes": ["read"], "clocks": "all"},
            {"name": "team", "token": f"team-token-01-{LEAK}", "scopes": ["read", "report"], "clocks": ["bills"]},
        ],
    },
}
SECRETS: set[Path] = {
    ("redis", "url"),
    ("redis", "password"),
    ("redis", "sentinel", "password"),
    ("kafka", "sasl.password"),
    ("kafka", "ssl.key.pem"),
    ("celery", "broker_url"),
    ("api", "tokens", 0, "token"),
    ("api", "tokens", 1, "token"),
}


INTERVAL: Path = ("clocks", "checkins", "interval")
"""The upper limit of `heartbeat.every`, whose error names it."""


def leaves(data: object, path: Path = ()) -> Iterator[Path]:
    """The path of every scalar, list and mapping."""
    if path:
        yield path
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for segment, value in below:
        yield from leaves(value, (*path, segment))


PATHS = sorted(leaves(DOCUMENT), key=str)
_TEXTS = st.sampled_from([LEAK, f"x://u:{LEAK}@h:99999/?{LEAK}", f"{LEAK}\n{LEAK}", f"[{LEAK}", f"{{{LEAK}: 1"])
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.dates()
    | st.integers(4_300, 5_000).map(lambda digits: 10**digits)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=2),
    max_leaves=4,
)
_LEAKS = _TEXTS | st.lists(_TEXTS, min_size=1, max_size=2) | st.dictionaries(st.just("a"), _TEXTS, min_size=1)


def outcome(load: Callable[[], Settings]) -> Settings | SettingsError:
    """The settings or the SettingsError; no other exception is caught."""
    try:
        return load()
    except SettingsError as error:
        return error


def checked_problems(load: Callable[[], Settings]) -> tuple[str, ...]:
    """All problems; empty if it loads. Fails if a secret shows in either case."""
    made = outcome(load)
    if isinstance(made, SettingsError):
        assert made.problems
        assert LEAK not in f"{made}{made!r}{made.__cause__!r}{made.__context__!r}"
        return made.problems
    assert LEAK not in f"{made!r}{made}{made.model_dump()}{json.dumps(made.model_dump(), default=str)}"
    return ()


def names(problem: str, path: Path) -> bool:
    """Whether a problem names the path, or one above or below it; or another path and this one as its limit."""
    if problem.endswith(f", the {path[-1]}"):
        return True
    at = problem.split(": ")[0].split(" (")[0]
    whole = ".".join(map(str, path))
    if f", which is {whole}:" in problem:
        return True
    return f"{whole}.".startswith(f"{at}.") or f"{at}.".startswith(f"{whole}.")


def from_data(data: object, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    """All problems of plain data."""
    return checked_problems(lambda: settings_from(data, environ or {}, file_reader({})))


def test_the_document_is_valid() -> None:
    """All other tests change one value of it."""
    assert from_data(DOCUMENT) == ()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_a_value_in_place_of_a_secret_is_not_shown(path: Path) -> None:
    """A list, a mapping or a broken URL instead of a secret, or of the section around it, is never shown."""
    if not any(secret[: len(path)] == path for secret in SECRETS):
        return
    for value in ([LEAK], {"a": LEAK}, [[LEAK]], f"x://u:{LEAK}@h:99999", f"{LEAK}\x00", LEAK.encode(), {LEAK: 1}):
        if path in SECRETS or not isinstance(value, dict):
            from_data(put(DOCUMENT, path, value))


@hypothesis_settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(PATHS), value=_VALUES)
@example(path=INTERVAL, value="1s")
def test_a_changed_value_is_named(path: Path, value: object) -> None:
    """A problem names the changed field; no other secret is shown."""
    problems = from_data(put(DOCUMENT, path, value))

    assert not problems or any(names(problem, path) for problem in problems), (path, value, problems)


@hypothesis_settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(sorted(SECRETS, key=str)), leak=_LEAKS)
def test_a_changed_secret_is_named_and_not_shown(path: Path, leak: object) -> None:
    """For any value in its place."""
    problems = from_data(put(DOCUMENT, path, leak))

    assert not problems or any(names(problem, path) for problem in problems), (path, leak, problems)


@hypothesis_settings(max_examples=200, deadline=None)
@given(path=st.sampled_from([p for p in PATHS if isinstance(p[-1], str)]), more=st.text("abcxyz_", min_size=1))
def test_a_misspelt_field_is_named(path: Path, more: str) -> None:
    """An unknown field is named; its value is not shown."""
    unknown = (*path[:-1], f"{path[-1]}{more}")
    problems = from_data(put(DOCUMENT, unknown, f"secret-{LEAK}"))

    if path[:-1] not in (("clocks",), ("kafka",)):
        assert any(names(problem, unknown) for problem in problems), (unknown, problems)


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from([p for p in PATHS if "." not in str(p[-1])]),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | _TEXTS,
)
@example(path=INTERVAL, text="1")
@example(path=("tick_log", "keep"), text="0")
def test_a_variable_is_named(path: Path, text: str) -> None:
    """The same with a variable: the error names it, or the field. Only secret fields get a secret."""
    inside_secret = any(secret[: len(path)] == path for secret in SECRETS)
    text = text if inside_secret else text.replace(LEAK, "x")
    variable = "CLOCKSVC_" + "__".join(str(segment).replace("-", "_") for segment in path).upper()

    problems = from_data(DOCUMENT, {variable: text})

    assert not problems or any(variable in problem or names(problem, path) for problem in problems), problems


@hypothesis_settings(max_examples=300, deadline=None)
@given(
    where=st.integers(0, 100_000), what=st.text("{}[]:,&*!?|>-<'\"#%@` \n\tab0", max_size=4), long=st.integers(0, 20)
)
def test_a_damaged_file_loads_or_is_rejected(where: int, what: str, long: int) -> None:
    """Text inserted or removed anywhere: settings or SettingsError. Invalid YAML is not quoted."""
    text = _text()
    where %= len(text)

    shown = str(outcome(lambda: loaded(text[:where] + what + text[where + long :])))

    assert "not valid YAML" not in shown or "hunter2" not in shown


def _text() -> str:
    """A file with secrets."""
    return """\
redis: {url: "redis://redis:6379/0", password: hunter2-hunter2}
kafka:
  bootstrap.servers: one:9092
  sasl.password: 'hunter2-hunter2'
api:
  tokens:
    - {name: grafana, token: hunter2-hunter2-hunter2, scopes: [read]}
clocks:
  checkins:
    topics: [ingest]
    group: consumers
    interval: 60s
"""
