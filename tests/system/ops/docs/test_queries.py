"""Every query in the documents' running text is valid for Prometheus, with metrics that exist."""

import json
import re
import subprocess
from pathlib import Path

from tests.system.docs.blocks import DOCUMENTS, text_of

QUERY = re.compile(r"`([^`\n]*\b(?:clocksvc_\w+|up)\b[^`\n]*(?:==|[()])[^`\n]*)`")
METRICS = set(re.findall(r"^\| `(clocksvc_\w+)` \|", text_of("docs/metrics.md"), re.MULTILINE))


def queries() -> dict[str, str]:
    """Each query, and its page."""
    return {query: page for page in DOCUMENTS for query in QUERY.findall(text_of(page)) if "…" not in query}


def test_prometheus_reads_them(promtool: Path, tmp_path: Path) -> None:
    """As expressions of rules, which promtool parses; JSON is YAML."""
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "documents", "rules": rules}]}))

    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, timeout=60
    )

    assert len(rules) > 20
    assert done.returncode == 0, done.stdout + done.stderr


def test_their_metrics_are_there() -> None:
    """Each is in docs/metrics.md, which another test compares with the code."""
    asked = {(page, name) for query, page in queries().items() for name in re.findall(r"clocksvc_\w+", query)}

    assert {(page, name) for page, name in asked if re.sub("_(bucket|sum|count)$", "", name) not in METRICS} == set()
