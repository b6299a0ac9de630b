"""Scrape configurations of the documents, checked by promtool."""

import subprocess
from pathlib import Path

import pytest

from tests.system.docs.blocks import Block
from tests.system.docs.test_configurations import of


@pytest.mark.parametrize("block", of("prometheus"), ids=lambda block: block.document)
def test_promtool_takes_it(block: Block, promtool: Path, tmp_path: Path) -> None:
    """With a token in the file that it names."""
    (tmp_path / "token").write_text("a-token")
    text = block.text.replace("/run/secrets/prometheus", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(text)

    done = subprocess.run(
        [promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
