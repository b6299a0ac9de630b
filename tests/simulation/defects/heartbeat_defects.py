"""Defects of the heartbeats that keep quiet partitions moving."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from clocksvc.service import heartbeats as heartbeat
from tests.simulation.defects.defect import Promise, defect

Patched = AbstractContextManager[object]


@defect("a heartbeat has the later of two clocks' times", Promise.NEVER_EARLY, "early")
def heartbeat_ahead_of_time() -> Patched:
    later: Callable[..., Any] = max
    return patch.object(heartbeat, "min", later, create=True)


@defect("heartbeats go only to the first partition of each topic", Promise.ALIVE, "dead")
def heartbeat_for_one_partition() -> Patched:
    return patch.object(heartbeat, "range", lambda count: [0] if count else [], create=True)
