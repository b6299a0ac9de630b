"""docs/configuration.md and the example file match the code."""

import re
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from clocksvc.kafka.admin import settings_problems
from clocksvc.settings import Settings
from tests.repository import ROOT
from tests.unit.settings.sample_config import TOKEN, loaded

pytestmark = pytest.mark.core


def _fields(model: type[BaseModel], path: str = "") -> list[tuple[str, object]]:
    """(path, default) of every field that a user can set; `<name>` and `<n>` stand for keys and indexes."""
    found: list[tuple[str, object]] = []
    repeated = {"clocks": ".<name>", "tokens": ".<n>", "tasks": ".<n>", "after": ".<n>", "namespaces": ".<name>"}
    for name, info in model.model_fields.items():
        if info.exclude:
            continue
        here = f"{path}{name}"
        inner = _inner(info.annotation)
        if inner is None:
            found.append((here, "required" if info.is_required() else info.get_default(call_default_factory=True)))
        elif name != "kafka":
            found += _fields(inner, f"{here}{repeated.get(name, '')}.")
    return found


def _inner(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _inner(inner))), None)


DOCUMENT = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "default"), [*_fields(Settings), ("kafka.bootstrap.servers", "localhost:9092"), ("kafka.topic_ids", "on")]
)
def test_every_field_is_documented(path: str, default: Any) -> None:
    """With type, default, variable and meaning."""
    rows = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{path}` |")]
    assert len(rows) == 1, f"docs/configuration.md has {len(rows)} rows for {path}"
    _, kind, written, variable, meaning = (cell.strip() for cell in rows[0].strip("|").split("|"))

    assert (
        variable == f"`CLOCKSVC_{'__'.join(path.split('.', 1 if 'kafka' in path else -1)).upper().replace('.', '_')}`"
    )
    assert meaning
    if default is None:
        default = "all" if path.endswith(".clocks") else "null"
    elif isinstance(default, SecretStr):
        default = default.get_secret_value()
    elif default == ():
        default = "empty"
    elif kind == "duration":
        default = {5_000: "5s", 10_000: "10s", 15_000: "15s", 60_000: "60s", 604_800_000: "7d", 2_592_000_000: "30d"}[
            default
        ]
    assert written.strip("`") == (str(default).lower() if isinstance(default, bool) else str(default))


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL))
def test_every_documented_example_loads(text: str) -> None:
    """Unchanged, with content in the files that it names."""
    paths = re.findall(r"_file: (/run/secrets/[a-z-]+)", text)
    secrets = {path: path.removeprefix("/run/secrets/") + TOKEN for path in paths}

    assert loaded(text, {}, secrets | {"/run/secrets/broker-url": "redis://broker:6379/0"}).clocks


@pytest.mark.parametrize("text", re.findall(r"^### .*?```yaml\n(.*?)```", DOCUMENT, re.DOTALL | re.MULTILINE))
def test_librdkafka_accepts_the_settings_of_providers(text: str) -> None:
    """Names and values, and the mechanism is in this build. The identity provider is an address without a server."""
    text = text.replace("login.example.com", "127.0.0.1:9")
    kafka = loaded(text, {}, {"/run/secrets/kafka": TOKEN}).kafka.reveal()

    assert "sasl.mechanism" in kafka
    assert settings_problems(kafka) == []


def test_the_example_file_loads_and_shows_the_defaults() -> None:
    """It sets every field to its default."""
    text = (ROOT / "examples" / "clocksvc.yaml").read_text(encoding="utf-8")
    smallest = "clocks: {checkins: {topics: [ingest-checkins], group: checkins-consumer}}"

    assert loaded(text).clock_specs() == loaded(smallest).clock_specs()
    assert loaded(text).redis == loaded(smallest).redis
    assert loaded(text).api == loaded(smallest).api
