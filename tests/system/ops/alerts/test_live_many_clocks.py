"""2,000 clocks in a real Prometheus: a common cause fires a few alerts, and the dashboard has few series.

The chart's rules are evaluated with seconds in place of minutes. Two replicas export the clocks' real `/metrics`; the
states are set here.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.logs import LOGS
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import DAY_MS, ClockSpec, HeartbeatSpec
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.counters import Counters
from clocksvc.metrics.exposition import Metrics
from clocksvc.service.public_state import PartitionCounts, PublicPartition
from tests.metrics_page import FakeClockView, FakeClockViews
from tests.system.installation import wall_ms
from tests.system.ops.alerts.rule_files import RULES
from tests.system.ops.dashboards.grafana_queries import DashboardQuery, chosen, filled_in, queries
from tests.system.ops.prometheus_server import PrometheusServer
from tests.waiting import eventually

CLOCKS = 2_000
INTERVAL_MS = 2_000
WITHIN_S = 60.0
EVERY_S = 3
"""The time between two scrapes and between two evaluations: two replicas share a machine with Prometheus."""


class View(FakeClockView):
    """A clock whose counters need no store."""

    counters = Counters(heartbeats={"delivered": 2}, heartbeat_success_ms=wall_ms() + DAY_MS)


@dataclass
class Replica:
    """One replica's `/metrics`, over HTTP."""

    leads: bool
    took: list[float] = field(default_factory=list)
    samples: int = 0

    def __post_init__(self) -> None:
        specs = [
            ClockSpec(
                f"clock-{number:04}",
                ("ingest",),
                "consumers",
                interval_ms=INTERVAL_MS,
                heartbeat=HeartbeatSpec(INTERVAL_MS),
            )
            for number in range(CLOCKS)
        ]
        self.views = FakeClockViews({spec.name: View(spec, store=None) for spec in specs})  # type: ignore[arg-type]
        slowest = tuple(
            PublicPartition(Partition("ingest", number), wall_ms(), None, None, None, False, None)
            for number in range(2)
        )
        for view in self.views.values():
            view.change(partitions=PartitionCounts(2, 0, 0, 0), slowest=slowest, max_out_of_orderness_ms=0, due_ticks=0)
        self.metrics = Metrics(self.views)
        self.metrics.watch(self.views)
        for log in range(LOGS):
            self.metrics.leading(log, self.leads)
        self.moving = True
        replica = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body, content_type = replica.render()
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.target = f"127.0.0.1:{self.server.server_address[1]}"

    def hold(self, reason: Reason, partitions: int = 0) -> None:
        """Stop all clocks."""
        self.moving = False
        for name, view in self.views.items():
            view.change(hold=Hold(reason, tuple(Partition(f"topic-of-{name}", number) for number in range(partitions))))

    def go_on(self) -> None:
        """End all holds."""
        self.moving = True
        for view in self.views.values():
            view.change(hold=None)

    def render(self) -> tuple[bytes, str]:
        now_ms = wall_ms()
        for name, view in self.views.items():
            if self.moving:
                view.change(last_tick=Tick(name, now_ms - now_ms % INTERVAL_MS, None, INTERVAL_MS, now_ms))
        began = time.process_time()
        page = self.metrics.render()
        self.took.append(time.process_time() - began)
        self.samples = page[0].count(b"\n") - 2 * page[0].count(b"# TYPE")
        return page


