"""Every command of the chart is a command of clocksvc: each is run as the pod would run it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clocksvc.api.app import create_app
from clocksvc.api.scheduler_app import create_scheduler_app
from clocksvc.clock.tick import Tick
from tests.faulty.clock_views import views_of
from tests.http_stub import Asked, HttpStub, Reply
from tests.system.ops.chart.rendering import Manifest, configuration, kinds, one, pod_specs

Rendered = Callable[[str], list[Manifest]]
BIN = Path(sys.executable).parent
UNREADABLE, USAGE = 1, 2
"""Exit codes: the configuration can't be read; an unknown argument."""


def _run(command: list[str], environ: Mapping[str, str], given: str = "") -> subprocess.CompletedProcess[str]:
    """With the programs of this virtual environment first, as in the image, and no other variables of this process."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": "/nowhere", **environ}
    return subprocess.run(
        command, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
    )


def _containers(manifests: list[Manifest], program: str) -> dict[str, Any]:
    every = {name: spec["containers"][0] for name, spec in pod_specs(manifests).items()}
    return {name: each for name, each in every.items() if each["command"][0] == program}


@pytest.mark.parametrize("name", ["api", "scheduler"])
def test_the_service_is_started_by_a_command_that_there_is(rendered: Rendered, name: str) -> None:
    """It starts, and fails because the configuration is missing."""
    container = _containers(rendered("open"), "clocksvc")[f"clock-clocksvc-{name}"]
    environ = {"CLOCKSVC_CONFIG": "/nowhere/clocksvc.yaml"}
    ended = _run(container["command"], environ)
    assert (ended.returncode, "can't be read" in ended.stderr) == (UNREADABLE, True)
    assert _run([*container["command"], "--tpyo"], environ).returncode == USAGE

    closed = _containers(rendered("schedules"), "clocksvc")[f"clock-clocksvc-{name}"]
    assert {*container["command"]} - {*closed["command"]} == {"--insecure"}


PARSED = """
import json, sys
from celery.bin.celery import main
sys.argv, codes = ["celery"], []
for arguments in json.load(sys.stdin):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        codes.append(ended.code or 0)
json.dump(codes, sys.stderr)
"""
"""Celery's entry point, many times in one process, because a start takes seconds."""


def test_beats_and_workers_are_started_by_commands_that_there_are(rendered: Rendered, tmp_path: Path) -> None:
    """Celery knows every argument, with the configuration of the chart."""
    (tmp_path / "clocksvc.yaml").write_text(configuration(rendered("pools"), "clock-clocksvc-celery"))
    containers = _containers(rendered("pools"), "celery")
    commands = [
        ["--app=clocksvc" if argument == "--app=shop" else argument for argument in each["command"][1:]]
        for each in containers.values()
    ]
    asked = [[*command, *more] for command in commands for more in (["--help"], ["--tpyo", "--help"])]

    environ = {"CLOCKSVC_CONFIG": str(tmp_path / "clocksvc.yaml")}
    codes = _run([sys.executable, "-c", PARSED], environ, json.dumps(asked)).stderr.splitlines()[-1]
    assert len(commands) == 4
    assert json.loads(codes[codes.index("[") :]) == [0, USAGE] * 4


def test_workers_serve_their_queues(rendered: Rendered) -> None:
    """The probes of the heartbeats' worker, and of a pool's."""
    commands = {name: each["command"] for name, each in _containers(rendered("pools"), "celery").items()}

    assert {"--queues=clocksvc", "--concurrency=2"} <= set(commands["clock-clocksvc-worker-heartbeats"])
    assert {"--app=shop", "--queues=ingest,ingest-slow", "--max-tasks-per-child=1000"} <= set(
        commands["clock-clocksvc-worker-ingest"]
    )
    assert "--scheduler=clocksvc.celery:ClockScheduler" in commands["clock-clocksvc-beat-shop"]


@pytest.mark.parametrize(
    ("age_s", "ready", "alive"), [(1, True, True), (60, False, True), (1200, False, False), (None, False, True)]
)
def test_a_workers_probes_look_at_the_files_age(
    rendered: Rendered, tmp_path: Path, age_s: float | None, ready: bool, alive: bool
) -> None:
    """Ready if the file was touched just now; restarted only if it was not touched for ten minutes."""
    container = _containers(rendered("smallest"), "celery")["clock-clocksvc-worker-heartbeats"]
    assert "--health-check-file-path=/tmp/health" in container["command"]
    if age_s is not None:
        file = tmp_path / "health"
        file.touch()
        os.utime(file, (time.time() - age_s,) * 2)

    def succeeds(probe: str) -> bool:
        command = container[probe]["exec"]["command"]
        return _run([each.replace("/tmp/health", str(tmp_path / "health")) for each in command], {}).returncode == 0

    assert (succeeds("readinessProbe"), succeeds("livenessProbe")) == (ready, alive)


