"""The names in the documents' kubectl commands are in the chart: labels, and Secrets with their keys."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, Command, commands
from tests.system.docs.handling import KUBECTL, handling

TYPED = [command for document in DOCUMENTS for command in commands(document) if handling(command) is KUBECTL]
CHART = ROOT / "helm" / "clocksvc"
SMALLEST = CHART / "examples" / "smallest.yaml"


@pytest.fixture(scope="module")
def manifests(helm: Path) -> list[dict[str, Any]]:
    """The release that the documents install."""
    done = subprocess.run(
        [helm, "template", "clocksvc", CHART, "--values", SMALLEST], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def selected(command: Command, manifests: list[dict[str, Any]]) -> bool:
    """Whether there is an object of the kind, and with the label, that a command selects."""
    kind, label, value = re.findall(r"(deployment|pod) --selector ([\w./-]+)=([\w-]+)", command.text)[0]
    return any(
        manifest["kind"].lower() == kind and manifest["metadata"]["labels"].get(label) == value
        for manifest in manifests
    )


@pytest.mark.parametrize("command", TYPED, ids=lambda command: command.text[:60])
def test_it_names_what_there_is(command: Command, manifests: list[dict[str, Any]]) -> None:
    """A selector finds an object; a Secret is one that the smallest values name."""
    if "--selector" in command.text:
        assert selected(command, manifests)
    elif made := re.search(r"create secret generic ([\w-]+) --from-literal=([\w-]+)=", command.text):
        tokens = yaml.safe_load(SMALLEST.read_text(encoding="utf-8"))["secrets"]["tokens"]
        assert {"name": made[1], "key": made[2]} in tokens.values()
    else:
        assert re.fullmatch(r"kubectl create namespace [\w-]+", command.text)
