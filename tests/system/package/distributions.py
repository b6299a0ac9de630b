"""Builds the wheel and the sdist, and installs the wheel, without a network."""

import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

from tests.repository import ROOT
from tests.system.ops.checked_command import run_checked

SOURCES = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "clocksvc", "docs")
"""What the package is built from."""
_SITE = Path(sysconfig.get_path("purelib"))
_WITHIN_S = 600


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist and, from it, the wheel, in a copy of the sources. Returns the paths of sdist and wheel.

    The packages that the build needs are those of this environment.
    """
    sources = folder / "sources"
    sources.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, sources / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", sources)
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


def install(wheel: Path, into: Path, packages: Iterable[str]) -> None:
    """Install the wheel into a new virtual environment, without an index.

    The environment sees only the named packages of this environment.
    """
    run(sys.executable, "-m", "venv", "--without-pip", into)
    for top in {file.parts[0] for name in packages for file in distribution(name).files or ()} - {".."}:
        (_site(into) / top).symlink_to(_SITE / top)
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", into / "bin" / "python")
    run(*pip, "install", "--no-index", "--no-deps", "--no-compile", wheel)


@contextmanager
def all_packages(environment: Path) -> Iterator[None]:
    """In this block, a virtual environment sees all packages of this one.

    It does not see the clocksvc of this one, which is installed as editable, by a .pth file.
    """
    more = _site(environment) / "packages.pth"
    more.write_text(str(_SITE))
    try:
        yield
    finally:
        more.unlink()


def _site(environment: Path) -> Path:
    (site,) = environment.glob("lib/python*/site-packages")
    return site


def run(*command: str | Path) -> str:
    """Run a command outside the repository, without a PYTHONPATH to it, and return its output.

    Raises FetchFailed if it fails.
    """
    return run_checked(command, within=_WITHIN_S, cwd=Path("/"), PYTHONPATH="", PYTHONHOME="")
