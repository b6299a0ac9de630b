"""An installation for the metrics, scraped by a real Prometheus.

Two replicas, Celery's worker and beat, consumers, producers, a follower; two clocks with a tick a second. `orders`
ticks, with a late record, a rejected timestamp, an excluded partition, a task at each tick, and a leader that handed
over. `parcels` is held by its partition 1. A BufferedConsumer reads `orders`, too. A scheduler runs a schedule of
`orders` that is due at each tick. The relay of an outbox can't write. Three clocks follow committed offsets: `books`,
whose group has not processed its record; `warehouse` after `parcels`; and `mirror` after the `orders` of another
installation. All of it runs until it is closed.
"""

import itertools
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from clocksvc import Schedules
from clocksvc.dev.child_server import free_ports
from clocksvc.dev.valkey_server import ValkeyServer
from tests import http_client
from tests.repository import ROOT
from tests.system.clock_fixture import WITHIN_S, ClockFixture, running
from tests.system.installation import Installation, wall_ms
from tests.system.ops.other_service import OtherService
from tests.system.ops.prometheus_server import PrometheusServer, Series
from tests.system.ops.scraped_consumer import ScrapedConsumer
from tests.system.ops.scraped_relay import ScrapedRelay
from tests.waiting import eventually

RULES = sorted((ROOT / "helm" / "clocksvc" / "rules").glob("*.yaml"))
"""The chart's rules, evaluated by this Prometheus."""

TASK = "shop.close_second"
AN_HOUR_MS = 3_600_000

SCRAPED = {
    "both replicas": 'sum(up{job="clocksvc"}) == 2',
    "ticks": 'sum(rate(clocksvc_ticks_total{clock="orders"}[10s])) > 0',
    "the hold": 'clocksvc_holding{clock="parcels",reason="partition_behind"} == 1',
    "the late record": 'clocksvc_late_records_total{clock="orders"} > 0',
    "the refused timestamp": 'clocksvc_reports_total{clock="orders",outcome="too_far_ahead"} > 0',
    "the excluded partition": 'clocksvc_partitions{clock="orders",state="excluded"} == 1',
    "the hand-over": 'sum by (clock) (changes(clocksvc_leader{clock="orders"}[1m])) > 0',
    "a round of heartbeats": 'clocksvc_heartbeat_last_success_timestamp_seconds{clock="orders"}',
    "a task": 'clocksvc_tasks_total{clock="orders",outcome="sent"} > 0',
    "a dead letter": 'clocksvc_consumer_dead_letters_total{outcome="success"} > 0',
    "a failed flush": 'clocksvc_consumer_flushes_total{outcome="failure"} > 0',
    "commits": 'clocksvc_consumer_commits_total{outcome="success"} > 1',
    "a stream": 'sum(clocksvc_streams{clock="orders"}) > 0',
    "owners of schedules": 'clocksvc_schedule_partitions{clock="orders",state="owned"} == 2',
    "a lag": "clocksvc_group_end_offset - clocksvc_group_committed_offset == 1",
    "partitions that wait": 'clocksvc_waiting_partitions{clock="books",waits_for="not_processed"} == 1',
    "a clock that waits for a stage": 'clocksvc_holding_upstream{clock="warehouse",stage="parcels"} == 1',
    "a clock after another installation's": 'clocksvc_stage_behind_seconds{clock="mirror",upstream=~"orders@http.+"}',
    "due schedules": 'sum(rate(clocksvc_scheduler_due_total{clock="orders"}[10s])) > 0',
}
"""What Prometheus has scraped when the block begins."""


LEADER = '(clocksvc_leader{clock="orders"} == 1)'
NOT_YET = {
    "both replicas after the hand-over": 'sum(up{job="clocksvc"}) == 2',
    "no dead letter": 'clocksvc_consumer_dead_letters_total{outcome="success"} == 0',
    "no late record": f'(clocksvc_late_records_total{{clock="orders"}} == 0) and on (instance) {LEADER}',
    "no refused timestamp": (
        f'(clocksvc_reports_total{{clock="orders",outcome="too_far_ahead"}} == 0) and on (instance) {LEADER}'
    ),
}
"""What Prometheus has scraped of the consumer and the new leader before records are spoiled: an increase needs a sample
before it."""
LOOK_BACK_S = 3.0
"""Panels are asked for up to two seconds ago."""
_ANSWER_S = 5.0

REPLICAS = ("one", "two")


