"""Programs that are jars of Maven Central, pinned by their SHA-256."""

import hashlib
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.system.ops.checked_command import FetchFailed
from tests.system.ops.programs import Jar

_CENTRAL = "https://repo1.maven.org/maven2"
_TIMEOUT_S = 60


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read()
        return content


def download(jar: Jar, target: Path, read: Callable[[str], bytes] = _read) -> None:
    """Write the jar to `target`, if it has the pinned SHA-256. Raises FetchFailed."""
    url = f"{_CENTRAL}/{jar.path}/{jar.version}/{Path(jar.path).name}-{jar.version}.jar"
    print(f"fetching {url}, once …", flush=True)
    try:
        content = read(url)
    except OSError as error:
        raise FetchFailed(f"{url} can't be downloaded: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise FetchFailed(f"{url} has the SHA-256 {found}, pinned is {jar.sha256}")
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)
