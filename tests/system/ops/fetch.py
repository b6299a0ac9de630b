"""`python -m tests.system.ops.fetch [PROGRAM …]`: installs each missing program once, and prints where each one is.

As root by apt-get, else unpacked from Debian's packages into the download folder; others are built by Go, or are jars
of Maven Central. A program that is there in a suitable version is not replaced."""

import argparse
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.system.ops import debian, golang, maven
from tests.system.ops.checked_command import FetchFailed
from tests.system.ops.programs import PROGRAMS, ProgramMissing, download_folder, fetched, program


def main(argv: Sequence[str] | None = None) -> int:
    """0 if every program is there."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.ops.fetch", description=__doc__)
    parser.add_argument("--unpack", action="store_true", help="unpack Debian's packages even as root")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"of {', '.join(PROGRAMS)}; all unless named")
    arguments = parser.parse_args(argv)
    wanted = arguments.programs or list(PROGRAMS)
    try:
        with _alone(download_folder()):
            _get([name for name in wanted if _missing(name)], unpack=arguments.unpack or os.geteuid() != 0)
        for name in wanted:
            print(f"{name}: {program(name)}")
    except (FetchFailed, ProgramMissing) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _get(names: list[str], *, unpack: bool) -> None:
    packages = sorted({package for name in names if (package := PROGRAMS[name].package)})
    if packages:
        _debian_here(packages)
        if unpack:
            debian.unpack(packages, download_folder(), [name for name in names if PROGRAMS[name].package])
        else:
            debian.install(packages)
    for name in names:
        if module := PROGRAMS[name].module:
            golang.build(module, fetched(name), download_folder())
        if jar := PROGRAMS[name].jar:
            maven.download(jar, fetched(name))
    program.cache_clear()


def _missing(name: str) -> bool:
    try:
        program(name)
    except ProgramMissing:
        program.cache_clear()
        return True
    return False


def _debian_here(packages: list[str]) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise FetchFailed(
            f"{' and '.join(packages)} can be got by apt-get alone, and this is no Debian: install them with your own "
            "package manager, so that chromium, prometheus and promtool are on PATH, and try again."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time fills the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
