"""Runs helm, and finds objects in its manifests."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.repository import ROOT
from tests.system.ops.checked_command import run_checked

CHART = ROOT / "helm" / "clocksvc"
WITHIN_S = 60

Manifest = dict[str, Any]


class Refused(Exception):
    """helm ended with an error; the message is helm's."""


@dataclass(frozen=True)
class Helm:
    """Renders the chart with values, as the release `clock` in the namespace `clocks`."""

    path: Path
    chart: Path = CHART

    def template(self, values: Mapping[str, Any], *arguments: str, release: str = "clock") -> list[Manifest]:
        """Every manifest, with the hooks for tests. Raises Refused."""
        text = self._ran(values, "template", release, str(self.chart), "--namespace", "clocks", *arguments)
        return [one for one in yaml.safe_load_all(text) if one]

    def sources(self, values: Mapping[str, Any]) -> set[str]:
        """The chart's files that these values render."""
        text = self._ran(values, "template", "clock", str(self.chart))
        return set(re.findall(r"^# Source: clocksvc/(.*)$", text, re.MULTILINE))

    def notes(self, values: Mapping[str, Any], folder: Path) -> str:
        """The notes that helm prints after an installation, from a copy of the chart in `folder`: without a cluster,
        helm does not render them."""
        copy = folder / "clocksvc"
        shutil.copytree(CHART, copy, dirs_exist_ok=True)
        (copy / "notes.txt").write_text(
            (CHART / "templates" / "NOTES.txt").read_text(encoding="utf-8"), encoding="utf-8"
        )
        shows = 'notes: {{ tpl (.Files.Get "notes.txt") . | toJson }}\n'
        (copy / "templates" / "notes.yaml").write_text(shows, encoding="utf-8")
        arguments = ["--namespace", "clocks", "--show-only", "templates/notes.yaml"]
        notes: str = yaml.safe_load(self._ran(values, "template", "clock", str(copy), *arguments))["notes"]
        return notes

    def lint(self, values: Mapping[str, Any]) -> str:
        """The output of `helm lint --strict`. Raises Refused."""
        return self._ran(values, "lint", "--strict", str(self.chart))

    def package(self, folder: Path) -> "Helm":
        """The same helm with the archive that `helm package` writes into `folder`."""
        run_checked([self.path, "package", self.chart, "--destination", folder], within=WITHIN_S)
        (archive,) = folder.glob("*.tgz")
        return Helm(self.path, archive)

    def _ran(self, values: Mapping[str, Any], *arguments: str) -> str:
        done = subprocess.run(
            [self.path, *arguments, "--values", "-"],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return done.stdout


def kinds(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    """The manifests of one kind."""
    return [one for one in manifests if one["kind"] == kind]


def one(manifests: Iterable[Manifest], kind: str, name: str) -> Manifest:
    """The manifest of a kind and name. Fails unless there is exactly one."""
    (found,) = [each for each in kinds(manifests, kind) if each["metadata"]["name"] == name]
    return found


def pod_specs(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """The spec of every pod, of Deployments and of the test, by the object's name."""
    every = {each["metadata"]["name"]: each for each in manifests if each["kind"] in ("Deployment", "Pod")}
    return {name: each["spec"].get("template", each)["spec"] for name, each in every.items()}


def configuration(manifests: Iterable[Manifest], name: str = "clock-clocksvc") -> str:
    """The configuration file of the service, or (`clock-clocksvc-celery`) of beats and workers."""
    text: str = one(manifests, "ConfigMap", name)["data"]["clocksvc.yaml"]
    return text
