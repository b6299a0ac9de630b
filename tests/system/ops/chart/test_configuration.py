"""The configuration in the pods: clocksvc loads it, and it contains no secret."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from clocksvc.settings import Settings, settings_from
from clocksvc.settings.document import read_yaml
from tests.system.ops.chart.rendering import Helm, Manifest, configuration, kinds, pod_specs
from tests.system.ops.chart.value_sets import MATRIX, with_values

Rendered = Callable[[str], list[Manifest]]
BOTH = ("clock-clocksvc", "clock-clocksvc-celery")
MOUNT = "/run/secrets/clocksvc/"
SECRET_TEXTS = {"redis.url": "redis://:s3cret@valkey:6379/0", "celery.broker_url": "amqp://u:s3cret@rabbitmq//"}


def _loaded(manifests: list[Manifest], name: str) -> Settings:
    """Loaded by the service's own code, with a file for each secret that the pods mount, and no other."""
    pod = "clock-clocksvc-api" if name == BOTH[0] else "clock-clocksvc-worker-heartbeats"
    specs = pod_specs(manifests)
    files = _mounted(specs[pod]) if pod in specs else {}

    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        return files[path]

    return settings_from(read_yaml(configuration(manifests, name)), {}, read)


def _mounted(spec: Manifest) -> dict[str, str]:
    sources = [
        each for volume in spec["volumes"] if volume["name"] == "secrets" for each in volume["projected"]["sources"]
    ]
    names = [item["path"] for each in sources for item in each["secret"]["items"]]
    return {MOUNT + name: SECRET_TEXTS.get(name, f"0123456789abcdef-{name}") for name in names}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("values", [name for name in MATRIX if name not in ("every pod", "all at once")])
def test_the_loader_takes_it(rendered: Rendered, values: str, name: str) -> None:
    """With only the files that the pods have. Those two rename the objects and change nothing here."""
    settings = _loaded(rendered(values), name)

    assert set(settings.clocks) == set(MATRIX[values]["config"]["clocks"])


def test_a_service_without_tokens_answers_the_names_of_its_objects(rendered: Rendered, chart: Helm) -> None:
    """Clients in the cluster, and browsers behind an ingress, use these names as Host."""
    web = {"pageUrl": "https://page.example.com/clock", "ingress": {"enabled": True, "hosts": ["clock.example.com"]}}
    hosts = _loaded(chart.template(with_values(MATRIX["open"], web)), BOTH[0]).api.hosts

    service = {f"clock-clocksvc{domain}" for domain in ("", ".clocks", ".clocks.svc", ".clocks.svc.cluster.local")}
    assert set(hosts) == service | {"page.example.com", "clock.example.com"}
    assert _loaded(rendered("smallest"), BOTH[0]).api.hosts == ()


def test_it_says_what_the_values_say(rendered: Rendered) -> None:
    """Every kind of value is unchanged: durations, null, lists, numbers, names with a dot."""
    settings = _loaded(rendered("cluster"), BOTH[0])
    billing = settings.clocks["billing"]
    assert (billing.interval, billing.heartbeat, billing.topics) == (3_600_000, None, ("orders", "payments"))
    assert billing.tasks[0].max_age == "1h"
    assert (billing.tasks[0].max_attempts, billing.tasks[0].arguments) == (3, {"region": "eu", "depths": [1, 2]})
    assert (billing.tasks[0].expires, billing.tasks[1].at_most_once) == (600_000, True)
    assert settings.route_overrides == {"ingest.errors": "slow"}
    assert settings.taskbroker.replicas == {"tasks": 3}

    assert _loaded(rendered("secured"), BOTH[0]).kafka_settings()["message.max.bytes"] == "1000000"


def test_secrets_come_as_files(rendered: Rendered) -> None:
    """The setting's `_file` is the path at which the Secret's key is mounted."""
    address = _loaded(rendered("secured"), BOTH[0]).redis.address()
    assert (address.username, address.password) == ("clocksvc", "0123456789abcdef-redis.password")
    assert (
        _loaded(rendered("secured"), BOTH[0]).kafka_settings()["sasl.password"]
        == "0123456789abcdef-kafka.sasl.password"
    )

    urls = _loaded(rendered("secret urls"), BOTH[0])
    assert urls.redis.address().password == "s3cret"
    assert urls.celery_broker()[0] == "amqp://u:s3cret@rabbitmq//"

    sentinel = _loaded(rendered("sentinels"), BOTH[0]).redis.sentinel
    assert sentinel is not None
    assert sentinel.password is not None


