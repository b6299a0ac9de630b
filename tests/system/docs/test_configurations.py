"""Every YAML block in the documents is valid for the program that reads it."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from clocksvc.api.app import create_app
from clocksvc.settings import Settings
from tests.faulty.clock_views import views_of
from tests.repository import ROOT
from tests.system.docs.blocks import DOCUMENTS, Block, blocks
from tests.unit.settings.sample_config import TOKEN, loaded

pytestmark = pytest.mark.core

ELSEWHERE = {
    "docs/configuration.md": "tests/unit/settings/test_documented.py::test_every_documented_example_loads",
    "docs/jobs.md": "tests/system/beat/test_documented.py::test_every_configuration_loads",
    "docs/write-a-consumer.md": "tests/system/docs/test_example_consumers.py::test_the_documented_probes_answer",
}
"""Pages whose configurations are loaded by other tests."""

ALL = [block for document in DOCUMENTS for block in blocks(document, "yaml") if document not in ELSEWHERE]
SCHEMA = json.loads((ROOT / "helm" / "clocksvc" / "values.schema.json").read_text(encoding="utf-8"))


def kind(block: Block) -> str:
    """The kind of a block, by its top-level fields."""
    fields = set(yaml.safe_load(block.text))
    if fields <= set(Settings.model_fields):
        return "settings"
    if fields <= {"livenessProbe", "readinessProbe", "terminationGracePeriodSeconds"}:
        return "probes"
    if fields == {"scrape_configs"}:
        return "prometheus"
    return "values" if fields <= set(SCHEMA["properties"]) else f"unknown: {sorted(fields)}"


def of(wanted: str) -> list[Block]:
    """The blocks of one kind."""
    return [block for block in ALL if kind(block) == wanted]


def test_every_block_is_of_a_known_kind() -> None:
    """A block of another kind would not be checked."""
    assert [f"{block.document}: {kind(block)}" for block in ALL if kind(block).startswith("unknown")] == []


@pytest.mark.parametrize("block", of("settings"), ids=lambda block: f"{block.document}: {block.name}")
def test_a_configuration_loads(block: Block) -> None:
    """Unchanged, with content in the files that it names."""
    data: dict[str, Any] = yaml.safe_load(block.text)
    tokens = [token["token_file"] for token in data.get("api", {}).get("tokens", [])]
    secrets = {path: f"{path.rpartition('/')[2]}-{TOKEN}" for path in [*tokens, *_paths(data)]}

    assert loaded(block.text, {}, secrets).clocks


def _paths(data: object) -> list[str]:
    if isinstance(data, dict | list):
        return [path for value in (data.values() if isinstance(data, dict) else data) for path in _paths(value)]
    return [data] if isinstance(data, str) and data.startswith("/run/secrets/") else []


@pytest.mark.parametrize("block", of("values"), ids=lambda block: f"{block.document}: {block.name}")
def test_values_are_the_charts(block: Block) -> None:
    """By the chart's schema, which rejects unknown fields. tests/system/ops/docs renders the chart with them."""
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load(block.text))


@pytest.mark.parametrize("block", of("probes"), ids=lambda block: f"{block.document}: {block.name}")
def test_probes_use_the_api(block: Block) -> None:
    """Paths of the API, on its port."""
    paths = create_app(views_of(), metrics=lambda: (b"", ""), version="0.1.0").openapi()["paths"]
    for probe in (value for name, value in yaml.safe_load(block.text).items() if name.endswith("Probe")):
        assert probe["httpGet"]["path"] in paths
        assert probe["httpGet"]["port"] == Settings.model_fields["api"].get_default(call_default_factory=True).port


@pytest.mark.parametrize("block", of("prometheus"), ids=lambda block: f"{block.document}: {block.name}")
def test_a_scrape_is_of_this_service(block: Block) -> None:
    """Its port, or that of schedulers; promtool reads it in tests/system/ops/docs."""
    jobs = yaml.safe_load(block.text)["scrape_configs"]
    assert [job["job_name"] for job in jobs] in (["clocksvc"], ["clocksvc", "schedulers"])
    for job, port in zip(jobs, ("8080", "8081"), strict=False):
        assert {target.rpartition(":")[2] for one in job["static_configs"] for target in one["targets"]} == {port}
