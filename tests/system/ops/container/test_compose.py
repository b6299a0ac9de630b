"""compose.yaml, checked by the library of `docker compose`, and for what the library does not check."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from clocksvc.settings import load
from tests.repository import ROOT
from tests.system.ops.container.compose_services import model, mounts

TEXT = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = model()["services"]
OUR_OWN = {name: service for name, service in SERVICES.items() if service["image"].startswith("clocksvc:")}


def _read(compose: Path, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The resolved compose file for this text instead of compose.yaml, read in `folder`."""
    (folder / "compose.yaml").write_text(text)
    return subprocess.run(
        [compose, "--format", "json", "compose.yaml"],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_is_valid(compose: Path, tmp_path: Path) -> None:
    """Valid by the Compose Specification, with all anchors and variables resolved."""
    read = _read(compose, TEXT, tmp_path)

    assert read.returncode == 0, read.stderr
    services = json.loads(read.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert services["worker"]["depends_on"]["valkey"]["condition"] == "service_healthy"


@pytest.mark.parametrize(
    ("written", "wrong"),
    [("read_only: true", "readonly: true"), ("condition: service_healthy", "condition: service_fine")],
)
def test_what_is_wrong_would_be_found(compose: Path, tmp_path: Path, written: str, wrong: str) -> None:
    """A misspelt field, an impossible value."""
    assert written in TEXT
    assert _read(compose, TEXT.replace(written, wrong), tmp_path).returncode != 0


def test_only_who_asks_for_the_demo_gets_it() -> None:
    """Only producer and consumer are in a profile."""
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "producer": ["demo"],
        "consumer": ["demo"],
    }


def test_ports_are_on_loopback_and_can_be_moved() -> None:
    """Each host port is different, on 127.0.0.1 only, with a variable of its own; Kafka advertises the same port."""
    written = [port for service in SERVICES.values() for port in service.get("ports", [])]
    ports = [re.fullmatch(r"127\.0\.0\.1:(\$\{([A-Z]+_PORT):-(\d+)\}):\d+", port) for port in written]

    assert all(ports)
    assert len(ports) == len({port[2] for port in ports if port}) == len({port[3] for port in ports if port}) == 5
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert advertised.endswith(f"OUTSIDE://localhost:{_outside(SERVICES['kafka']['ports'][0])}")


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """By a full version and its digest, so that a restart changes nothing. Ours is this version of clocksvc."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    image = SERVICES[name]["image"]

    if name in OUR_OWN:
        assert image == f"clocksvc:{version}"
    else:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z]+)?@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_and_only_read(name: str) -> None:
    """Docker would make an empty folder for a missing file."""
    assert all(source.exists() for source, _ in mounts(SERVICES[name]))
    volumes = [volume.split(":") for volume in SERVICES[name].get("volumes", [])]
    assert all(how == ["ro"] for source, _, *how in volumes if source.startswith("./"))
    assert {source for source, *_ in volumes if not source.startswith("./")} <= set(model()["volumes"])


@pytest.mark.parametrize("name", OUR_OWN)
def test_our_own_programs_have_no_more_rights_than_they_need(name: str) -> None:
    """A read-only file system with a /tmp, no capabilities, no privilege escalation, and time to shut down."""
    ours = OUR_OWN[name]

    assert ours["read_only"] is True
    assert ours["tmpfs"] == ["/tmp"]
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert ours["stop_grace_period"] == ("45s" if name == "scheduler" else "30s")


def test_each_waits_for_what_it_needs() -> None:
    """A service that is awaited until healthy has a health check; the topic exists before our services start."""
    waits = [(name, needed, how["condition"]) for name, one in SERVICES.items() for needed, how in _needs(one)]

    assert {needed for _, needed, _ in waits} <= set(SERVICES)
    assert {needed for _, needed, condition in waits if condition == "service_healthy"} <= {
        name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})
    }
    for name in OUR_OWN:
        assert (name, "topics", "service_completed_successfully") in waits


def test_the_configuration_is_valid_and_names_the_composed_parts() -> None:
    """Its Kafka address is the listener for containers, its topic the one that is created."""
    settings = load(str(ROOT / "docs/compose/clocksvc.yaml"), {})
    spec = settings.clock_specs()["checkins"]

    assert settings.kafka_settings()["bootstrap.servers"] == "kafka:19092"
    assert "INSIDE://kafka:19092" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert [f"--topic={topic}" in SERVICES["topics"]["command"] for topic in spec.topics] == [True]


def test_grafana_is_given_its_data_source_and_the_charts_dashboards() -> None:
    """The provider reads the folder of the dashboards, the home page is one of them, the data source is this
    Prometheus."""
    grafana = SERVICES["grafana"]
    folders = {target: source for source, target in mounts(grafana)}
    provider = yaml.safe_load((ROOT / "docs/compose/grafana/dashboards.yaml").read_text())["providers"][0]
    source = yaml.safe_load((ROOT / "docs/compose/grafana/datasources.yaml").read_text())["datasources"][0]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert folders[provider["options"]["path"]] == ROOT / "helm/clocksvc/dashboards"
    assert (folders[str(home.parent)] / home.name).exists()
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True


def _outside(port: str) -> str:
    return port.removeprefix("127.0.0.1:").rpartition(":")[0]


def _needs(service: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    return list(service.get("depends_on", {}).items())