@dataclass
class Scraped:
    """Two replicas and the Prometheus that scrapes them."""

    replicas: tuple[Replica, Replica]
    prometheus: PrometheusServer

    def firing(self) -> Counter[str]:
        """The number of firing alerts, by name."""
        found = self.prometheus.query('count by (alertname) (ALERTS{alertstate="firing"})')
        return Counter({one.labels["alertname"]: int(one.value) for one in found})

    def most(self) -> Counter[str]:
        """The largest number of alerts that have fired at once, by name."""
        found = self.prometheus.query('max_over_time(count by (alertname) (ALERTS{alertstate="firing"})[10m:1s])')
        return Counter({one.labels["alertname"]: int(one.value) for one in found})


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, prometheus: Path) -> Iterator[Scraped]:
    """2,000 clocks that tick."""
    folder = tmp_path_factory.mktemp("many")
    for path in RULES:
        text = path.read_text(encoding="utf-8")
        (folder / path.name).write_text(re.sub(r"(for: |\[)(\d+)m\b", r"\1\2s", text).replace(" 600\n", " 10\n"))
    with ExitStack() as ending:
        replicas = Replica(leads=True), Replica(leads=False)
        for replica in replicas:
            ending.enter_context(replica.server)
            threading.Thread(target=replica.server.serve_forever, daemon=True).start()
            ending.callback(replica.server.shutdown)
        server = PrometheusServer(
            prometheus, [one.target for one in replicas], sorted(folder.glob("*.yaml")), every_s=EVERY_S
        )
        ending.enter_context(server)
        scraped = Scraped(replicas, server)
        eventually(lambda: server.query("sum(up) == 2"), within=WITHIN_S, what="both replicas")
        yield scraped


def test_a_scrape_of_all_clocks(many: Scraped) -> None:
    """At most 20 series a clock from a standby and 30 from the leader, without partitions, in little processor time.
    Nothing fires. The output has the wall time of the scrape and of the rules, which depend on the machine's load."""
    eventually(lambda: many.prometheus.query("sum(clocksvc_interval_seconds)"), within=WITHIN_S, what="the clocks")
    took_s = many.prometheus.query("min(min_over_time(scrape_duration_seconds[1m]))")[0].value
    leader, standby = many.replicas

    print(
        f"{leader.samples} and {standby.samples} samples, processor time {min(leader.took):.2f} and "
        f"{min(standby.took):.2f} s, scrape {took_s:.2f} s, rules {many.prometheus.evaluation_s():.2f} s"
    )
    assert standby.samples <= 20 * CLOCKS
    assert leader.samples <= (30 + 2) * CLOCKS
    assert min(leader.took) < 1
    eventually(lambda: many.firing() == {}, within=WITHIN_S, what="no alert, once the replicas were scraped")
    assert many.firing() == {}


@pytest.mark.parametrize(
    ("reason", "partitions", "expected"),
    [
        (Reason.STORE_UNAVAILABLE, 0, {"ClocksvcStoreUnavailable"}),
        (Reason.TICKLOG_UNAVAILABLE, 0, {"ClocksvcTickLogUnwritable"}),
        (Reason.PARTITION_BEHIND, 2, {"ClocksvcPartitionHolding"}),
    ],
)
def test_a_common_cause_fires_one_alert(many: Scraped, reason: Reason, partitions: int, expected: set[str]) -> None:
    """One alert fires for the cause, one for clocks that do not move, and one for clocks far behind. There
    are never more. All end when the cause does."""
    for replica in many.replicas:
        replica.hold(reason, partitions)
    wanted = dict.fromkeys({"ClocksvcClockNotMoving", "ClocksvcClockFarBehind", *expected}, 1)
    eventually(lambda: many.firing() == wanted, within=WITHIN_S, what=f"{wanted}")
    for replica in many.replicas:
        replica.go_on()
    eventually(lambda: many.firing() == {}, within=WITHIN_S, what="no alert")

    assert set(many.most().values()) == {1}
    assert many.prometheus.query('ALERTS{alertstate="firing",clock!=""}') == []


@pytest.mark.parametrize("query", [one for one in queries("fleet") if "$" in one.expression], ids=str)
def test_the_fleet_has_at_most_twenty_clocks(many: Scraped, query: DashboardQuery) -> None:
    """Each query of the dashboard is answered, and has at most 20 series."""
    expression = filled_in(query.expression, chosen("fleet", {"job": ["clocksvc"]}), 60)
    now_s = time.time()
    if query.instant:
        found = many.prometheus.query(expression, now_s)
    else:
        found = many.prometheus.query_range(expression, now_s - 60, now_s, EVERY_S)

    assert len(found) <= 20