def test_beats_and_workers_have_users_of_their_own(rendered: Rendered) -> None:
    """And no token of the API."""
    settings = _loaded(rendered("secured"), BOTH[1])
    assert settings.redis.address().username == "worker"
    assert settings.kafka_settings()["sasl.username"] == "worker"
    assert settings.redis.ssl_ca_file == "/etc/clocksvc/tls/redis/ca.crt"
    assert settings.api.tokens == ()

    worker = pod_specs(rendered("secured"))["clock-clocksvc-worker-heartbeats"]
    names = {name.removeprefix(MOUNT) for name in _mounted(worker)}
    assert names == {"redis.password", "kafka.sasl.password"}
    (volume,) = [each for each in worker["volumes"] if each["name"] == "secrets"]
    assert [each["secret"]["name"] for each in volume["projected"]["sources"]] == ["kafka", "redis-worker"]


@pytest.mark.parametrize("values", MATRIX)
def test_no_secret_is_in_any_manifest(rendered: Rendered, values: str) -> None:
    """The chart makes no Secret, and its values have no field for one."""
    assert kinds(rendered(values), "Secret") == []


HOSTILE = [
    "on",
    "1_000",
    "12:30:45",
    "0o7",
    "0x1F",
    "=",
    "<<",
    "2026-11-22",
    "~",
    "null",
    ".5",
    "1e3",
    "- a",
    "a: b",
    "#",
]
HOSTILE += [
    "{{ .Release.Name }}",
    "'",
    '"',
    "\\n",
    "\u00e9\u4e2d",
    "a\nb\n",
    " a ",
    "%",
    "@x",
    "`",
    "&a",
    "*a",
    "!!binary x",
]


def test_text_stays_text(chart: Helm) -> None:
    """Text that YAML of any version would read as something else is unchanged."""
    clocks = {
        f"clock-{number}": {"topics": [f"t{number}"], "group": "g", "heartbeat": {"key": text, "payload": text}}
        for number, text in enumerate(HOSTILE)
    }
    settings = _loaded(chart.template(with_values({"config": {"clocks": clocks}})), BOTH[0])

    heartbeats = [settings.clocks[name].heartbeat for name in clocks]
    assert [each.key.decode() for each in heartbeats if each and each.key] == HOSTILE
    assert [each.payload.decode() for each in heartbeats if each and each.payload] == HOSTILE


def test_numbers_stay_whole(chart: Helm) -> None:
    """Helm reads every number as a float: a large one must not become 1e+09."""
    kafka = {"receive.message.max.bytes": 1000000000, "queue.buffering.max.ms": 0.5, "socket.keepalive.enable": True}
    text = configuration(chart.template(with_values({"config": {"kafka": kafka}})))

    assert yaml.safe_load(text)["kafka"] == {"bootstrap.servers": "kafka:9092", **kafka}
    assert "1000000000" in text


def test_a_changed_configuration_rolls_the_pods(chart: Helm) -> None:
    """No other change of values rolls them."""

    def checksums(*layers: dict[str, Any]) -> list[str]:
        deployments = kinds(chart.template(with_values(*layers)), "Deployment")
        return [each["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for each in deployments]

    first = checksums()
    assert first == checksums({"service": {"port": 80}, "labels": {"a": "b"}})
    assert all(old != new for old, new in zip(first, checksums({"config": {"redis": {"prefix": "x"}}}), strict=True))
    api, *celery = checksums({"config": {"api": {"port": 8081}}})
    assert api != first[0]
    assert celery == first[1:]


def test_certificates_are_mounted_where_they_are_named(rendered: Rendered) -> None:
    """`tls` mounts each Secret or ConfigMap as a folder, in every pod that reads the configuration."""
    specs = pod_specs(rendered("secured"))
    for name in specs.keys() - {"clock-clocksvc-test"}:
        (container,) = specs[name]["containers"]
        paths = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/etc/clocksvc/tls/redis", "/etc/clocksvc/tls/kafka", "/etc/clocksvc/clocksvc.yaml", "/tmp"} <= paths
