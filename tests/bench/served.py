"""A service with one clock of one partition and ticks each second, for benchmarks that measure it from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.path.installation import (
    Installation,
    create_topic,
)


@contextmanager
def served(
    folder: Path, bootstrap: str, redis_url: str, name: str, clock: str, *, interval: str = "1s"
) -> Iterator[Installation]:
    """The installation, ready; `name` is its topic and key prefix, too. It ends with the context."""
    create_topic(bootstrap, name, 1, "LogAppendTime")
    clocks = {clock: {"topics": [name], "group": "g", "interval": interval, "tick_log": f"{name}-ticks"}}
    installation = Installation(folder, bootstrap, redis_url, name, clocks)
    try:
        installation.start_service()
        yield installation
    finally:
        installation.close()
