"""What all tests share: hypothesis' profiles, and the fixtures with real servers (started only when asked for)."""

import os
import signal

import pytest
from hypothesis import settings

pytest_plugins = ["tests.servers", "tests.system.ops.scraped_fixtures"]

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "local"))

# A shell that starts the tests in the background ignores SIGINT, and so would every program that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = (
    "tests/system/outages/test_dead_partition_leader.py",
    "tests/system/security/test_secured_installation.py",
    "tests/simulation/test_defects.py",
    "tests/system/outages/test_lost_log.py",
    "tests/unit/dev/test_demo_run.py",
    "tests/system/outages/test_short_round.py",
    "tests/system/outages/fleet/test_short_run.py",
    "tests/unit/cli/test_serve.py",
    "tests/simulation/test_simulation.py",
    "tests/system/outages/test_lost_store.py",
    "tests/system/path/test_whole_path.py",
    "tests/unit/cli/test_tail_exec.py",
    "tests/system/docs/test_commands.py",
    "tests/system/path/test_holds.py",
    "tests/interfaces/test_delayed_requests.py",
    "tests/system/outages/test_deposed_partition_leader.py",
    "tests/system/outages/test_shape_changes.py",
    "tests/unit/cli/test_init_and_heartbeat.py",
    "tests/system/path/test_escape.py",
    "tests/system/mistakes/test_mistakes.py",
    "tests/system/path/test_failover.py",
    "tests/system/outbox/test_kills.py",
    "tests/system/beat/test_health_file.py",
    "tests/system/beat/test_heartbeats.py",
    "tests/system/beat/test_heartbeat_outages.py",
    "tests/system/beat/test_beat_by_the_clock.py",
    "tests/system/ops/container/test_image.py",
    "tests/system/ops/docs/test_observed_groups.py",
    "tests/system/ops/alerts/test_live.py",
    "tests/system/ops/page/test_accessible.py",
    "tests/system/ops/page/test_layout.py",
    "tests/system/ops/page/test_clock_shown.py",
    "tests/system/ops/page/test_weight.py",
    "tests/system/ops/page/test_reach.py",
    "tests/system/ops/alerts/test_scenarios.py",
)
"""They begin first, and the short files follow. So all processes of a parallel run end at about the same time.

Files that mostly wait are between files that mostly compute.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files. The tests of a file stay in their order."""
    order = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))
