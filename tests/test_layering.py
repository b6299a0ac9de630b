"""The direction of imports: inner parts know nothing of outer ones, and each dependency has its place."""

import json
import subprocess
import sys

import pytest

from tests.layers import modules, strays, time_readings

pytestmark = pytest.mark.core

MODULES = list(modules())
NOT_FOR_CONSUMERS = {"confluent_kafka", "celery", "kombu", "fastapi", "starlette", "pydantic", "uvicorn", "yaml"}


@pytest.mark.parametrize(("path", "source"), MODULES, ids=[path for path, _ in MODULES])
def test_a_module_imports_only_what_it_may(path: str, source: str) -> None:
    """Core <- promises <- keepers and actors, who don't know each other <- what serves them; see `tests/layers.py`."""
    assert strays(path, source) == []


@pytest.mark.parametrize(("path", "source"), MODULES, ids=[path for path, _ in MODULES])
def test_a_module_reads_no_time(path: str, source: str) -> None:
    """Time is an argument or a Time: `timesource.py` alone reads the computer's clock."""
    if path == "timesource.py":
        assert time_readings(path, source) == [
            "timesource.py: reads the time by time.monotonic",
            "timesource.py: reads the time by time.time_ns",
        ]
    else:
        assert time_readings(path, source) == []


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
    ],
    ids=["importing clocksvc", "taking every name that it gives"],
)
def test_a_consumer_loads_no_server(statement: str) -> None:
    """A consumer that embeds clocksvc gets neither Kafka's client, Celery, FastAPI nor pydantic with it."""
    assert loaded_after(statement) & NOT_FOR_CONSUMERS == set()


@pytest.mark.parametrize(
    ("path", "source", "why"),
    [
        ("clock/tick.py", "from clocksvc.store import Store", "the core imports 'store'"),
        ("clock/tick.py", "import time", "the core imports time"),
        ("clock/tick.py", "import redis", "redis belongs in stores/redis/"),
        ("clock/tick.py", "import urllib3", "urllib3 belongs in client.py"),
        ("store.py", "from clocksvc.stores import memory", "'store' imports 'stores', which is no inner part"),
        ("stores/memory.py", "from clocksvc.ticklogs.memory import M", "'stores' imports 'ticklogs'"),
        ("feed.py", "from clocksvc import heartbeat", "'feed' imports 'heartbeat', which is no inner part"),
        ("feed.py", "def f():\n    import clocksvc.leader", "'feed' imports 'leader', which is no inner part"),
        ("leader/step.py", "from .. import feed", "'leader' imports 'feed', which is no inner part"),
        ("leader/step.py", "from clocksvc.stores.memory import M", "'leader' knows promises, never a keeper"),
        ("stores/memory.py", "import redis.exceptions", "redis belongs in stores/redis/"),
        (
            "leader/step.py",
            "from confluent_kafka import Producer",
            "confluent_kafka belongs in ticklogs/kafka and topics/kafka",
        ),
        ("feed.py", "from fastapi import FastAPI", "fastapi belongs in api/"),
        ("api/__init__.py", "from celery import Celery", "celery belongs in celery/"),
        ("api/__init__.py", "import requests", "requests has no place in THIRD_PARTY"),
        ("stores/memory.py", "from clocksvc import Reporter", "'stores' imports '', which is no inner part"),
    ],
)
def test_a_stray_import_is_told(path: str, source: str, why: str) -> None:
    """The check sees an import anywhere in a module, in any form, and says which rule it breaks."""
    (told,) = strays(path, source)

    assert told.startswith(f"{path}: {why}")


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
def test_a_stray_reading_of_time_is_told(source: str) -> None:
    """The check sees through names, and a reader that is only handed on."""
    assert len(time_readings("feed.py", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def wait(time):\n    return time.monotonic()",
        "import time\ntime.sleep(1)",
        "from datetime import datetime\ndatetime.fromisoformat('2026-11-22')",
        "self.time.monotonic()",
    ],
)
def test_a_time_that_is_given_is_no_reading(source: str) -> None:
    """Asking a Time, sleeping and reading text don't read the computer's clock."""
    assert time_readings("feed.py", source) == []
