"""clocksvc: a global clock for partitioned Kafka topics. Has everything before T been processed?

`Reporter` reports how far a consumer has processed its partitions. `ticks` yields a clock's ticks, `wait_until` waits
for one, and `is_heartbeat` recognizes the records that keep quiet partitions moving. `Schedules` reads and writes the
schedules of a clock.

All names are imported on first use: `import clocksvc` itself loads neither a client nor the service.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clocksvc.client.message import is_heartbeat
    from clocksvc.client.reporter import Reporter
    from clocksvc.client.schedules import Schedules
    from clocksvc.client.ticks import ticks
    from clocksvc.client.wait import wait_until

    __version__: str

__all__ = ["Reporter", "Schedules", "__version__", "is_heartbeat", "ticks", "wait_until"]

_FROM = {
    "Reporter": "clocksvc.client.reporter",
    "Schedules": "clocksvc.client.schedules",
    "is_heartbeat": "clocksvc.client.message",
    "ticks": "clocksvc.client.ticks",
    "wait_until": "clocksvc.client.wait",
}


def __getattr__(name: str) -> object:
    if name in _FROM:
        value: object = getattr(import_module(_FROM[name]), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version("clocksvc")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
