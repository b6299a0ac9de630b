"""One error lists all problems, also those that only appear once others are corrected."""

from typing import Any

import pytest

from clocksvc.errors import SettingsError
from clocksvc.kafka.admin import settings_problems
from clocksvc.settings import load
from tests.unit.settings.sample_config import CLOCK, MINIMAL, TOKEN, file_reader, problems_of, with_clock, with_section

pytestmark = pytest.mark.core

SEVENTEEN = """
redis: {url: "redis//localhost", prefix: "a b", ssl_ca_file: /ca.pem}
kafka: {security.protocol: MAGIC, acks: 1}
tick_log: {topic: "ticks!", keep: forever}
clocks:
  Check_ins:
    topics: [checkins, checkins]
    group: checkins-consumer
    heartbeat: {every: 5m}
  bills: {topics: bills, group: 7, interval: 90x}
api:
  port: 80800
  tokens:
    - {name: grafana, token: short, scopes: [read], clocks: [Check_ins, payments]}
    - {name: grafana, token: 0123456789abcdef, scopes: []}
"""


def test_seventeen_mistakes_are_one_list() -> None:
    """Those of single values, of fields that must fit, across sections, and of librdkafka, in the fields' order."""
    with pytest.raises(SettingsError) as raised:
        load("clocksvc.yaml", {}, file_reader({"clocksvc.yaml": SEVENTEEN}), settings_problems)

    problems = raised.value.problems
    assert [problem.split(": ")[0] for problem in problems] == [
        "redis.url",
        "redis.prefix",
        "kafka",
        "kafka.acks",
        "tick_log.topic",
        "tick_log.keep",
        "clocks.Check_ins",
        "clocks.Check_ins.topics",
        "clocks.Check_ins.heartbeat.every",
        "clocks.bills.topics",
        "clocks.bills.group",
        "clocks.bills.interval",
        "api.port",
        "api.tokens.0.token",
        "api.tokens.0.clocks.1",
        "api.tokens.1.name",
        "api.tokens.1.scopes",
    ]
    assert "security.protocol" in problems[2]
    assert len(problems) == 17


def naming(clock: str, clocks: dict[Any, Any]) -> dict[str, Any]:
    """A configuration with a token for this clock."""
    return {"clocks": clocks, "api": {"tokens": [{"name": "n", "token": TOKEN, "scopes": ["read"], "clocks": [clock]}]}}


MISTAKES: dict[str, list[Any]] = {
    "not a mapping": [[1], "text", 5],
    "no clocks": [
        {**MINIMAL, "clocks": None},
        {"api": {"tokens": [{"name": "n", "token": TOKEN, "scopes": ["read"]}]}},
    ],
    "a url that hides the others": [
        with_section("redis", {"url": "rediss//x", "ssl_ca_file": "/ca", "ssl_cert_file": "/c"}),
        with_section("redis", {"url": "x", "cluster": True}) | {"celery": {"broker_url": "amqp://x"}},
    ],
    "a broker that a cluster needs": [with_section("redis", {"cluster": True}) | {"celery": {"broker_url": "x"}}],
    "a limit": [
        with_section("tick_log", {"keep": "x"}),
        with_clock(recent_ticks="x") | {"tick_log": {"keep": "1d"}},
        with_clock(interval="x", heartbeat={"every": "2h"}),
    ],
    "a clock that a token names": [
        naming("Check_ins", {"Check_ins": CLOCK}),
        naming("checkins", {"checkins": 5}),
        naming("5", {5: CLOCK}),
        naming("gone", {}),
    ],
    "a token": [
        with_section("api", {"tokens": [{"name": "n", "token": "short", "scopes": ["read"]}]}),
        with_section("api", {"tokens": [{"name": "n", "token_file": "/gone", "scopes": ["read"]}]}),
        with_section("api", {"tokens": [{"name": "n", "token": TOKEN, "scopes": ["write"]}]}),
        with_section("api", {"tokens": ["x"]}),
        with_section("api", {"tokens": "x"}),
    ],
    "a namespace": [with_section("namespaces", {"a": {}}), with_section("namespaces", {"": {"queue": "q"}})],
    "a kafka section": [with_section("kafka", 5), with_section("kafka", {5: 5})],
}


@pytest.mark.parametrize("data", [data for each in MISTAKES.values() for data in each], ids=str)
def test_a_single_mistake_is_a_single_problem(data: Any) -> None:
    """What replaces a wrong value to find further problems must not cause one itself."""
    (problem,) = problems_of(data)

    assert "placeholder" not in problem
