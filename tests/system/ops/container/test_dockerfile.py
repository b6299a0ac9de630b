"""The Dockerfile: what it copies exists and is sent, its base images are pinned, and no process is root."""

import re
import sys
import tomllib

import pytest
import yaml

from tests.repository import ROOT
from tests.system.ops.container.dockerfile import Instruction, instructions, pairs, sent

STEPS = instructions(ROOT / "Dockerfile")


def _last(name: str) -> Instruction:
    return [step for step in STEPS if step.name == name][-1]


def _copied() -> list[str]:
    steps = [step for step in STEPS if step.name == "COPY" and "from" not in step.flags]
    return [source for step in steps for source in step.words[:-1]]


def test_both_stages_begin_with_one_pinned_python() -> None:
    """A Python of an exact version and digest, slim, the same in both stages, and one that clocksvc supports."""
    base = pairs(STEPS[0].rest)["PYTHON"]
    version = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", base)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]

    assert STEPS[0].name == "ARG"
    assert [step.words[0] for step in STEPS if step.name == "FROM"] == ["${PYTHON}"] * 2
    assert version
    assert [int(part) for part in version.groups()] >= [int(part) for part in needed.removeprefix(">=").split(".")]


@pytest.mark.parametrize("source", _copied())
def test_what_is_copied_is_there_and_sent(source: str) -> None:
    """It is in the repository, and .dockerignore does not exclude it."""
    assert (ROOT / source).exists()
    assert sent(ROOT / ".dockerignore", source)


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "tests/conftest.py", "compose.yaml", "clocksvc/__pycache__/tick.pyc", "x.env"],
)
def test_nothing_else_is_sent(path: str) -> None:
    """No history, no local environment, no stray files."""
    assert not sent(ROOT / ".dockerignore", path)
    assert sent(ROOT / ".dockerignore", "clocksvc/clock/tick.py")


def test_every_package_is_verified() -> None:
    """pip installs only with hashes, or without an index."""
    installs = [
        step.rest for step in STEPS if step.name == "RUN" and re.search(r"pip\W.*\b(install|wheel)\b", step.rest)
    ]

    assert len(installs) == 4
    assert all("--require-hashes" in rest or "--no-index" in rest for rest in installs)


def test_the_labels_are_those_of_the_oci() -> None:
    """They have what the package and the chart have; each variable in them is declared in the last stage."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stage = STEPS[max(index for index, step in enumerate(STEPS) if step.name == "FROM") :]
    arguments = {name: value for step in stage if step.name == "ARG" for name, value in pairs(step.rest).items()}
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in pairs(_last("LABEL").rest).items()}

    assert labels["title"] == project["name"]
    assert labels["description"] == project["description"]
    assert labels["licenses"] == project["license"]
    assert arguments[labels["version"].strip("${}")] == project["version"]
    assert {"revision", "created", "base.name"} <= set(labels)
    assert {value.strip("${}") for value in labels.values() if value.startswith("$")} <= set(arguments)


def test_the_user_is_a_number_and_the_charts_own() -> None:
    """Kubernetes rejects a user name under runAsNonRoot; files of volumes belong to the chart's number."""
    chart = yaml.safe_load((ROOT / "helm/clocksvc/values.yaml").read_text())["pods"]["podSecurityContext"]

    assert _last("USER").rest == f"{chart['runAsUser']}:{chart['runAsGroup']}"
    assert chart["runAsUser"] != 0
    assert STEPS.index(_last("USER")) > STEPS.index(_last("COPY"))


def test_no_shell_stands_between_the_process_and_sigterm() -> None:
    """Command and health check are in exec form, without an entry point."""
    assert _last("CMD").exec_form
    assert Instruction("CMD", {}, _last("HEALTHCHECK").rest.removeprefix("CMD ")).exec_form
    assert "ENTRYPOINT" not in {step.name for step in STEPS}
    assert _last("STOPSIGNAL").rest == "SIGTERM"


def test_no_secret_is_built_in() -> None:
    """No variable or argument has such a name."""
    given = [name for step in STEPS if step.name in {"ARG", "ENV"} for name in pairs(step.rest)]

    assert given
    assert not [name for name in given if re.search("TOKEN|PASSWORD|SECRET|KEY", name)]


def test_the_python_of_the_tests_is_one_that_the_image_could_have() -> None:
    """The Python that runs the image's commands here is the image's version or newer."""
    version = re.search(r"python:(\d+)\.(\d+)", pairs(STEPS[0].rest)["PYTHON"])

    assert version
    assert sys.version_info[:2] >= (int(version[1]), int(version[2]))
