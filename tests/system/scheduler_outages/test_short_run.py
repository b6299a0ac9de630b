"""A short run of `make scheduler-outages`: its processes, its faults and its judge."""

import argparse
from pathlib import Path

import pytest

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.scheduler_outages.__main__ import run

pytestmark = pytest.mark.servers


def test_each_due_time_comes_exactly_once(tmp_path: Path, valkey: ValkeyServer) -> None:
    """Schedulers and the broker are killed while schedules change; what readers of committed records find is right."""
    options = argparse.Namespace(minutes=4, speed=15.0, schedules=500, rate=100.0, faults=4.0, seed=1)
    with KafkaServer() as kafka:
        evidence, faults, outcomes, _ = run(tmp_path, kafka, valkey, options)

    assert evidence.violations == []
    assert evidence.counts["sent"] > 100
    assert faults["kill-broker"] > 0
    assert faults["kill-owner"] > 0
    assert outcomes["direct acknowledged"] > 500
    assert outcomes["http acknowledged"] > 0