def test_probes_and_metrics_ask_for_paths_that_there_are(rendered: Rendered) -> None:
    """The port of the service."""
    manifests = rendered("every object")
    container = _containers(manifests, "clocksvc")["clock-clocksvc-api"]
    probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    (endpoint,) = one(manifests, "ServiceMonitor", "clock-clocksvc")["spec"]["endpoints"]
    paths = create_app(views_of(), metrics=lambda: (b"", "text/plain"), version="0").openapi()["paths"]

    assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
    assert {*(probe["path"] for probe in probes), endpoint["path"]} <= set(paths)
    assert {probe["port"] for probe in probes} == {endpoint["port"]} == {each["name"] for each in container["ports"]}
    assert container["ports"][0]["containerPort"] == 8080


def test_a_schedulers_probes_and_metrics_ask_for_paths_that_there_are(rendered: Rendered) -> None:
    """The port of the scheduler."""
    manifests = rendered("every object")
    container = _containers(manifests, "clocksvc")["clock-clocksvc-scheduler"]
    probes = [container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    (endpoint,) = one(manifests, "ServiceMonitor", "clock-clocksvc-scheduler")["spec"]["endpoints"]
    app = create_scheduler_app({}, readiness_error=str, metrics=lambda: (b"", "text/plain"), version="0")

    assert probes == ["/livez", "/livez", "/readyz"]
    assert {*probes, endpoint["path"]} <= set(app.openapi()["paths"])
    assert container["ports"] == [{"name": endpoint["port"], "containerPort": 8081}]


def test_the_end_is_announced_by_a_program_that_there_is(rendered: Rendered) -> None:
    """The system's `sleep`."""
    (container,) = _containers(rendered("smallest"), "clocksvc").values()
    program, seconds = container["lifecycle"]["preStop"]["exec"]["command"]

    assert shutil.which(program)
    assert seconds == "5"


def test_helm_test_waits_for_the_next_tick(rendered: Rendered) -> None:
    """It asks for each clock, with its token, whether everything before now is processed, and exits with 0."""
    test = one(rendered("cluster"), "Pod", "clock-clocksvc-test")
    (container,) = test["spec"]["containers"]
    environ = {each["name"]: each.get("value", "0123456789abcdef") for each in container["env"]}
    before = int(time.time())

    def answer(asked: Asked) -> Reply:
        tick = Tick(asked.path.split("/")[3], 1_893_456_000_000, 1_893_455_940_000, 60_000, 1_893_456_000_001)
        return Reply(200, tick.to_wire())

    with HttpStub(answer) as stub:
        ended = _run(container["command"], environ | {"CLOCKSVC_URL": stub.url})
    assert ended.returncode == 0, ended.stderr
    assert "everything before" in ended.stdout
    assert [asked.path for asked in stub.asked] == ["/v1/clocks/billing/wait", "/v1/clocks/checkins/wait"]
    assert {asked.headers["authorization"] for asked in stub.asked} == {"Bearer 0123456789abcdef"}
    (until,) = {asked.query["until"] for asked in stub.asked}
    assert until >= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before))


def test_helm_test_fails_without_an_answer(rendered: Rendered) -> None:
    """After its timeout, with a message."""
    (container,) = one(rendered("smallest"), "Pod", "clock-clocksvc-test")["spec"]["containers"]
    environ = {each["name"]: each.get("value", "0123456789abcdef") for each in container["env"]}
    ended = _run(container["command"], environ | {"CLOCKSVC_URL": "http://127.0.0.1:1", "TIMEOUT": "0s"})

    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr


def test_every_program_is_looked_at(rendered: Rendered) -> None:
    """No pod runs another command."""
    specs = pod_specs(rendered("pools"))
    programs = {container["command"][0] for spec in specs.values() for container in spec["containers"]}

    assert programs == {"clocksvc", "celery", "sh"}
    assert not any("args" in container for spec in specs.values() for container in spec["containers"])
    assert len(kinds(rendered("pools"), "Deployment")) == 5
