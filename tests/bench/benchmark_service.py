"""A service with a clock of one partition, for benchmarks that measure it from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.installation import Installation, create_topic


@contextmanager
def served(
    folder: Path, bootstrap: str, redis_url: str, name: str, clock: str, *, interval: str = "1s"
) -> Iterator[Installation]:
    """The installation, ready. `name` is its topic and its prefix, too."""
    create_topic(bootstrap, name, 1)
    clocks = {clock: {"topics": [name], "group": "g", "interval": interval}}
    with Installation(folder, bootstrap, redis_url, name, clocks) as installation:
        installation.start_replica()
        yield installation
