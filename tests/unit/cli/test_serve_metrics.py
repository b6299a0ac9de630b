"""`/metrics` of a running service with and without `metrics.per_partition`."""

import pytest
import urllib3

from clocksvc import Reporter
from tests.unit.cli.conftest import Workspace, wait_ready
from tests.waiting import eventually


def series(workspace: Workspace, name: str) -> list[str]:
    """The lines of a metric."""
    answer = urllib3.request("GET", f"{workspace.url}/metrics", retries=False, timeout=10)
    assert answer.status == 200, answer.data
    return [line for line in answer.data.decode().splitlines() if line.startswith(f"{name}{{")]


@pytest.mark.servers
@pytest.mark.parametrize("per_partition", [True, False])
def test_partition_clocks_can_be_left_out(workspace: Workspace, per_partition: bool) -> None:
    """With `metrics.per_partition: false` only the partition that holds the clock has a series."""
    workspace.create_topic(message_timestamp_type="LogAppendTime")
    workspace.settings["metrics"] = {"per_partition": per_partition}
    workspace.start("serve", *workspace.write())
    wait_ready(workspace)
    url = f"{workspace.redis_url}?prefix={workspace.prefix}"

    with Reporter(url, "checkins", group=workspace.group, topic=workspace.topic) as reporter:
        reporter.observe(1, 1_764_000_000_000)
        holder = f'{{clock="checkins",partition="0",topic="{workspace.topic}"}} 1.0'
        eventually(
            lambda: series(workspace, "clocksvc_holding_partition") == [f"clocksvc_holding_partition{holder}"],
            within=30,
            what="partition 0 to be named alone",
        )

    clocks = series(workspace, "clocksvc_partition_clock_timestamp_seconds")
    assert [line.split()[1] for line in clocks] == (["1764000000.000"] if per_partition else [])
    assert series(workspace, "clocksvc_ready") == ['clocksvc_ready{clock="checkins"} 1.0']
