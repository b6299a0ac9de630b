"""The chart accepts the values in docs/kubernetes.md and in the chart's examples."""

import re
from typing import Any

import pytest
import yaml

from clocksvc.settings import settings_from
from clocksvc.settings.document import read_yaml
from tests.repository import ROOT
from tests.system.ops.chart.rendering import CHART, Helm, configuration, kinds
from tests.system.ops.chart.schemas import NEWEST, validate
from tests.system.ops.chart.value_sets import SCHEDULED, with_values

PAPER = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAPER, re.DOTALL)
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_every_piece_of_the_paper_renders(chart: Helm, block: str) -> None:
    """Merged into the fewest values."""
    for manifest in chart.template(with_values(yaml.safe_load(block))):
        validate(manifest, NEWEST)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_renders_as_it_stands(chart: Helm, example: Any) -> None:
    """The service accepts the configuration, but for the secrets' files."""
    manifests = chart.template(yaml.safe_load(example.read_text(encoding="utf-8")))
    for manifest in manifests:
        validate(manifest, NEWEST)

    read = [settings_from(read_yaml(configuration(manifests, name)), {}, _text) for name in _config_maps(manifests)]
    assert [len(settings.clocks) for settings in read] == [1, 1]


def test_the_smallest_values_of_the_paper_are_the_examples() -> None:
    """The same list in both places."""
    assert yaml.safe_load(BLOCKS[0]) == yaml.safe_load(
        (CHART / "examples" / "smallest.yaml").read_text(encoding="utf-8")
    )


def test_the_paper_says_what_is_true(chart: Helm) -> None:
    """Its numbers, compared with the manifests."""
    api, beat, worker, scheduler = kinds(chart.template(with_values(SCHEDULED)), "Deployment")
    pods = [each["spec"]["template"]["spec"] for each in (api, beat, worker, scheduler)]

    assert f"SIGKILL would come after {pods[0]['terminationGracePeriodSeconds']}" in PAPER
    assert f"for at most 30 s; SIGKILL would come after {pods[3]['terminationGracePeriodSeconds']}" in PAPER
    assert f"it has run for {beat['spec']['minReadySeconds']} s (`minReadySeconds`" in PAPER
    assert "-lt 30" in pods[2]["containers"][0]["readinessProbe"]["exec"]["command"][2]
    assert "-lt 600" in pods[2]["containers"][0]["livenessProbe"]["exec"]["command"][2]
    assert f"Every pod runs as user {pods[0]['securityContext']['runAsUser']} " in PAPER


def _config_maps(manifests: list[Any]) -> list[str]:
    names = [each["metadata"]["name"] for each in kinds(manifests, "ConfigMap")]
    return [name for name in names if "-dashboard-" not in name]


def _text(path: str) -> str:
    return f"0123456789abcdef-{path.rpartition('/')[2]}"
