"""Values that can't work are rejected before the installation, with a helpful message."""

import copy
import json
from functools import reduce
from typing import Any

import jsonschema
import pytest

from clocksvc.errors import SettingsError
from clocksvc.settings import settings_from
from tests.system.ops.chart.rendering import CHART, Helm, Refused
from tests.system.ops.chart.value_sets import EVERY_OBJECT, POOLS, SECURED, SENTINELS, SMALLEST, with_values


def _places(values: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every map whose fields are the chart's, not the user's own."""
    if not isinstance(values, dict):
        return []
    own = {
        ("config", "clocks"),
        ("secrets", "tokens"),
        ("tls",),
        ("beats",),
        ("workers",),
        ("config", "kafka"),
        ("labels",),
    }
    here = (
        []
        if path in own or path[-1:] in (("labels",), ("annotations",), ("alertLabels",), ("nodeSelector",))
        else [path]
    )
    return here + [found for name, one in values.items() for found in _places(one, (*path, name))]


EVERYTHING = with_values(EVERY_OBJECT, SECURED, POOLS)


def test_a_field_that_is_none_is_refused_wherever_it_stands(chart: Helm) -> None:
    """One typo in every map of the values: each is named by its path."""
    places = _places(EVERYTHING)
    typos = copy.deepcopy(EVERYTHING)
    for path in places:
        reduce(lambda values, name: values[name], path, typos)["tpyo"] = "x"
    with pytest.raises(Refused) as refused:
        chart.template(typos)

    told = [line for line in str(refused.value).splitlines() if "'tpyo' not allowed" in line]
    assert len(told) == len(places) > 30


TYPOS: dict[str, dict[str, Any]] = {
    "a setting": {"config": {"redis": {"perfix": "x"}}},
    "a setting of librdkafka": {"config": {"kafka": {"sasl.mechanizm": "PLAIN"}}},
    "a setting that breaks a promise": {"config": {"kafka": {"enable.idempotence": False}}},
    "a clock's field": {"config": {"clocks": {"checkins": {"intervall": "60s"}}}},
    "a clock's name": {"config": {"clocks": {"Check_Ins": {"topics": ["t"], "group": "g"}}}},
    "a clock without topics": {"config": {"clocks": {"billing": {"group": "g"}}}},
    "a duration": {"config": {"clocks": {"checkins": {"interval": "1 minute"}}}},
    "a switch for heartbeats": {"config": {"clocks": {"checkins": {"heartbeat": False}}}},
    "a scope": {"config": {"api": {"tokens": [{"name": "ops", "scopes": ["write"]}]}}},
    "a token in the values": {"config": {"api": {"tokens": [{"name": "ops", "scopes": ["read"], "token": "x" * 16}]}}},
    "a password in the values": {"config": {"redis": {"password": "x"}}},
    "a password in the store's URL": {"config": {"redis": {"url": "redis://:x@valkey:6379/0"}}},
    "a password in the broker's URL": {"config": {"celery": {"broker_url": "amqp://u:x@rabbitmq//"}}},
    "a password behind the broker's URL": {"config": {"celery": {"broker_url": "redis://valkey:6379/1?password=x"}}},
    "a secret of Kafka in the values": {"config": {"kafka": {"sasl.password": "x"}}},
    "a Sentinel's password in the values": {
        "config": {"redis": {"sentinel": {"service": "s", "nodes": ["a"], "password": "x"}}}
    },
    "a Secret without a key": {"secrets": {"redis": {"password": {"name": "redis"}}}},
    "a secret that is none": {"secrets": {"kafka": {"sasl.username": {"name": "a", "key": "b"}}}},
    "a token for workers": {"celeryOverrides": {"secrets": {"tokens": {"ops": {"name": "a", "key": "b"}}}}},
    "clocks for workers": {"celeryOverrides": {"config": {"clocks": {}}}},
    "a toleration": {"pods": {"tolerations": [{"kye": "a"}]}},
    "a resource": {"api": {"resources": {"request": {"cpu": "1"}}}},
    "a security context": {"pods": {"securityContext": {"runAsNonroot": True}}},
    "a port": {"config": {"api": {"port": 0}}},
    "a pool's name": {"workers": {"a-name-that-is-far-too-long": {"queues": ["q"]}}},
    "a pool's queues": {"workers": {"ingest": {"queues": "ingest"}}},
    "no topics": {"config": {"clocks": {"checkins": {"topics": []}}}},
    "a topic twice": {"config": {"clocks": {"checkins": {"topics": ["a", "a"]}}}},
    "a topic's name": {"config": {"clocks": {"checkins": {"topics": ["a b"]}}}},
    "an empty group": {"config": {"clocks": {"checkins": {"group": ""}}}},
    "the tick log's name": {"config": {"tick_log": {"topic": "a:b"}}},
    "a prefix": {"config": {"redis": {"prefix": "a b"}}},
    "a token without a scope": {"config": {"api": {"tokens": [{"name": "ops", "scopes": []}]}}},
    "no partition of schedules": {"config": {"clocks": {"checkins": {"schedules": {"partitions": 0}}}}},
    "too many partitions of schedules": {"config": {"clocks": {"checkins": {"schedules": {"partitions": 257}}}}},
    "any port of a scheduler": {"config": {"scheduler": {"port": 0}}},
    "a certificate of nothing": {"tls": {"redis": {}}},
    "a certificate of two things": {"tls": {"redis": {"secret": "a", "configMap": "b"}}},
    "a number as a tag": {"image": {"tag": 7}},
}


SCHEMA = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", TYPOS)
def test_the_schema_refuses(name: str) -> None:
    """Helm checks all values with it; the fewest values pass."""
    assert SCHEMA.is_valid(SMALLEST)
    assert not SCHEMA.is_valid(with_values(TYPOS[name]))


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "no clock": ({"config": {"clocks": {"checkins": None}}}, "config.clocks: wanted at least one clock"),
    "no Kafka": ({"config": {"kafka": {"bootstrap.servers": None}}}, "config.kafka: wanted bootstrap.servers"),
    "no Redis": ({"config": {"redis": {"url": None}}}, "config.redis.url: wanted such as redis://valkey:6379/0"),
    "an end that is over before it begins": (
        {"api": {"preStopSeconds": 36}},
        "api.terminationGracePeriodSeconds: wanted at least 41",
    ),
    "a hand-over that is too short": (
        {"scheduler": {"terminationGracePeriodSeconds": 34}},
        "scheduler.terminationGracePeriodSeconds: wanted at least 35",
    ),
    "a scheduler of nothing": (
        {"scheduler": {"enabled": True}},
        "scheduler.enabled: wanted only with a clock that has schedules",
    ),
    "one address for all schedulers": (
        {"config": {"scheduler": {"address": "http://10.0.0.7:8081"}}},
        "config.scheduler.address: wanted null",
    ),
    "a cluster as a broker": ({"config": {"redis": {"cluster": True}}}, "config.celery.broker_url: wanted"),
    "no token": (
        {"config": {"api": {"tokens": []}}, "secrets": {"tokens": {"ops": None}}},
        "config.api.tokens: wanted at least one token, because the API is open to the cluster; or api.insecure: true",
    ),
    "a token without its text": ({"secrets": {"tokens": {"ops": None}}}, 'secrets.tokens: wanted "ops"'),
    "the text of no token": (
        {"secrets": {"tokens": {"opps": {"name": "a", "key": "b"}}}},
        "secrets.tokens.opps: config.api.tokens has no token of this name",
    ),
    "a token twice": (
        {"config": {"api": {"tokens": [{"name": "ops", "scopes": ["admin"], "token_file": "/x"}]}}},
        "secrets.tokens.ops: wanted either this or the token_file",
    ),
    "a secret twice": (
        {"config": {"redis": {"password_file": "/x"}}, "secrets": {"redis": {"password": {"name": "a", "key": "b"}}}},
        "config: password_file is given by secrets too",
    ),
    "a Sentinel's password alone": (
        {"secrets": SENTINELS["secrets"]},
        "secrets.redis.sentinel.password: wanted only where config.redis.sentinel is set",
    ),
    "a certificate that is not mounted": (
        {"config": {"kafka": {"ssl.ca.location": "/etc/clocksvc/tls/kafka/ca.crt"}}},
        'config: /etc/clocksvc/tls/kafka/… is named there, but tls has no "kafka"',
    ),
    "no token for the test": (
        {"test": {"token": "opps"}},
        'test.token: secrets.tokens has no "opps"',
    ),
    "no token for Prometheus": (
        {"config": {"api": {"tokens": [{"name": "ops", "scopes": ["report"]}]}}, "serviceMonitor": {"enabled": True}},
        "wanted one of secrets.tokens, because none of config.api.tokens has the scope read for all clocks",
    ),
    "another token for Prometheus": (
        {"serviceMonitor": {"enabled": True, "token": "grafana"}},
        'serviceMonitor.token: secrets.tokens has no "grafana"',
    ),
    "an image without a tag": (
        {"workers": {"ingest": {"image": {"repository": "shop"}}}},
        "workers.ingest.image: wanted a tag or a digest beside the repository",
    ),
    "no host": ({"ingress": {"enabled": True}}, "ingress.hosts: wanted at least one host"),
    "no gateway": ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: wanted the Gateway to attach to"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_values_that_do_not_fit_are_refused(chart: Helm, name: str) -> None:
    """The message says what is wanted, and where."""
    values, words = MISFITS[name]
    with pytest.raises(Refused) as refused:
        chart.template(with_values(values))

    assert words in str(refused.value)


def clock(**fields: Any) -> dict[str, Any]:
    """Values with these fields of the clock."""
    return {"config": {"clocks": {"checkins": fields}}}


def redis(**fields: Any) -> dict[str, Any]:
    """Values with these fields of the section `redis`."""
    return {"config": {"redis": fields}}


RAW = {"topics": ["raw"], "group": "cleaner"}
OTHER = {"clock": "raw", "url": "https://clocksvc.other"}


def observed(**fields: Any) -> dict[str, Any]:
    """Values with these fields of a clock that follows committed offsets."""
    return clock(source="committed", **fields)


OPS = {"name": "ops", "scopes": ["admin"]}
CONTRADICTIONS: dict[str, list[dict[str, Any]]] = {
    "clocks.checkins.interval": [
        *(clock(interval="1500ms"), clock(interval="2d"), clock(interval=0)),
        {
            "config": {
                "clocks": {"raw": {**RAW, "interval": "40s"}, "checkins": {"source": "committed", "after": ["raw"]}}
            }
        },
    ],
    "clocks.checkins.heartbeat.every": [
        clock(heartbeat={"every": "5m"}),
        clock(heartbeat={"every": 61}),
        clock(interval="30s", heartbeat={"every": "31s"}),
        clock(heartbeat={"every": "0s"}),
    ],
    "clocks.checkins.max_out_of_orderness": [
        clock(max_out_of_orderness="25h"),
        observed(after=[OTHER], max_out_of_orderness="5s"),
    ],
    "clocks.checkins.max_future": [clock(max_future=86_401)],
    "clocks.checkins.hold_after": [clock(hold_after="3d")],
    "clocks.checkins.max_past": [clock(max_past="129s"), clock(max_past="2m", max_out_of_orderness="1s")],
    "clocks.checkins.catch_up_pace": [clock(catch_up_pace=0.03), clock(catch_up_pace=2_000_000)],
    "clocks.checkins.max_drift": [
        *(clock(max_drift="249s"), clock(max_drift="250s", hold_after="3m"), observed(max_drift="1h")),
    ],
    "clocks.checkins.recent_ticks": [
        clock(recent_ticks="59s"),
        clock(recent_ticks="31d"),
        {"config": {"tick_log": {"keep": "1d"}}},
    ],
    "clocks.checkins.topics": [
        clock(topics=["a", "clocksvc-ticks"]),
        clock(topics=["clocksvc-ticks-checkpoints"]),
        clock(topics=["a", "checkins-due"], schedules={}),
        clock(topics=["checkins-schedules"], schedules={"partitions": 2}),
    ],
    "clocks.checkins.after": [clock(after=["checkins"])],
    "clocks.checkins.poll": [clock(poll="5s"), clock(source="committed", poll="500ms"), observed(poll="61s")],
    "clocks.checkins.drain_delay": [clock(drain_delay="10s"), observed(drain_delay="2h")],
    "clocks.checkins.heartbeat": [observed(heartbeat={})],
    "clocks.checkins.after.0.clock": [observed(after=["checkins"]), observed(after=[{"clock": "raw"}])],
    "clocks.checkins.after.1.clock": [observed(after=[OTHER, "raw"])],
    "clocks.checkins.source": [observed() | {"config": {**observed()["config"], "kafka": {"topic_ids": "off"}}}],
    "clocks.checkins.schedules": [
        clock(schedules={}) | {"config": {**clock(schedules={})["config"], "tick_log": {"topic": "checkins-due"}}}
    ],
    "api.tokens.1.name": [{"config": {"api": {"tokens": [OPS, OPS]}}}],
    "api.tokens.0.clocks.1": [{"config": {"api": {"tokens": [{**OPS, "clocks": ["checkins", "chekins"]}]}}}],
    "namespaces.ingest.queue": [{"config": {"namespaces": {"ingest": {"expires": "1m"}}}}],
    "namespaces.ingest.topic": [{"config": {"namespaces": {"ingest": {"queue": "a", "topic": "b"}}}}],
    "redis.cluster": [
        redis(cluster=True, sentinel={"service": "s", "nodes": ["a:1"]}) | {"secrets": {}},
    ],
    "redis.url": [redis(cluster=True, url="redis://valkey:6379/2")],
    "redis.ssl_ca_file": [redis(ssl_ca_file="/ca.pem")],
    "redis.ssl_key_file": [redis(url="rediss://valkey:6379/0", ssl_key_file="/key.pem")],
}
FITTING = [
    clock(interval="30s", heartbeat={"every": 30}, recent_ticks="1h", hold_after="2d"),
    clock(interval="1d", heartbeat={"every": "24h"}, max_past="3d"),
    clock(max_past="130s"),
    clock(max_past=120, max_out_of_orderness=0, catch_up_pace=0.04),
    clock(heartbeat=None, max_out_of_orderness=None, hold_after=None, catch_up_pace=None, max_drift=None),
    clock(max_drift="250s"),
    clock(topics=["checkins-due"], schedules=None),
    clock(schedules={"partitions": 256}),
    {"config": {"api": {"tokens": [{**OPS, "scopes": ["read", "report", "schedule", "admin"]}]}}},
    clock(max_drift="2m", hold_after=0, max_out_of_orderness=0),
    observed(heartbeat=None, poll=1, drain_delay=0, max_drift=None, max_out_of_orderness="5s"),
    observed(poll="1m", drain_delay="1h", after=[OTHER, {**OTHER, "clock": "bills"}]),
    {"config": {"clocks": {"raw": RAW, "checkins": {"source": "committed", "after": ["raw"], "interval": "2m"}}}},
]


def checked(values: dict[str, Any]) -> tuple[str, ...]:
    """What `clocksvc check` finds wrong with the configuration in these values."""
    config = copy.deepcopy(with_values(values)["config"])
    for number, token in enumerate(config["api"]["tokens"]):
        token["token"] = f"0123456789abcdef-{number}"
    try:
        settings_from({"celery": {"broker_url": "amqp://rabbitmq//"}, **config})
    except SettingsError as error:
        return error.problems
    return ()


@pytest.mark.parametrize(("path", "values"), [(path, one) for path, many in CONTRADICTIONS.items() for one in many])
def test_the_chart_refuses_what_check_refuses(chart: Helm, path: str, values: dict[str, Any]) -> None:
    """Fields that do not fit to each other: both name the same field."""
    layers = ({"config": {"celery": {"broker_url": "amqp://rabbitmq//"}}}, values)
    with pytest.raises(Refused) as refused:
        chart.template(with_values(*layers))

    assert f"config.{path}: " in str(refused.value)
    assert any(problem.startswith(f"{path}: ") for problem in checked(values))


@pytest.mark.parametrize("values", FITTING, ids=str)
def test_the_chart_accepts_what_check_accepts(chart: Helm, values: dict[str, Any]) -> None:
    """Also at the limits, and for durations that are numbers."""
    assert checked(values) == ()
    assert chart.template(with_values(values))


def test_the_chart_alone_says_what_it_needs(chart: Helm) -> None:
    """The first missing value, and how to set it."""
    with pytest.raises(Refused, match="wanted at least one clock, such as --set-json"):
        chart.template({})
    assert chart.template(SMALLEST)
