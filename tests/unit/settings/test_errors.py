"""Errors of an invalid configuration: all at once, with the field, without secrets."""

import pytest

from clocksvc.errors import SettingsError
from tests.unit.settings.sample_config import (
    CLOCK,
    MINIMAL,
    SECRET,
    TOKEN,
    loaded,
    problems_of,
    with_clock,
    with_section,
)

pytestmark = pytest.mark.core


# An invalid configuration, and the beginning of its only problem.
CASES: dict[str, tuple[object, str]] = {
    "a typo at the top": ({**MINIMAL, "rediss": {}}, "rediss: unknown field: did you mean 'redis'?"),
    "a typo in a section": (with_section("redis", {"urll": SECRET}), "redis.urll: unknown field: did you mean 'url'?"),
    "a typo in a clock": (
        with_clock(max_futur="1s"),
        "clocks.checkins.max_futur: unknown field: did you mean 'max_future'?",
    ),
    "neither true nor false": (
        with_section("metrics", {"per_partition": "sometimes"}),
        "metrics.per_partition: 'sometimes' is not valid: wanted true or false",
    ),
    "nothing like it": (
        with_section("celery", {"xyz": 1}),
        "celery.xyz: unknown field: wanted one of broker_url, broker_url_file",
    ),
    "a name inside a clock": (
        with_clock(name="x"),
        "clocks.checkins.name: unknown field: a clock's name is its key under `clocks`",
    ),
    "no clocks": ({}, "clocks: missing: wanted at least one clock"),
    "an empty list of clocks": ({"clocks": {}}, "clocks: wanted at least one clock"),
    "no mapping at all": ([1], "the configuration: a list is not valid: wanted fields, or nothing"),
    "a clock's name": (
        {"clocks": {"Check_ins": CLOCK}},
        "clocks.Check_ins: the value (not shown) is not valid: "
        "wanted 1 to 63 of a-z, 0-9 and '-', beginning and ending with one of a-z, 0-9",
    ),
    "a clock's name that is a number": (
        {"clocks": {5: CLOCK}},
        "clocks.5: wanted text as a clock's name: put it in quotes",
    ),
    "no topics": (with_clock(topics=[]), "clocks.checkins.topics: [] is not valid: wanted at least one topic"),
    "one topic as text": (with_clock(topics="a"), "clocks.checkins.topics: 'a' is not valid: wanted a list"),
    "a number as group": (with_clock(group=5), "clocks.checkins.group: 5 is not valid: wanted text: put it in quotes"),
    "half a second": (
        with_clock(interval="1500ms"),
        "clocks.checkins.interval: '1500ms' is not valid: wanted whole seconds",
    ),
    "off": (
        with_clock(heartbeat=False),
        "clocks.checkins.heartbeat: false is not valid: "
        "wanted fields such as {every: 60s}, or null to switch heartbeats off",
    ),
    "heartbeats too far apart": (
        with_clock(heartbeat={"every": "2h"}),
        "clocks.checkins.heartbeat.every: '7200s' is not valid: wanted 1s to 60s",
    ),
    "a tick log of one clock": (
        with_clock(tick_log="a-ticks"),
        "clocks.checkins.tick_log: unknown field: 'tick_log' is a section of its own, at the top level",
    ),
    "a tick log that a clock watches": (
        with_clock(topics=["checkins", "clocksvc-ticks"]),
        "clocks.checkins.topics: 'clocksvc-ticks' is not valid: wanted other topics: this one is the tick log",
    ),
    "a watched topic where a dispatcher stores checkpoints": (
        {**with_clock(topics=["t-checkpoints"]), "tick_log": {"topic": "t"}},
        "clocks.checkins.topics: 't-checkpoints' is not valid: wanted other topics: this one contains the checkpoints",
    ),
    "no partitions of schedules": (
        with_clock(schedules={"partitions": 0}),
        "clocks.checkins.schedules.partitions: 0 is not valid: wanted 1 to 256",
    ),
    "too many partitions of schedules": (
        with_clock(schedules={"partitions": 257}),
        "clocks.checkins.schedules.partitions: 257 is not valid: wanted 1 to 256",
    ),
    "a clock over its own due records": (
        with_clock(schedules={}, topics=["a", "checkins-due"]),
        "clocks.checkins.topics: 'checkins-due' is not valid: wanted other topics: the scheduler writes 'checkins-due'",
    ),
    "schedules in the tick log": (
        {**with_clock(schedules={}), "tick_log": {"topic": "checkins-schedules"}},
        "clocks.checkins.schedules: wanted another tick_log.topic: 'checkins-schedules' is a topic of this clock's",
    ),
    "a scheduler's address with a path": (
        with_section("scheduler", {"address": "http://one:8081/v1"}),
        "scheduler.address: 'http://one:8081/v1' is not valid: wanted a URL without path and user, such as http://10.",
    ),
    "a scheduler's port": (
        with_section("scheduler", {"port": 70_000}),
        "scheduler.port: 70000 is not valid: wanted 1 to 65535, or 0 for any free port",
    ),
    "a tick log that is not a topic": (
        with_section("tick_log", {"topic": "a:b"}),
        "tick_log.topic: 'a:b' is not valid: wanted a Kafka topic: 1 to 249 of",
    ),
    "a tick log whose checkpoint topic has a long name": (
        with_section("tick_log", {"topic": "t" * 240}),
        f"tick_log.topic: '{'t' * 99}… is not valid: wanted a Kafka topic: 1 to 249 of",
    ),
    "ticks that are not kept long enough": (
        with_section("tick_log", {"keep": "1d"}),
        "clocks.checkins.recent_ticks: '604800s' is not valid: wanted at most 86400s, which is tick_log.keep",
    ),
    "a scheme": (
        with_section("redis", {"url": f"http://:{SECRET}@h"}),
        "redis.url: the value (not shown) is not valid: wanted redis://",
    ),
    "arguments": (
        with_section("redis", {"url": f"redis://h?password={SECRET}"}),
        "redis.url: the value (not shown) is not valid: wanted",
    ),
    "a port of a URL": (
        with_section("redis", {"url": f"redis://:{SECRET}@h:x"}),
        "redis.url: the value (not shown) is not valid: wanted",
    ),
    "a prefix": (with_section("redis", {"prefix": "{a}"}), "redis.prefix: '{a}' is not valid: wanted 1 to 64 of a-z"),
    "two passwords": (
        with_section("redis", {"url": "redis://:a@h", "password": SECRET}),
        "redis.password: the value (not shown) is not valid: set twice: redis.url contains a password, too",
    ),
    "a password and its file": (
        with_section("redis", {"password": SECRET, "password_file": "/f"}),
        "redis.password: set twice: wanted either password or password_file",
    ),
    "a password that is a number": (
        with_section("redis", {"password": 1234567}),
        "redis.password: the value (not shown) is not valid: wanted text: put it in quotes",
    ),
    "a file that is not there": (
        with_section("redis", {"password_file": "/f"}),
        "redis.password_file: '/f' is not valid: wanted a file that can be read: No such file or directory",
    ),
    "TLS files without TLS": (
        with_section("redis", {"ssl_ca_file": "/ca"}),
        "redis.ssl_ca_file: '/ca' is not valid: wanted only with a rediss:// URL in redis.url",
    ),
    "a key without a certificate": (
        with_section("redis", {"url": "rediss://h", "ssl_key_file": "/k"}),
        "redis.ssl_key_file: '/k' is not valid: wanted only with redis.ssl_cert_file",
    ),
    "a cluster's database": (
        {**with_section("redis", {"url": "redis://h/1", "cluster": True}), "celery": {"broker_url": "redis://b"}},
        "redis.url: the value (not shown) is not valid: wanted database 0, because a cluster has only this database",
    ),
    "a cluster with sentinels": (
        {
            **with_section("redis", {"cluster": True, "sentinel": {"service": "s", "nodes": ["a"]}}),
            "celery": {"broker_url": "redis://b"},
        },
        "redis.cluster: true is not valid: wanted cluster or sentinel, not both",
    ),
    "a cluster without a broker": (
        with_section("redis", {"cluster": True}),
        "celery.broker_url: the value (not shown) is not valid: "
        "wanted a broker's URL, because Celery can't use a Redis cluster",
    ),
    "a sentinel's address": (
        with_section("redis", {"sentinel": {"service": "s", "nodes": ["a:b"]}}),
        "redis.sentinel.nodes.0: 'a:b' is not valid: wanted host:port",
    ),
    "a section that is a URL": (
        with_section("redis", f"redis://:{SECRET}@h"),
        "redis: the value (not shown) is not valid: wanted fields",
    ),
    "a broker that is no URL": (
        with_section("celery", {"broker_url": SECRET}),
        "celery.broker_url: the value (not shown) is not valid: wanted a broker's URL",
    ),
    "a port": (
        with_section("api", {"port": 65536}),
        "api.port: 65536 is not valid: wanted 1 to 65535, or 0 for any free port",
    ),
    "a switch as port": (with_section("api", {"port": True}), "api.port: true is not valid: wanted a whole number"),
    "a short token": (
        with_section("api", {"tokens": [{"name": "n", "token": SECRET[:15], "scopes": ["read"]}]}),
        "api.tokens.0.token: the value (not shown) is not valid: wanted 16 or more of",
    ),
    "a token with a blank": (
        with_section("api", {"tokens": [{"name": "n", "token": SECRET + " ", "scopes": ["read"]}]}),
        "api.tokens.0.token: the value (not shown) is not valid: wanted 16 or more of",
    ),
    "no token": (
        with_section("api", {"tokens": [{"name": "n", "scopes": ["read"]}]}),
        "api.tokens.0.token: missing: wanted token or token_file",
    ),
    "no scopes": (
        with_section("api", {"tokens": [{"name": "n", "token": TOKEN, "scopes": []}]}),
        "api.tokens.0.scopes: wanted at least one of read, report, schedule, admin",
    ),
    "an unknown scope": (
        with_section("api", {"tokens": [{"name": "n", "token": TOKEN, "scopes": ["write"]}]}),
        "api.tokens.0.scopes.0: 'write' is not valid: wanted 'read', 'report', 'schedule' or 'admin'",
    ),
    "an unknown clock": (
        with_section("api", {"tokens": [{"name": "n", "token": TOKEN, "scopes": ["read"], "clocks": ["checkin"]}]}),
        "api.tokens.0.clocks.0: 'checkin' is not valid: wanted one of checkins",
    ),
    "neither all nor a list": (
        with_section("api", {"tokens": [{"name": "n", "token": TOKEN, "scopes": ["read"], "clocks": "checkins"}]}),
        "api.tokens.0.clocks: 'checkins' is not valid: wanted 'all' or a list of clocks",
    ),
    "a name twice": (
        with_section("api", {"tokens": [{"name": "n", "token": TOKEN + str(i), "scopes": ["read"]} for i in range(2)]}),
        "api.tokens.1.name: 'n' is not valid: wanted each name once",
    ),
    "a token twice": (
        with_section(
            "api", {"tokens": [{"name": str(i) + "n", "token": SECRET, "scopes": ["read"]} for i in range(2)]}
        ),
        "api.tokens.1.token: the value (not shown) is not valid: wanted a different token: api.tokens.0 has the same",
    ),
    "a misspelt Kafka setting": (
        with_section("kafka", {"sasl.mechansim": "PLAIN"}),
        "kafka.sasl.mechansim: unknown setting: did you mean 'sasl.mechanism'?",
    ),
    "underscores in a Kafka setting": (
        with_section("kafka", {"bootstrap_servers": "h"}),
        "kafka.bootstrap_servers: unknown setting: did you mean 'bootstrap.servers'?",
    ),
    "a nested Kafka setting": (
        with_section("kafka", {"sasl": {"password": SECRET}}),
        "kafka.sasl: a mapping is not valid: wanted text, a number, true or false",
    ),
    "no address of Kafka": (
        with_section("kafka", {"bootstrap.servers": ""}),
        "kafka.bootstrap.servers: '' is not valid: wanted host:port; separate several addresses with commas",
    ),
    "a callback": (
        with_section("kafka", {"error_cb": "print"}),
        "kafka.error_cb: can't be set: a callback is code, which a configuration can't contain",
    ),
}


