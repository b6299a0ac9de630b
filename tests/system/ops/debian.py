"""Debian's packages: installed as root, else downloaded and unpacked into a folder, with a script for each program.

All packages are unpacked that these depend on and that this system lacks, as apt resolves them. Without root, nothing
is written to the system, and no script of a package is run."""

import platform
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.system.ops.checked_command import FetchFailed, run_checked

_UPDATE_SECONDS, _INSTALL_SECONDS, _UNPACK_SECONDS = 300, 1200, 120
_QUIET = ("-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120")
_INSTALL = ("install", "--yes", "--no-install-recommends")

_BINARIES = {
    "chromium": "usr/lib/chromium/chromium",  # its own script expects everything below /usr and /etc
    "prometheus": "usr/bin/prometheus",
    "promtool": "usr/bin/promtool",
    "redis-server": "usr/bin/redis-server",
}
# a container's shared memory is often too small for a browser; Debian's own script sets this, too
_FLAGS = {"chromium": "--disable-dev-shm-usage"}


def install(packages: Sequence[str]) -> None:
    """Install by apt-get, as root. Raises FetchFailed."""
    print(f"installing {', '.join(packages)} by apt-get …", flush=True)
    run_checked(["apt-get", *_QUIET, "update"], within=_UPDATE_SECONDS)
    run_checked(["apt-get", *_QUIET, *_INSTALL, *packages], within=_INSTALL_SECONDS, DEBIAN_FRONTEND="noninteractive")


def unpack(packages: Sequence[str], folder: Path, programs: Iterable[str]) -> None:
    """Download and unpack into `folder`, with a script in its `bin` for each of `programs`. Raises FetchFailed."""
    print(f"downloading {', '.join(packages)} and unpacking into {folder} …", flush=True)
    apt, tree = folder / "apt", folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    archives = _downloaded(packages, apt)
    tree.mkdir()
    for archive in archives:
        run_checked(["dpkg-deb", "--extract", archive, tree], within=_UNPACK_SECONDS)
    shutil.rmtree(apt)
    fonts = _fonts(folder, tree)
    (folder / "bin").mkdir(exist_ok=True)
    # last: the script marks a program as installed
    for name in programs:
        _script(folder / "bin" / name, tree / _BINARIES[name], _libraries(tree), fonts, _FLAGS.get(name, ""))


def _downloaded(packages: Sequence[str], apt: Path) -> list[Path]:
    """apt with its lists and its cache in a folder, and without the system's lock: root is not needed."""
    archives = apt / "archives"
    for needed in (apt / "lists" / "partial", archives / "partial"):
        needed.mkdir(parents=True, exist_ok=True)
    own = ("-o", f"Dir::State::lists={apt / 'lists'}", "-o", f"Dir::Cache={apt}", "-o", "Debug::NoLocking=1")
    # as root, apt would download as its own user, who may have no access to this folder
    command = ("apt-get", *_QUIET, *own, "-o", "APT::Sandbox::User=root")
    run_checked([*command, "update"], within=_UPDATE_SECONDS)
    run_checked([*command, *_INSTALL, "--reinstall", "--download-only", *packages], within=_INSTALL_SECONDS)
    found = sorted(archives.glob("*.deb"))
    if not found:
        raise FetchFailed(f"apt-get downloaded nothing for {', '.join(packages)} into {archives}")
    return found


def _libraries(tree: Path) -> list[Path]:
    """The folders with shared libraries, without plug-ins, which are found by the libraries themselves."""
    triplet = f"{platform.machine()}-linux-gnu"
    candidates = [tree / top / triplet for top in ("usr/lib", "lib")]
    candidates += [folder for top in candidates if top.is_dir() for folder in sorted(top.iterdir()) if folder.is_dir()]
    return [folder for folder in candidates if any(folder.glob("lib*.so*"))]


def _fonts(folder: Path, tree: Path) -> Path:
    written = folder / "fonts.conf"
    written.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        f"  <dir>{tree}/usr/share/fonts</dir>\n  <dir>/usr/share/fonts</dir>\n"
        f"  <cachedir>{folder}/fonts</cachedir>\n</fontconfig>\n"
    )
    return written


def _script(script: Path, binary: Path, libraries: Sequence[Path], fonts: Path, flags: str) -> None:
    if not binary.is_file():
        raise FetchFailed(f"the packages brought no {binary}")
    script.write_text(
        "#!/bin/sh\n"
        f'export LD_LIBRARY_PATH="{":".join(map(str, libraries))}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
        f'export FONTCONFIG_FILE="{fonts}"\n'
        f'exec "{binary}" {flags} "$@"\n'
    )
    script.chmod(0o755)
