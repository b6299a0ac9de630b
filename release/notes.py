"""`python -m release.notes`: prints the notes of the present version, from CHANGELOG.md."""

import re

from release.version import ROOT, version

SECTIONS = ("Added", "Changed", "Fixed", "Removed", "Security")


def notes(of: str, changelog: str) -> str:
    """Return the part of a version. Raises ValueError if there is none."""
    found = re.search(rf"^## {re.escape(of)} \([^)]+\)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"CHANGELOG.md has no part with the title '## {of} (DATE)'")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    print(notes(version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")), end="")
