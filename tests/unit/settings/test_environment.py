"""Environment variables override the file."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from clocksvc.settings import settings_from
from tests.unit.settings.sample_config import CLOCK, MINIMAL, SECRET, TOKEN, problems_of, with_clock, with_section

pytestmark = pytest.mark.core


@dataclass
class Case:
    """A file, variables, and the value of a field after both."""

    environ: dict[str, str]
    path: str
    value: object
    file: dict[str, Any] = field(default_factory=lambda: MINIMAL)


CASES = {
    "over a default": Case({"CLOCKSVC_REDIS__PREFIX": "p"}, "redis.prefix", "p"),
    "over the file": Case({"CLOCKSVC_REDIS__PREFIX": "p"}, "redis.prefix", "p", with_section("redis", {"prefix": "q"})),
    "beside the file": Case({"CLOCKSVC_API__PORT": "1"}, "redis.prefix", "q", with_section("redis", {"prefix": "q"})),
    "a number": Case({"CLOCKSVC_API__PORT": "81"}, "api.port", 81),
    "a switch": Case({"CLOCKSVC_REDIS__CLUSTER": "false"}, "redis.cluster", False),
    "a duration": Case({"CLOCKSVC_CLOCKS__CHECKINS__INTERVAL": "2m"}, "clocks.checkins.interval", 120_000),
    "a list with commas": Case({"CLOCKSVC_CLOCKS__CHECKINS__TOPICS": "a, b"}, "clocks.checkins.topics", ("a", "b")),
    "a list as YAML": Case({"CLOCKSVC_CLOCKS__CHECKINS__TOPICS": "[a, 'b']"}, "clocks.checkins.topics", ("a", "b")),
    "null": Case({"CLOCKSVC_CLOCKS__CHECKINS__HEARTBEAT": "null"}, "clocks.checkins.heartbeat", None),
    "nothing": Case(
        {"CLOCKSVC_CLOCKS__CHECKINS__HOLD_AFTER": ""}, "clocks.checkins.hold_after", None, with_clock(hold_after=9)
    ),
    "below what was null": Case(
        {"CLOCKSVC_CLOCKS__CHECKINS__HEARTBEAT__EVERY": "5s"},
        "clocks.checkins.heartbeat.every",
        5_000,
        with_clock(heartbeat=None),
    ),
    "a clock with a dash": Case(
        {"CLOCKSVC_CLOCKS__EU_CHECK_INS__GROUP": "x"},
        "clocks.eu-check-ins.group",
        "x",
        {"clocks": {"eu-check-ins": CLOCK}},
    ),
    "a clock of its own": Case(
        {"CLOCKSVC_CLOCKS__A_B__GROUP": "x", "CLOCKSVC_CLOCKS__A_B__TOPICS": "t"}, "clocks.a-b.topics", ("t",), {}
    ),
    "a section as YAML": Case({"CLOCKSVC_REDIS": "{prefix: p}"}, "redis.prefix", "p"),
    "a field over a section as YAML": Case(
        {"CLOCKSVC_REDIS__PREFIX": "r", "CLOCKSVC_REDIS": "{prefix: p}"}, "redis.prefix", "r"
    ),
    "sentinels": Case(
        {"CLOCKSVC_REDIS__SENTINEL__NODES": "a:1,b:2", "CLOCKSVC_REDIS__SENTINEL__SERVICE": "s"},
        "redis.sentinel.nodes",
        ("a:1", "b:2"),
    ),
    "true or false": Case({"CLOCKSVC_METRICS__PER_PARTITION": "false"}, "metrics.per_partition", False),
    "lower case": Case({"CLOCKSVC_redis__prefix": "p"}, "redis.prefix", "p"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_environment_overrides_the_file(case: Case) -> None:
    """Any field, by its path in upper case; the data of the file is not changed."""
    before = yaml.safe_dump(case.file)

    value: Any = settings_from(case.file, case.environ)
    for segment in case.path.split("."):
        value = value[segment] if isinstance(value, dict) else getattr(value, segment)

    assert value == case.value
    assert yaml.safe_dump(case.file) == before


def test_tokens_from_the_environment() -> None:
    """List elements are set by number; the next number adds one; `all` means every clock."""
    first = {"name": "a", "token": TOKEN, "scopes": ["read"], "clocks": ["checkins"]}
    environ = {f"CLOCKSVC_API__TOKENS__{n}__NAME": f"n{n}" for n in range(1, 12)}
    environ |= {f"CLOCKSVC_API__TOKENS__{n}__TOKEN": f"{TOKEN}{n}" for n in range(1, 12)}
    environ |= {f"CLOCKSVC_API__TOKENS__{n}__SCOPES": "report,admin" for n in range(1, 12)}
    environ |= {"CLOCKSVC_API__TOKENS__0__CLOCKS": "all", "CLOCKSVC_API__TOKENS__1__CLOCKS": "checkins"}

    tokens = settings_from(with_section("api", {"tokens": [first]}), environ).api.tokens

    assert [token.name for token in tokens] == ["a", *(f"n{n}" for n in range(1, 12))]
    assert [token.clocks for token in tokens[:3]] == [None, ("checkins",), None]
    assert tokens[1].scopes == ("report", "admin")
    assert [token.token and token.token.get_secret_value() for token in tokens[:2]] == [TOKEN, TOKEN + "1"]


@pytest.mark.parametrize(
    "environ",
    [
        {"CLOCKSVC_PORT": "tcp://10.0.0.1:8080", "CLOCKSVC_PORT_8080_TCP": "tcp://10.0.0.1:8080"},
        {
            "CLOCKSVC_PORT_8080_TCP_PROTO": "tcp",
            "CLOCKSVC_PORT_8080_TCP_PORT": "8080",
            "CLOCKSVC_PORT_8080_TCP_ADDR": "1",
        },
        {"CLOCKSVC_SERVICE_HOST": "10.0.0.1", "CLOCKSVC_SERVICE_PORT": "8080", "CLOCKSVC_SERVICE_PORT_HTTP": "8080"},
        {"CLOCKSVC_REDIS_SERVICE_HOST": "10.0.0.1", "CLOCKSVC_REDIS_PORT": "tcp://10.0.0.1:6379"},
        {"CLOCKSVC_REDIS_PORT_6379_TCP_ADDR": "10.0.0.1", "CLOCKSVC_API_SERVICE_PORT": "80"},
        {"CLOCKSVC_URL": "x", "CLOCKSVC_TOKEN": "x", "CLOCKSVC_DEV_CACHE": "x", "CLOCKSVC_CONFIG": "x"},
        {"PATH": "x", "REDIS_URL": "x", "MY_CLOCKSVC_X": "x", "CLOCKSVCX": "x"},
    ],
)
def test_variables_that_are_not_settings_are_ignored(environ: dict[str, str]) -> None:
    """Variables that Kubernetes injects, those of the command line, and those without the prefix."""
    assert settings_from(MINIMAL, environ) == settings_from(MINIMAL)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"CLOCKSVC_PORT": "8080"}, "CLOCKSVC_PORT: unknown variable: did you mean 'CLOCKSVC_API__PORT'?"),
        ({"CLOCKSVC_REDIS_URL": SECRET}, "CLOCKSVC_REDIS_URL: unknown variable: did you mean 'CLOCKSVC_REDIS__URL'?"),
        ({"CLOCKSVC_REDIS__URLL": SECRET}, "redis.urll (CLOCKSVC_REDIS__URLL): unknown field: did you mean 'url'?"),
        ({"CLOCKSVC_": "x"}, "CLOCKSVC_: unknown variable"),
        (
            {"CLOCKSVC_API__PORT__X": "x"},
            "CLOCKSVC_API__PORT__X: unknown variable: CLOCKSVC_API__PORT has no fields",
        ),
        (
            {"CLOCKSVC_API__TOKENS__X__NAME": "x"},
            "CLOCKSVC_API__TOKENS__X__NAME: unknown variable: wanted a number, from 0, after CLOCKSVC_API__TOKENS",
        ),
        (
            {"CLOCKSVC_API__TOKENS__1__NAME": "x"},
            "CLOCKSVC_API__TOKENS__1__NAME: wanted an index from 0 to 0: the list has 0 elements, the next index "
            "appends",
        ),
        (
            {"CLOCKSVC_REDIS__PREFIX": "a", "CLOCKSVC_redis__prefix": "b"},
            "CLOCKSVC_redis__prefix: CLOCKSVC_REDIS__PREFIX sets the same field. Remove one of the two variables",
        ),
        (
            {"CLOCKSVC_API__TOKENS": f"[{{token: {SECRET}"},
            "CLOCKSVC_API__TOKENS: not valid YAML: line 1, column",
        ),
        (
            {"CLOCKSVC_CLOCKS__CHECKIN__INTERVAL": "1s", "CLOCKSVC_CLOCKS__CHECKIN__GROUP": "g"},
            "clocks.checkin.topics: missing: wanted the list of topics that the clock watches "
            "(the file has no clock 'checkin'; CLOCKSVC_CLOCKS__CHECKIN__INTERVAL adds it: "
            "did you mean 'checkins'?)",
        ),
        (
            {"CLOCKSVC_API__PORT": "http"},
            "api.port (CLOCKSVC_API__PORT): 'http' is not valid: wanted a whole number",
        ),
    ],
)
def test_invalid_variables_are_rejected_by_name(environ: dict[str, str], message: str) -> None:
    """A variable with the prefix that sets no field is an error; the error names the variable."""
    (problem,) = problems_of(MINIMAL, environ)

    assert problem.startswith(message)
    assert SECRET not in problem
