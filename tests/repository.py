"""Where the repository is, for tests that read its documents, chart and examples."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
