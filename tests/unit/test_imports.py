"""What `import-linter` (pyproject.toml) can't see: what an import loads, and who reads the computer's clock."""

import ast
import json
import subprocess
import sys

import pytest

from tests.repository import ROOT

pytestmark = pytest.mark.core

PACKAGE = ROOT / "clocksvc"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
NOT_FOR_CONSUMERS = {
    "confluent_kafka",
    "celery",
    "kombu",
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "h11",
    "yaml",
    "msgspec",
    "sqlalchemy",
}
TIME_READERS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"},
    "datetime.datetime": {"now", "utcnow", "today"},
    "datetime.date": {"today"},
}


def time_readings(source: str) -> list[str]:
    """The functions by which a module reads the computer's clock."""
    tree = ast.parse(source)
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    readers = {f"{owner}.{name}" for owner, names in TIME_READERS.items() for name in names}
    used = {dotted(node, known) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
    return sorted(used & readers)


def dotted(node: ast.expr, known: dict[str, str]) -> str:
    """The full name of an expression, "" where it is not a name that the module imported."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    return f"{dotted(node.value, known)}.{node.attr}" if isinstance(node, ast.Attribute) else ""


@pytest.mark.parametrize("path", MODULES)
def test_a_module_reads_no_time(path: str) -> None:
    """Time is an argument or a Time: `interfaces/time.py` alone reads the computer's clock."""
    allowed = ["time.monotonic", "time.time_ns"] if path == "interfaces/time.py" else []

    assert time_readings((PACKAGE / path).read_text(encoding="utf-8")) == allowed


def loaded_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "statement",
    [
        "import clocksvc",
        "import clocksvc\n[getattr(clocksvc, name) for name in getattr(clocksvc, '__all__', ())]",
        "from clocksvc.consumer import BufferedConsumer\nBufferedConsumer('t', group='g', process=str, flush=list)",
    ],
    ids=["importing clocksvc", "taking every name that it gives", "creating a BufferedConsumer, as its tests do"],
)
def test_a_consumer_loads_no_server(statement: str) -> None:
    """A consumer that embeds clocksvc loads neither Kafka's client, Celery, FastAPI nor pydantic with it."""
    assert loaded_after(statement) & NOT_FOR_CONSUMERS == set()


def test_asyncio_needs_one_package_more() -> None:
    """`clocksvc.aio` loads the parser of HTTP, and nothing else of the service."""
    assert loaded_after("import clocksvc.aio") & NOT_FOR_CONSUMERS == {"h11"}


def test_a_product_loads_no_server() -> None:
    """`clocksvc.outbox` loads what its extra has, and nothing of the relay."""
    loaded = loaded_after("import clocksvc.outbox")

    assert loaded & NOT_FOR_CONSUMERS == {"msgspec", "sqlalchemy"}
    assert "prometheus_client" not in loaded


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic()",
        "from time import perf_counter\nperf_counter()",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\nread = datetime.datetime.utcnow",
        "from datetime import date\ndef today():\n    return date.today()",
    ],
)
def test_a_reading_of_time_is_found(source: str) -> None:
    """The check sees through names, and finds a reader that is only passed on."""
    assert len(time_readings(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def wait(time):\n    return time.monotonic()",
        "import time\ntime.sleep(1)",
        "from datetime import datetime\ndatetime.fromisoformat('2026-11-22')",
        "self.time.monotonic()",
    ],
)
def test_a_time_that_is_passed_in_is_no_reading(source: str) -> None:
    """Asking a Time, sleeping and parsing text don't read the computer's clock."""
    assert time_readings(source) == []
