"""`/metrics` of a service as it is started: what its configuration leaves out, and what it names all the same."""

import pytest
import urllib3

from clocksvc import Reporter
from tests.unit.cli.conftest import (
    Workplace,
    wait_ready,
)
from tests.waiting import eventually


def series(place: Workplace, name: str) -> list[str]:
    """The lines of one metric."""
    answer = urllib3.request("GET", f"{place.url}/metrics", retries=False, timeout=10)
    assert answer.status == 200, answer.data
    return [line for line in answer.data.decode().splitlines() if line.startswith(f"{name}{{")]


@pytest.mark.servers
@pytest.mark.parametrize("per_partition", [True, False])
def test_partition_clocks_can_be_left_out(place: Workplace, per_partition: bool) -> None:
    """With `metrics.per_partition: false` no partition has a series, but the one that holds the clock."""
    place.create_topic(message_timestamp_type="LogAppendTime")
    place.settings["metrics"] = {"per_partition": per_partition}
    place.start("serve", *place.write())
    wait_ready(place)
    url = f"{place.redis_url}?prefix={place.prefix}"

    with Reporter(url, "checkins", group=place.group, topic=place.topic) as reporter:
        reporter.observe(1, 1_764_000_000_000)
        holder = f'{{clock="checkins",partition="0",topic="{place.topic}"}} 1.0'
        eventually(
            lambda: series(place, "clocksvc_holding_partition") == [f"clocksvc_holding_partition{holder}"],
            within=30,
            what="partition 0 to be named alone",
        )

    clocks = series(place, "clocksvc_partition_clock_timestamp_seconds")
    assert [line.split()[1] for line in clocks] == (["1764000000.000"] if per_partition else [])
    assert series(place, "clocksvc_ready") == ['clocksvc_ready{clock="checkins"} 1.0']
