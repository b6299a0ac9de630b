"""Values that can't work are rejected before the installation, with a helpful message."""

import copy
import json
from functools import reduce
from typing import Any

import jsonschema
import pytest

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


def test_the_chart_alone_says_what_it_needs(chart: Helm) -> None:
    """The first missing value, and how to set it."""
    with pytest.raises(Refused, match="wanted at least one clock, such as --set-json"):
        chart.template({})
    assert chart.template(SMALLEST)
