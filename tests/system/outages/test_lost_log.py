"""Kafka loses records of the tick log, or the outcome of a commit is unknown: the clock shows it, and never guesses."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from tests.interfaces.kafka_log_files import cut_marker, cut_transactions
from tests.system.clock_fixture import WITHIN_S, ClockFixture, running
from tests.system.evidence import partition_of
from tests.system.installation import Installation, wall_ms
from tests.system.outages.recovery import PARTITIONS, Recovery
from tests.tcp_proxy import KafkaProxy, Loses
from tests.waiting import eventually

pytestmark = pytest.mark.path

LOST = ("crashed", "shortened", "unmarked", "purged", "foreign", "recreated")
CLOCKS = ("committing", *LOST)
"""Those whose logs lose something are in different logs."""
SHORTER_BY = 2
HOUR_S = 3_600


@dataclass
class ProxiedKafka:
    """A service that reaches its own Kafka through a proxy; all other clients reach it directly."""

    kafka: KafkaServer
    proxy: KafkaProxy
    installation: Installation
    clocks: dict[str, ClockFixture]
    admin: AdminClient

    def recoveries(self, stack: ExitStack, *names: str) -> dict[str, Recovery]:
        """Clocks that run, with consumers and producers until the stack is closed."""
        recoveries = {name: Recovery(stack.enter_context(self.clocks[name])) for name in names}
        for recovery in recoveries.values():
            recovery.begin()
        return recoveries

    def logged(self, message: str, clock: str = "committing", **fields: str) -> int:
        """How often the service has logged a message with these fields about a clock's log."""
        lines = (self.installation.folder / "serve.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        wanted = {"message": message, "log": partition_of(clock), **fields}
        return sum(wanted.items() <= {**entry, "log": entry.get("log")}.items() for entry in entries)

    def log_folder(self, recovery: Recovery) -> Path:
        """The broker's directory of a clock's log."""
        return self.kafka.directory / "data" / f"{self.installation.tick_log}-{partition_of(recovery.clock.name)}"

    def restart_kafka(self) -> None:
        """Start Kafka again after a kill."""
        self.kafka.start()
        self.kafka.wait_ready()

    def purge(self, recovery: Recovery) -> None:
        """Delete all records of a clock's log. A broker refuses that for a topic that is only compacted."""
        self._set_policy(self.installation.tick_log, "delete")
        eventually(lambda: self._deleted(partition_of(recovery.clock.name)), what="the broker to delete records")
        self._set_policy(self.installation.tick_log, "compact")

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic])[topic].result(WITHIN_S)
        eventually(lambda: topic not in self.admin.list_topics(timeout=10).topics, what="the topic to be gone")

    def open_transaction(self, recovery: Recovery) -> Producer:
        """Another client's open transaction on a clock's log, with a copy of its last tick that is an hour ahead."""
        return self._begin_transaction("outsider", recovery, HOUR_S)

    def commit_without_publishing(self, recovery: Recovery) -> None:
        """Commit the next tick as a leader does that is killed before it can publish the tick."""
        log = partition_of(recovery.clock.name)
        count = len(recovery.log())
        producer = self._begin_transaction(f"clocksvc.{self.installation.tick_log}.{log}", recovery, 1)
        producer.commit_transaction(WITHIN_S)
        eventually(lambda: len(recovery.log()) > count, what="the marker of the commit to be written")

    def _begin_transaction(self, transactional_id: str, recovery: Recovery, later_s: int) -> Producer:
        """A transaction with a copy of a clock's last tick, with a later time."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "transactional.id": transactional_id})
        producer.init_transactions(WITHIN_S)
        producer.begin_transaction()
        last, name = recovery.log()[-1].wire, recovery.clock.name
        at_s = last["timestamp_seconds"] + later_s
        time = f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
        forged = {**last, "time": time, "timestamp_seconds": at_s, "previous": last["time"]}
        producer.produce(
            self.installation.tick_log,
            json.dumps(forged).encode(),
            name,
            partition=partition_of(name),
            headers={"clocksvc-type": b"tick"},
        )
        assert producer.flush(WITHIN_S) == 0
        return producer

    def _set_policy(self, topic: str, policy: str) -> None:
        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        (future,) = self.admin.incremental_alter_configs([resource]).values()
        future.result(WITHIN_S)

    def _deleted(self, log: int) -> bool:
        everything = TopicPartition(self.installation.tick_log, log, OFFSET_END)
        (future,) = self.admin.delete_records([everything]).values()
        return bool(future.result(WITHIN_S).low_watermark > 0)


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[ProxiedKafka]:
    """A service with a clock for each kind of loss."""
    run = f"log{wall_ms() % 10**8}"
    client, controller, internal, proxy_port = free_ports(4)
    direct = f"PLAINTEXT://{LOOPBACK}:{client}"
    properties = {
        "listeners": f"{direct},PROXIED://{LOOPBACK}:{internal},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"{direct},PROXIED://{LOOPBACK}:{proxy_port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
    }
    clocks = {name: ClockFixture(run, name, len(PARTITIONS)) for name in CLOCKS}
    folder = tmp_path_factory.mktemp("log")
    with (
        KafkaServer(port=client, controller_port=controller, properties=properties) as kafka,
        KafkaProxy(internal, port=proxy_port) as proxy,
        running(
            folder,
            kafka.bootstrap,
            redis_url,
            run,
            *clocks.values(),
            sections={"kafka": {"bootstrap.servers": proxy.address}},
        ) as installation,
    ):
        yield ProxiedKafka(kafka, proxy, installation, clocks, AdminClient({"bootstrap.servers": kafka.bootstrap}))


@pytest.fixture(scope="module")
def committing(proxied: ProxiedKafka) -> Iterator[Recovery]:
    """A clock that runs."""
    with ExitStack() as stack:
        yield proxied.recoveries(stack, "committing")["committing"]


@pytest.fixture(scope="module")
def crashed(proxied: ProxiedKafka) -> Iterator[dict[str, Recovery]]:
    """Clocks whose broker was killed and started again. It lost the last ticks of one of their logs."""
    with ExitStack() as stack:
        recoveries = proxied.recoveries(stack, *LOST)
        shortened = recoveries["shortened"]
        shortened.clock.until_reached(shortened.log()[0].at_ms // 1000 + SHORTER_BY)
        shortened.stop_producing()
        shortened.clock.until_held("partition_behind")
        shortened.keep_log()
        proxied.kafka.kill()
        recoveries["crashed"].clock.until_held("metadata_unavailable", "ticklog_unavailable")
        cut_transactions(proxied.log_folder(shortened), SHORTER_BY)
        proxied.restart_kafka()
        shortened.produce()
        yield recoveries


@pytest.fixture(scope="module")
def damaged(proxied: ProxiedKafka, crashed: dict[str, Recovery]) -> Iterator[dict[str, Recovery]]:
    """Clocks whose logs were emptied, written by another client, and left without the marker of a commit that was not
    published, while no service ran."""
    recoveries = {clock: crashed[clock] for clock in ("purged", "foreign", "unmarked")}
    at_rest(*recoveries.values())
    proxied.installation.kill("serve")
    proxied.commit_without_publishing(recoveries["unmarked"])
    proxied.kafka.kill()
    cut_marker(proxied.log_folder(recoveries["unmarked"]))
    proxied.restart_kafka()
    proxied.purge(recoveries["purged"])
    outsider = proxied.open_transaction(recoveries["foreign"])
    proxied.installation.start_replica()
    for recovery in recoveries.values():
        recovery.produce()
    yield recoveries
    del outsider


def at_rest(*recoveries: Recovery) -> None:
    """Stop producing, wait until no tick can come, and remember the logs."""
    for recovery in recoveries:
        recovery.clock.until_running()
        recovery.stop_producing()
    for recovery in recoveries:
        recovery.clock.until_held("partition_behind")
        recovery.keep_log()


def init(recovery: Recovery, held: dict[str, object]) -> None:
    """What an operator does about ticklog_truncated: `clocksvc init` with the last tick that was shown."""
    name, last = recovery.clock.name, str(held["time"])
    printed = recovery.clock.installation.command("init", name, "--last-tick", last)
    assert printed.startswith(f"{name}: begins after {last}")


@pytest.mark.parametrize("loses", ["response", "request"])
def test_a_commit_whose_outcome_is_unknown(proxied: ProxiedKafka, committing: Recovery, loses: Loses) -> None:
    """The connection is cut between a commit and its response, or before the commit arrives: the log decides, and each
    tick comes once."""

    def unknown() -> int:
        return proxied.logged("round failed", failure="OutcomeUnknown")

    before, led = unknown(), proxied.logged("leading")
    proxied.proxy.lose_commits(loses)

    # Healed only once the service knows of it, or the old producer would still learn the outcome.
    eventually(lambda: unknown() > before, within=WITHIN_S, what="a commit without an answer")
    proxied.proxy.heal()
    eventually(lambda: proxied.logged("leading") > led, within=WITHIN_S, what="the service to learn the outcome")

    committing.check()


def test_an_unclean_broker_restart(crashed: dict[str, Recovery]) -> None:
    """SIGKILL of the broker loses nothing that was committed: the clock goes on by itself."""
    crashed["crashed"].check()


def test_a_tail_that_a_broker_lost(crashed: dict[str, Recovery]) -> None:
    """A tick that the store knows and the log lost in a crash is a hold, and `init` resolves it."""
    recovery = crashed["shortened"]

    held = recovery.clock.until_held("ticklog_truncated")
    init(recovery, held)

    assert f"the store has tick {held['time']}" in held["hold"]["detail"]
    assert "clocksvc init shortened --last-tick" in held["hold"]["detail"]
    recovery.check()


def test_truncated(damaged: dict[str, Recovery]) -> None:
    """A log whose records were all deleted is not taken for a new log."""
    recovery = damaged["purged"]

    held = recovery.clock.until_held("ticklog_truncated")
    init(recovery, held)

    assert "the tick log has no tick" in held["hold"]["detail"]
    assert "clocksvc init purged --last-tick" in held["hold"]["detail"]
    recovery.check()


def test_an_open_foreign_transaction(proxied: ProxiedKafka, damaged: dict[str, Recovery]) -> None:
    """No tick is emitted while another client's transaction is open in the log; its end resolves the hold."""
    recovery = damaged["foreign"]

    held = recovery.clock.until_held("ticklog_open_transaction")
    recovery.until_processed(wall_ms())
    later = recovery.clock.time_s()
    Producer({"bootstrap.servers": proxied.kafka.bootstrap, "transactional.id": "outsider"}).init_transactions(WITHIN_S)

    assert "kafka-transactions" in held["hold"]["detail"]
    assert later == held["timestamp_seconds"]
    recovery.check()


def test_a_commit_whose_end_a_broker_forgot(proxied: ProxiedKafka, damaged: dict[str, Recovery]) -> None:
    """The next leader ends the transaction, makes the tick again, and goes on: nothing is lost or twice."""
    damaged["unmarked"].check()

    assert proxied.logged("hanging transaction ended", "unmarked") >= 1


def test_recreated(proxied: ProxiedKafka, crashed: dict[str, Recovery]) -> None:
    """A tick log that was deleted and recreated empty is not taken for a first start while the store knows a tick. The
    last test: the topic has the logs of all clocks."""
    recovery = crashed["recreated"]
    at_rest(recovery)
    proxied.installation.kill("serve")
    proxied.delete(proxied.installation.tick_log)
    proxied.installation.start_replica()
    recovery.produce()

    held = recovery.clock.until_held("ticklog_truncated")
    init(recovery, held)

    assert "the tick log has no tick" in held["hold"]["detail"]
    recovery.check()
