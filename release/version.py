"""`python -m release.version X.Y.Z`: writes a version into every file that has it. Without an argument, prints it."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = {
    # file: what is before the version in a line
    "pyproject.toml": r'^version = "',
    "Dockerfile": r"^ARG VERSION=",
    "compose.yaml": r"image: clocksvc:",
    "helm/clocksvc/Chart.yaml": r'^(?:version: |appVersion: ")',
    "docs/compose/README.md": r"\bclocksvc:(?=\d)",
    "docs/kubernetes.md": r"\bclocksvc[:-](?=\d)",
}
"""Where the version is. CHANGELOG.md has it, too, and is written by hand."""
_VERSION = r"\d+\.\d+\.\d+"


def version() -> str:
    """Return the version in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def versions(file: str) -> list[str]:
    """Return each version in one of the files."""
    return [match[2] for match in _matches(file)]


def write(new: str) -> None:
    """Write a version into all files. Raises ValueError if it is not one."""
    if not re.fullmatch(_VERSION, new):
        raise ValueError(f"{new} is not a version such as 1.2.0")
    for file, before in PLACES.items():
        path = ROOT / file
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(f"({before})({_VERSION})", rf"\g<1>{new}", text, flags=re.MULTILINE), encoding="utf-8")


def _matches(file: str) -> Iterator[re.Match[str]]:
    text = (ROOT / file).read_text(encoding="utf-8")
    return re.finditer(f"({PLACES[file]})({_VERSION})", text, re.MULTILINE)


if __name__ == "__main__":
    if sys.argv[1:]:
        write(sys.argv[1])
    print(version())
