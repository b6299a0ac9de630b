"""`clocksvc outbox`: what it refuses at its start. tests/system/outbox has it at work."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from clocksvc.cli.main import main
from clocksvc.cli.outbox import DSN_VARIABLE
from clocksvc.errors import InvalidValue
from clocksvc.metrics.outbox_metrics import OUTBOX_CATALOGUE, RelayCollector, serve_metrics
from clocksvc.outbox.relay import RelayStats
from tests import http_client

pytestmark = pytest.mark.core


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A configuration with the clocks `checkins`, which has schedules, and `bills`, which has none."""
    watched = {"topics": ["checkins"], "group": "checkins"}
    clocks = {"checkins": {**watched, "schedules": {"partitions": 2}}, "bills": watched}
    config = tmp_path / "clocksvc.yaml"
    config.write_text(json.dumps({"kafka": {"bootstrap.servers": "127.0.0.1:1"}, "clocks": clocks}))
    return ["outbox", "--config", str(config)]


@pytest.fixture
def dsn(tmp_path: Path) -> str:
    """A database without tables."""
    (tmp_path / "product.db").touch()
    return f"sqlite:///{tmp_path}/product.db"


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error of a call."""
    assert main(arguments) == 1
    return capsys.readouterr().err


def test_a_database_is_needed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the three ways."""
    error = failure(capsys, *arguments, "--clock", "checkins")

    assert f"here, in --dsn-file or in {DSN_VARIABLE}" in error


def test_its_tables_are_needed(arguments: list[str], dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are not created: the product's migrations do that."""
    error = failure(capsys, *arguments, "--clock", "checkins", "--dsn", dsn)

    assert "missing: clocksvc_outbox, clocksvc_outbox_ids, clocksvc_outbox_rejected" in error


def test_the_url_can_be_in_a_file_or_in_the_environment(
    arguments: list[str], dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that other users of the machine can't read it."""
    file = tmp_path / "dsn"
    file.write_text(f"{dsn}\n")
    assert dsn in failure(capsys, *arguments, "--clock", "checkins", "--dsn-file", str(file))
    assert "either" in failure(capsys, *arguments, "--clock", "checkins", "--dsn-file", str(file), "--dsn", dsn)
    assert "can be read" in failure(capsys, *arguments, "--clock", "checkins", "--dsn-file", str(tmp_path))
    monkeypatch.setenv(DSN_VARIABLE, dsn)
    assert dsn in failure(capsys, *arguments, "--clock", "checkins")


def test_the_clock_needs_schedules(arguments: list[str], dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the field, or the configured clocks."""
    assert "clocks.bills.schedules" in failure(capsys, *arguments, "--clock", "bills", "--dsn", dsn)
    assert "wanted one of" in failure(capsys, *arguments, "--clock", "orders", "--dsn", dsn)


def test_a_driver_that_is_not_installed_is_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As each missing package."""
    error = failure(capsys, *arguments, "--clock", "checkins", "--dsn", "postgresql+pg8000://127.0.0.1/shop")

    assert "pg8000" in error


def test_metrics() -> None:
    """All of the catalogue; what is not known is absent."""

    class Counted:
        stats = RelayStats(puts=3, deletes=2, rejected=1, active=True, pending=7, oldest_ms=1_795_348_800_500)

    counted = Counted()
    port = serve_metrics(RelayCollector("checkins", counted), "127.0.0.1", 0)

    page = http_client.get(f"http://127.0.0.1:{port}/metrics").text

    found = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    assert {name: float(value) for name, value in found.items()} == {
        'clocksvc_outbox_records_total{clock="checkins",kind="put"}': 3,
        'clocksvc_outbox_records_total{clock="checkins",kind="delete"}': 2,
        'clocksvc_outbox_rejected_total{clock="checkins"}': 1,
        'clocksvc_outbox_active{clock="checkins"}': 1,
        'clocksvc_outbox_pending_changes{clock="checkins"}': 7,
        'clocksvc_outbox_oldest_pending_timestamp_seconds{clock="checkins"}': 1_795_348_800.5,
    }
    assert {re.sub(r"\{.*", "", name) for name in found} == {metric.name for metric in OUTBOX_CATALOGUE}
    counted.stats = RelayStats()
    registry = CollectorRegistry()
    registry.register(RelayCollector("checkins", counted))
    assert b"pending_changes{" not in generate_latest(registry)


def test_a_port_in_use_is_named() -> None:
    """As the service does."""

    class Counted:
        stats = RelayStats()

    port = serve_metrics(RelayCollector("checkins", Counted()), "127.0.0.1", 0)
    with pytest.raises(InvalidValue, match="--metrics-port"):
        serve_metrics(RelayCollector("checkins", Counted()), "127.0.0.1", port)
