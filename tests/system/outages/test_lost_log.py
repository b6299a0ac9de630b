"""Kafka loses records of the tick log, or the outcome of a commit is unknown: the clock shows it, and never guesses."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
from tests.system.installation import Installation, wall_ms
from tests.system.outages.recovery import PARTITIONS, Recovery
from tests.tcp_proxy import KafkaProxy, Loses
from tests.waiting import eventually

pytestmark = pytest.mark.path

LOST = ("crashed", "shortened", "hanging", "truncated", "recreated", "foreign")
CLOCKS = ("committing", *LOST)
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

    def logged(self, message: str, clock: str = "committing") -> int:
        """How often the service has logged a message about a clock."""
        lines = (self.installation.folder / "serve.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return sum((entry["message"], entry.get("clock")) == (message, clock) for entry in entries)

    def log_folder(self, recovery: Recovery) -> Path:
        """The broker's directory of a clock's tick log."""
        return self.kafka.directory / "data" / f"{recovery.clock.tick_log}-0"

    def restart_kafka(self) -> None:
        """Start Kafka again after a kill."""
        self.kafka.start()
        self.kafka.wait_ready()

    def truncate(self, topic: str) -> None:
        """Delete all records of a topic. A broker refuses that for a topic that is only compacted."""
        self._set_policy(topic, "delete")
        eventually(lambda: self._deleted(topic), what="the broker to delete records")
        self._set_policy(topic, "compact")

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic])[topic].result(WITHIN_S)
        eventually(lambda: topic not in self.admin.list_topics(timeout=10).topics, what="the topic to be gone")

    def open_transaction(self, recovery: Recovery) -> Producer:
        """Another client's open transaction on a tick log, with a copy of its last tick that is an hour ahead."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "transactional.id": "outsider"})
        producer.init_transactions(WITHIN_S)
        producer.begin_transaction()
        last = recovery.log()[-1].wire
        forged = {**last, "timestamp_seconds": last["timestamp_seconds"] + HOUR_S}
        clock = recovery.clock
        producer.produce(clock.tick_log, json.dumps(forged).encode(), clock.name, headers={"clocksvc-type": b"tick"})
        assert producer.flush(WITHIN_S) == 0
        return producer

    def _set_policy(self, topic: str, policy: str) -> None:
        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        (future,) = self.admin.incremental_alter_configs([resource]).values()
        future.result(WITHIN_S)

    def _deleted(self, topic: str) -> bool:
        (future,) = self.admin.delete_records([TopicPartition(topic, 0, OFFSET_END)]).values()
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
    """Clocks whose tick logs were emptied, deleted, written by another client, and left without the last commit marker,
    while no service ran."""
    recoveries = {clock: crashed[clock] for clock in ("truncated", "recreated", "foreign", "hanging")}
    for recovery in recoveries.values():
        recovery.clock.until_running()
        recovery.stop_producing()
    for recovery in recoveries.values():
        recovery.clock.until_held("partition_behind")
        recovery.keep_log()
    proxied.installation.kill("serve")
    proxied.kafka.kill()
    cut_marker(proxied.log_folder(recoveries["hanging"]))
    proxied.restart_kafka()
    proxied.truncate(recoveries["truncated"].clock.tick_log)
    proxied.delete(recoveries["recreated"].clock.tick_log)
    outsider = proxied.open_transaction(recoveries["foreign"])
    proxied.installation.start_replica()
    for recovery in recoveries.values():
        recovery.produce()
    yield recoveries
    del outsider


def init(recovery: Recovery, held: dict[str, object]) -> None:
    """What an operator does about ticklog_truncated: `clocksvc init` with the last tick that was shown."""
    name, last = recovery.clock.name, str(held["time"])
    printed = recovery.clock.installation.command("init", name, "--last-tick", last)
    assert printed.startswith(f"{name}: begins after {last}")


@pytest.mark.parametrize("loses", ["response", "request"])
def test_a_commit_whose_outcome_is_unknown(proxied: ProxiedKafka, committing: Recovery, loses: Loses) -> None:
    """The connection is cut between a commit and its response, or before the commit arrives: the log decides, and each
    tick comes once."""
    unknown, led = proxied.logged("commit's outcome unknown"), proxied.logged("leading")
    proxied.proxy.lose_commits(loses)

    # Healed only once the service knows of it, or the old producer would still learn the outcome.
    eventually(
        lambda: proxied.logged("commit's outcome unknown") > unknown, within=WITHIN_S, what="a commit without an answer"
    )
    eventually(lambda: proxied.logged("leading") > led, within=WITHIN_S, what="the service to learn the outcome")
    proxied.proxy.heal()

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
    recovery = damaged["truncated"]

    held = recovery.clock.until_held("ticklog_truncated")
    init(recovery, held)

    assert "begins at offset" in held["hold"]["detail"]
    assert "clocksvc init" in held["hold"]["detail"]
    recovery.check()


def test_recreated(damaged: dict[str, Recovery]) -> None:
    """A log that was deleted and recreated empty is not taken for a first start while the store knows a tick."""
    recovery = damaged["recreated"]

    held = recovery.clock.until_held("ticklog_truncated")
    init(recovery, held)

    assert "the tick log has no tick" in held["hold"]["detail"]
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
    """A leader ends the transaction, repeats the commit of what was shown, and goes on: nothing is lost or twice."""
    damaged["hanging"].check()

    assert proxied.logged("hanging transaction ended", "hanging") >= 1
    assert proxied.logged("lost commit repeated", "hanging") == 1