@pytest.mark.parametrize(("data", "message"), CASES.values(), ids=CASES)
def test_an_invalid_value_is_rejected_by_name(data: object, message: str) -> None:
    """One problem, with the full path, the value (unless it may be a secret) and what would be right."""
    (problem,) = problems_of(data)

    assert problem.startswith(message)
    assert SECRET[:15] not in problem


def test_all_problems_are_reported_at_once() -> None:
    """Problems of all sections and of several clocks are in one error, with the name of the file."""
    text = """
        redis: {prefix: "a b"}
        kafka: {acks: 0, error_cb: x}
        celery: {broker: x}
        clocks:
          one: {topics: [a, a], group: "", interval: 2d}
          two: {group: 1}
        api: {port: x, host: ""}
    """
    with pytest.raises(SettingsError) as raised:
        loaded(text, {"CLOCKSVC_NO__SUCH": "1"})

    assert [problem.split(": ")[0] for problem in raised.value.problems] == [
        "CLOCKSVC_NO__SUCH",
        "redis.prefix",
        "kafka.acks",
        "kafka.error_cb",
        "celery.broker",
        "clocks.one.topics",
        "clocks.one.group",
        "clocks.one.interval",
        "clocks.two.topics",
        "clocks.two.group",
        "api.host",
        "api.port",
    ]
    assert str(raised.value).startswith("the configuration (clocksvc.yaml) is not valid:\n  CLOCKSVC_NO__SUCH: ")
    assert raised.value.__context__ is None