class ScrapedInstallation:
    """The installation and its `prometheus`, ready when the block begins.

    Args:
        folder: for configuration and the processes' output.
        bootstrap: Kafka's address.
        program: the path of Prometheus.
    """

    def __init__(self, folder: Path, bootstrap: str, program: Path) -> None:
        run = f"scraped{wall_ms() % 10**8}"
        task = {"task": TASK, "name": TASK}
        self.orders = ClockFixture(
            run, "orders", 3, "CreateTime", max_out_of_orderness="1s", tasks=[task], schedules={"partitions": 2}
        )
        self.parcels = ClockFixture(run, "parcels", 2, heartbeat=None)
        self._other = OtherService()
        committed: dict[str, Any] = {"heartbeat": None, "source": "committed", "poll": "1s"}
        self.books = ClockFixture(run, "books", 1, **committed)
        self.warehouse = ClockFixture(run, "warehouse", 1, **committed, after=["parcels"])
        self.mirror = ClockFixture(run, "mirror", 1, **committed, after=[{"clock": "orders", "url": self._other.url}])
        self._folder, self._bootstrap, self._program, self._run = folder, bootstrap, program, run
        self._all = ExitStack()
        self.began_s = wall_ms() // 1000
        """When it began, epoch seconds: there are no older samples."""

    @property
    def installation(self) -> Installation:
        """The processes."""
        return self.orders.installation

    def until(self, expression: str, what: str, within: float = WITHIN_S) -> list[Series]:
        """The series of an expression, as soon as Prometheus has one."""

        def asked() -> list[Series]:
            self.installation.check_alive()
            return self.prometheus.query(expression)

        return eventually(asked, within=within, what=f"Prometheus to have {what}: {expression}")

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self._all.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._all.close()

    def _begin(self) -> None:
        valkey, clocks = self._all.enter_context(ValkeyServer()), (self.orders, self.parcels)
        observed = (self.books, self.warehouse, self.mirror)
        installation = self._all.enter_context(
            running(self._folder, self._bootstrap, valkey.url, self._run, *clocks, *observed, replicas=REPLICAS)
        )
        self._all.enter_context(self._other)
        self._other.target = installation.url
        self._commit_before_the_record()
        installation.start_celery()
        (port,) = free_ports(1)
        installation.start("scheduler", "clocksvc.cli.main", "scheduler", "--port", str(port))
        self._instances = {name: url.removeprefix("http://") for name, url in installation.urls.items()}
        for clock in clocks:
            self._all.enter_context(clock)
            clock.consumer()
        consumer = ScrapedConsumer(self.orders)
        relay = self._all.enter_context(ScrapedRelay(self._bootstrap, "orders"))
        self.prometheus = self._all.enter_context(
            PrometheusServer(
                self._program,
                self._instances.values(),
                RULES,
                [consumer.target, relay.target],
                [f"127.0.0.1:{port}"],
            )
        )
        self.orders.producer(0, 1, 2)
        producer = self.parcels.producer(0, 1)
        self.orders.follow(*installation.urls.values())
        self.orders.until_running()
        self.parcels.until_running()
        self.warehouse.until_running()
        producer.partitions = frozenset({0})
        with Schedules(installation.url, "orders", timeout=WITHIN_S) as schedules:
            schedules.put("each-second", {"interval": "1s", "task": "shop.check"})
        self._hand_over()
        for what, expression in NOT_YET.items():
            self.until(expression, what)
        self._all.enter_context(consumer)
        self._spoil()
        for what, expression in SCRAPED.items():
            self.until(expression, what)
            eventually(
                lambda expression=expression: self.prometheus.query(expression, wall_ms() / 1000 - LOOK_BACK_S),  # type: ignore[misc]
                within=WITHIN_S + LOOK_BACK_S,
                what=f"Prometheus to have had {what} for {LOOK_BACK_S:g} s",
            )

    def _commit_before_the_record(self) -> None:
        """Write a record of `books`. Its group has committed only the offset before it."""
        self.books.write({0: wall_ms()})
        group, start = self.books.group, [TopicPartition(self.books.topic, 0, 0)]
        admin = AdminClient({"bootstrap.servers": self._bootstrap})

        def committed() -> bool:
            admin.list_topics(timeout=_ANSWER_S)  # a client that is not connected can keep a request until its timeout
            answers = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, start)])
            return answers[group].result(_ANSWER_S).topic_partitions[0].error is None

        eventually(committed, within=WITHIN_S, what="the offset to be committed")  # a new coordinator must load

    def _hand_over(self) -> None:
        """SIGTERM the replica that leads `orders`, and start it again, as a rolling update does."""
        leader = self.until('clocksvc_leader{clock="orders"} == 1', "a leader")[0].labels["instance"]
        # Prometheus counts a change from 0 to 1: it must have seen the standby's 0 first.
        self.until(f'clocksvc_leader{{clock="orders",instance!="{leader}"}} == 0', "a standby")
        name = next(name for name, instance in self._instances.items() if instance == leader)
        self.installation.end(name)
        self.until(f'clocksvc_leader{{clock="orders",instance!="{leader}"}} == 1', "another leader")
        self.installation.start_replica(name, wait=False)

    def _spoil(self) -> None:
        """A record of an hour ago, one of an hour ahead, and an excluded partition."""
        now_ms = wall_ms()
        self.orders.write({0: now_ms - AN_HOUR_MS, 1: now_ms + AN_HOUR_MS})
        body = {"topic": self.orders.topic, "partition": 2, "reason": "its disk is gone"}

        def asked(instance: str) -> bool:
            answer = http_client.post(f"http://{instance}/v1/clocks/orders/exclusions", json=body, timeout=15)
            return answer.status_code == 200

        instances = itertools.cycle(self._instances.values())
        eventually(lambda: asked(next(instances)), within=WITHIN_S, what="the exclusion")
