"""Kafka's jars: downloaded once from Maven Central, verified by SHA-256, and kept in a cache.

The first start downloads the jars; this needs neither Java nor Maven. Later starts read them from the cache, without
the network. The cache has one directory for each version of Kafka. A directory is created only after its download is
complete and verified, and is verified again before each start.

The SHA-256 of each jar is in `kafka-VERSION.sha256`, in the format of `sha256sum --check`. Jars that are not in this
file are not used. `make kafka-jars` writes the file after a change of the version.
"""

import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clocksvc.dev.child_process import DevServerError

_FETCH_TIMEOUT_SECONDS = 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KafkaRelease:
    """A version of Apache Kafka, with its jars.

    Attributes:
        version: of Kafka, such as 4.3.1.
        log_jars: the Maven coordinates of SLF4J's binding to a logging library, and of others that it needs. They are
            in Kafka's archive, but Kafka's Maven artifact does not depend on them.
        pins: the file with the SHA-256 of each jar.
    """

    version: str
    log_jars: tuple[str, ...]
    pins: Path

    @property
    def artifact(self) -> str:
        """The Maven coordinates of Kafka."""
        return f"org.apache.kafka:kafka_2.13:{self.version}"

    def sha256(self) -> dict[str, str]:
        """Return the SHA-256 of each jar, by file name."""
        lines = self.pins.read_text(encoding="ascii").splitlines()
        return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


KAFKA = KafkaRelease(
    "4.3.1", ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",), Path(__file__).with_name("kafka-4.3.1.sha256")
)

Fetch = Callable[[KafkaRelease, Path], list[Path]]
"""Downloads every jar of a release to a place below the given directory, and returns the paths. May raise any
exception."""


def default_cache_dir() -> Path:
    """Return the directory of the cache.

    It is `CLOCKSVC_DEV_CACHE` if this variable is set. Otherwise it is `clocksvc` in the user's cache directory, which
    is `XDG_CACHE_HOME` or `~/.cache`.
    """
    if own := os.environ.get("CLOCKSVC_DEV_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "clocksvc"
    return Path.home() / ".cache" / "clocksvc"


def fetch_from_maven_central(release: KafkaRelease, into: Path) -> list[Path]:
    """Resolve Kafka's dependencies and download all jars, with jgo, which needs no Java."""
    from jgo.maven import MavenContext, PythonResolver

    context = MavenContext(repo_cache=into, resolver=PythonResolver(), timeout=_FETCH_TIMEOUT_SECONDS)
    inputs, transitive = context.resolver.resolve([context.create_dependency(release.artifact)])
    # Resolved separately. Together with Kafka, jgo would use versions of Kafka's jars from log4j's bill of materials.
    log_jars = [context.create_dependency(name) for name in release.log_jars]
    return [dependency.artifact.resolve() for dependency in (*inputs, *transitive, *log_jars)]


def kafka_jars(cache_dir: Path, release: KafkaRelease = KAFKA, fetch: Fetch = fetch_from_maven_central) -> Path:
    """Return the directory of Kafka's jars. All jars in it have the pinned SHA-256, and none is missing.

    Jars that are not in the cache, or were changed there, are downloaded. This can take minutes.

    Raises:
        DevServerError: the download failed, or brought other jars than the pinned ones.
    """
    jars, pinned = cache_dir / f"kafka-{release.version}", release.sha256()
    if not list(_differences(jars, pinned)):
        return jars
    try:
        with _cache_lock(cache_dir):
            if differences := list(_differences(jars, pinned)):
                if jars.exists():
                    _log.warning("Kafka's jars in %s are downloaded again: %s", jars, "; ".join(differences))
                _log.info("Fetching Apache Kafka %s into %s: about 45 MB, only once", release.version, jars)
                _fill_jars(jars, release, pinned, fetch)
    except DevServerError:
        raise
    # Every failure (network, disk, an assertion in jgo) gets the same advice.
    except Exception as error:
        raise DevServerError(
            f"Apache Kafka {release.version} ({release.artifact}) could not be fetched from Maven Central "
            f"into {cache_dir}: {type(error).__name__}: {error}. {_ADVICE}"
        ) from error
    return jars


_ADVICE = "Without a download, you can use a running Kafka: --kafka ADDRESS, or KAFKA_BOOTSTRAP=ADDRESS (HOST:PORT)."


def _differences(jars: Path, pinned: Mapping[str, str]) -> Iterator[str]:
    """Compare the jars in a directory with the pinned ones. Reads about 45 MB."""
    found = {jar.name: _sha256(jar) for jar in sorted(jars.glob("*.jar"))}
    for name, digest in found.items():
        if name not in pinned:
            yield f"{name} is not one of the pinned jars"
        elif digest != pinned[name]:
            yield f"{name} has the SHA-256 {digest}, pinned is {pinned[name]}"
    yield from (f"{name} is missing" for name in pinned if name not in found)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill_jars(jars: Path, release: KafkaRelease, pinned: Mapping[str, str], fetch: Fetch) -> None:
    shutil.rmtree(jars, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=jars.parent) as scratch:
        complete = Path(scratch) / "complete"
        complete.mkdir()
        for jar in fetch(release, Path(scratch) / "repository"):
            shutil.move(jar, complete)
        if differences := list(_differences(complete, pinned)):
            raise DevServerError(
                f"Apache Kafka {release.version} was downloaded, but its jars are not the ones in {release.pins}, so "
                f"they are not used: {'; '.join(differences)}. Is there a proxy or mirror that changes files? {_ADVICE}"
            )
        complete.rename(jars)


@contextmanager
def _cache_lock(cache_dir: Path) -> Iterator[None]:
    """Lock the cache, so that only one process at a time writes to it. The lock ends with the process at the latest."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for abandoned in cache_dir.glob("fetching-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        yield


def write_pins(release: KafkaRelease) -> None:
    """Download a release into a temporary directory, and write the SHA-256 of its jars into `release.pins`."""
    with tempfile.TemporaryDirectory() as scratch:
        jars = sorted(fetch_from_maven_central(release, Path(scratch)), key=lambda jar: jar.name)
        text = "".join(f"{_sha256(jar)}  {jar.name}\n" for jar in jars)
    release.pins.write_text(text, encoding="ascii")


if __name__ == "__main__":
    write_pins(KAFKA)
