"""Every helm command of the documents: helm has its options, and the chart can be rendered with its values."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, Command, blocks, commands
from tests.system.docs.handling import HELM, handling

TYPED = [command for document in DOCUMENTS for command in commands(document) if handling(command) is HELM]
CLUSTERS_OWN = {"--create-namespace", "--install", "--wait", "--atomic", "--reuse-values", "--reset-then-reuse-values"}
"""Options without a value that matter to a cluster only."""
WITH_VALUE = {"--timeout", "--history-max"}
"""Options with a value that matter to a cluster only."""


def split(command: Command) -> tuple[str, list[str]]:
    """The subcommand and its arguments."""
    _, name, *arguments = shlex.split(command.text.replace("\\\n", " "))
    return name, arguments


def written(command: Command, folder: Path) -> Path:
    """A folder with the chart and the files of the document."""
    (folder / "helm").symlink_to(ROOT / "helm")
    (folder / "docs").symlink_to(ROOT / "docs")
    for block in blocks(command.document, "yaml"):
        if block.file and not (folder / block.file).exists():
            (folder / block.file).write_text(block.text)
    return folder


@pytest.mark.parametrize("command", TYPED, ids=lambda command: f"{command.document}: {command.text[:60]}")
def test_its_options_are_helms(command: Command, helm: Path) -> None:
    """They are in the help of the subcommand."""
    name, arguments = split(command)
    shown = subprocess.run([helm, name, "--help"], capture_output=True, text=True, timeout=60)
    options = {word.partition("=")[0] for word in arguments if re.match(r"-{1,2}[a-z]", word)}

    assert shown.returncode == 0, shown.stderr
    assert {option for option in options if not re.search(rf"(^|\s){re.escape(option)}[\s,]", shown.stdout)} == set()


INSTALLS = [command for command in TYPED if split(command)[0] in ("install", "upgrade", "template", "lint")]


@pytest.mark.parametrize("command", INSTALLS, ids=lambda command: f"{command.document}: {command.text[:60]}")
def test_it_renders(command: Command, helm: Path, tmp_path: Path) -> None:
    """With the values that the document shows."""
    name, arguments = split(command)
    rendering = "lint" if name == "lint" else "template"

    done = subprocess.run(
        [helm, rendering, *_without_the_clusters(arguments)],
        cwd=written(command, tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert rendering == "lint" or "kind: Deployment" in done.stdout


def _without_the_clusters(arguments: list[str]) -> list[str]:
    kept, words = [], iter(arguments)
    for word in words:
        if word in WITH_VALUE:
            next(words)
        elif word.partition("=")[0] not in CLUSTERS_OWN | WITH_VALUE:
            kept.append(word)
    return kept
