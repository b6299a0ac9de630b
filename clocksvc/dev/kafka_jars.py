"""Apache Kafka's jars: fetched once from Maven Central, without Java and without Maven, then read from a cache.

The cache holds one directory for each version, which appears complete or not at all. If it exists, a start does not
use the network. `kafka_server.py` starts Kafka.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clocksvc.dev.child_process import DevServerError

KAFKA_VERSION = "4.3.1"
_KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka logs through SLF4J; the binding to log4j is in Kafka's archive but not among its dependencies.
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_TIMEOUT_SECONDS = 30
_LIST = "jars.txt"

Fetch = Callable[[Path], list[Path]]
"""Downloads every jar of Kafka somewhere below the given directory and returns their paths; raises anything."""

_log = logging.getLogger(__name__)


def default_cache_dir() -> Path:
    """`CLOCKSVC_DEV_CACHE`, else `clocksvc` in the user's cache directory (`XDG_CACHE_HOME`, else `~/.cache`)."""
    if own := os.environ.get("CLOCKSVC_DEV_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "clocksvc"
    return Path.home() / ".cache" / "clocksvc"


def kafka_jars(cache_dir: Path, fetch: Fetch) -> Path:
    """The directory of Kafka's jars, fetched if it isn't in the cache. Raises DevServerError when that fails."""
    jars = cache_dir / f"kafka-{KAFKA_VERSION}"
    if _complete(jars):
        return jars
    try:
        with _locked(cache_dir):
            if not _complete(jars):
                _log.info("Fetching Apache Kafka %s into %s: about 45 MB, only once", KAFKA_VERSION, jars)
                _fill(jars, fetch)
    # For any failure (network, disk, an assertion in the resolver) the user has the same way out.
    except Exception as error:
        raise DevServerError(
            f"Apache Kafka {KAFKA_VERSION} ({_KAFKA}) could not be fetched from Maven Central into {cache_dir}: "
            f"{type(error).__name__}: {error}. To go on without it, use a Kafka that runs already: "
            "--kafka ADDRESS, or KAFKA_BOOTSTRAP=ADDRESS (HOST:PORT)."
        ) from error
    return jars


def fetch_from_maven_central(into: Path) -> list[Path]:
    """Resolve and download with jgo, which is plain Python."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(repo_cache=into, resolver=PythonResolver(), timeout=_TIMEOUT_SECONDS)
    inputs, transitive = context.resolver.resolve([context.create_dependency(_KAFKA)])
    # Resolved separately: together with Kafka, jgo would let log4j's bill of materials choose Kafka's versions.
    binding = context.create_dependency(_LOG_BINDING)
    return [dependency.artifact.resolve() for dependency in (*inputs, *transitive, binding)]


def _complete(jars: Path) -> bool:
    try:
        names = (jars / _LIST).read_text().split()
    except OSError:
        return False
    return all((jars / name).is_file() for name in names)


def _fill(jars: Path, fetch: Fetch) -> None:
    shutil.rmtree(jars, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=jars.parent) as scratch:
        whole = Path(scratch) / "whole"
        whole.mkdir()
        names = [Path(shutil.move(jar, whole)).name for jar in fetch(Path(scratch) / "repository")]
        (whole / _LIST).write_text("\n".join(names))
        whole.rename(jars)


@contextmanager
def _locked(cache_dir: Path) -> Iterator[None]:
    """One process at a time fills the cache; the lock ends with the process that has it."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for abandoned in cache_dir.glob("fetching-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        yield
