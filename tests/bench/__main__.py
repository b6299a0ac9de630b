"""`make bench`: ratios from interleaved pairs in one run, with spread. Starts its own Kafka and Valkey.

`python -m tests.bench reporter latency leader backlog shared loop scrape` runs a part of it; `subscribers`, `takeover`,
`jobs`, `sizing`, `fleet`, `observed`, `restore`, `table`, `consumer`, `consumer-size`, `schedules`, `drift` and
`drift-outages`, which take minutes, run only when they are named.
"""

import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.valkey_server import ValkeyServer
from tests.bench import (
    bench_consumer,
    bench_consumer_size,
    bench_drift,
    bench_fleet,
    bench_jobs,
    bench_latency,
    bench_leader,
    bench_loop,
    bench_observed,
    bench_reporter,
    bench_restore,
    bench_schedules,
    bench_scrape,
    bench_sizing,
    bench_subscribers,
    bench_table,
    bench_takeover,
)
from tests.bench.figures import Figure

LONG = (
    "subscribers",
    "takeover",
    "jobs",
    "sizing",
    "fleet",
    "observed",
    "restore",
    "table",
    "consumer",
    "schedules",
    "consumer-size",
    "drift",
    "drift-outages",
)
PACKAGES = ("clocksvc", "confluent-kafka", "redis", "hiredis", "fastapi", "uvicorn")


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all that are short. Returns 1 if a figure is not as wanted."""
    print(
        f"Python {platform.python_version()} on {platform.machine()}, "
        + ", ".join(f"{p} {version(p)}" for p in PACKAGES)
    )
    print("minimum / median / maximum; absolute times depend on the machine, ratios are what counts")
    with tempfile.TemporaryDirectory() as folder, KafkaServer() as kafka, ValkeyServer() as valkey:
        benches: dict[str, Callable[[], Iterable[Figure]]] = {
            "reporter": lambda: bench_reporter.run(kafka.bootstrap, valkey.url),
            "latency": lambda: bench_latency.run(Path(folder), kafka.bootstrap, valkey.url),
            "loop": lambda: bench_loop.run(Path(folder), kafka.bootstrap, valkey.url),
            "subscribers": lambda: bench_subscribers.run(Path(folder), kafka.bootstrap, valkey.url),
            "takeover": lambda: bench_takeover.run(Path(folder), kafka.bootstrap, valkey.url),
            "jobs": lambda: bench_jobs.run(Path(folder), kafka.bootstrap, valkey.url),
            "sizing": lambda: bench_sizing.run(Path(folder), kafka, valkey.url),
            "fleet": lambda: bench_fleet.run(Path(folder), kafka, valkey),
            "observed": lambda: bench_observed.run(Path(folder), kafka, valkey),
            "restore": lambda: bench_restore.run(Path(folder), kafka.bootstrap, valkey.url),
            "table": lambda: bench_table.run(kafka.bootstrap),
            "consumer": lambda: bench_consumer.run(kafka.bootstrap),
            "consumer-size": lambda: bench_consumer_size.run(kafka.bootstrap, valkey.url),
            "drift": lambda: bench_drift.run(Path(folder), kafka.bootstrap, valkey.url),
            "drift-outages": lambda: bench_drift.run_outages(Path(folder), kafka.bootstrap),
            "schedules": lambda: bench_schedules.run(kafka.bootstrap),
            "leader": lambda: bench_leader.bench_step(valkey.url),
            "scrape": lambda: bench_scrape.run(kafka.bootstrap, valkey.url),
            "backlog": lambda: bench_leader.bench_backlog(kafka.bootstrap, valkey.url),
            "shared": lambda: bench_leader.bench_shared_minute(kafka.bootstrap, valkey.url),
        }
        unknown = set(names) - set(benches)
        if unknown:
            print(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(benches)}", file=sys.stderr)
            return 2
        figures = []
        for name in names or [name for name in benches if name not in LONG]:
            print(f"{name}:", flush=True)
            for figure in benches[name]():
                figures.append(figure)
                print(figure.show(), flush=True)
    return 0 if all(figure.good for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
