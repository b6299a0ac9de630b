"""The sink `celery`: a real worker runs tasks of due schedules. The partition is in memory, the broker is real."""

import json
from pathlib import Path

import pytest

from clocksvc.celery.due_sink import open_celery_sink
from clocksvc.settings import settings_from
from tests.faulty.commits import CommitFault
from tests.process import Process, module
from tests.repository import ROOT
from tests.system.docs.blocks import blocks
from tests.unit.scheduler.partition_fixture import PartitionFixture
from tests.waiting import eventually

pytestmark = pytest.mark.path

WITHIN_S = 30.0


def test_a_worker_runs_due_schedules(redis_url: str, key_prefix: str, tmp_path: Path) -> None:
    """The documented app. A task that is sent again after a crash does nothing."""
    (app,) = [block.text for block in blocks("docs/jobs.md", "python") if block.file == "uptime_app.py"]
    (tmp_path / "uptime_app.py").write_text(app)
    clock = {"topics": ["t"], "group": "g", "schedules": {"sink": "celery"}}
    data = {
        "redis": {"url": redis_url, "prefix": key_prefix},
        "kafka": {"bootstrap.servers": "127.0.0.1:1"},
        "clocks": {"checkins": clock},
        "namespaces": {"uptime": {"queue": key_prefix}},
    }
    (tmp_path / "clocksvc.yaml").write_text(json.dumps(data))
    environ = {"BROKER": redis_url, "CLOCKSVC_CONFIG": "clocksvc.yaml", "PYTHONPATH": str(ROOT)}
    options = ["--pool", "solo", "-Q", key_prefix, "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    worker = Process(
        module("celery", "-A", "uptime_app", "worker", *options), tmp_path / "worker.log", environ=environ, cwd=tmp_path
    )
    try:
        partition = PartitionFixture(sink=open_celery_sink(settings_from(data)))
        partition.put("monitor-17", payload={"url": "https://example.org"})
        owner = partition.owner()
        partition.tick()
        partition.run(owner)
        eventually(lambda: worker.wrote("for 2026-11-22T12:01:00Z"), within=WITHIN_S)
        # The owner dies between the acceptance of the tasks and the commit of the position.
        partition.tick()
        partition.due_log.commit_faults.append(CommitFault.LOST)
        owner.step()
        eventually(lambda: worker.wrote("for 2026-11-22T12:02:00Z"), within=WITHIN_S)
        successor = partition.owner()
        partition.tick()
        partition.run(successor)
        eventually(lambda: worker.wrote("for 2026-11-22T12:03:00Z"), within=WITHIN_S)
    finally:
        worker.kill()

    lines = [line for line in worker.output().splitlines() if "checked https://example.org for" in line]
    assert [line[-20:] for line in lines] == [f"2026-11-22T12:0{minute}:00Z" for minute in (1, 2, 3)]
