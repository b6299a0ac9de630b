"""Kafka loses what the tick log held, or leaves open what became of it: the clock says so, and never guesses."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
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

from clocksvc.dev.kafka_server import KafkaServer
from clocksvc.dev.ports import LOOPBACK, free_ports
from tests.interfaces.log_files import (
    cut_marker,
    cut_transactions,
)
from tests.interfaces.wire import (
    KafkaWire,
    Loses,
)
from tests.system.outages.loss import (
    Loss,
    WatchedScene,
)
from tests.system.path.doors import command
from tests.system.path.installation import (
    Installation,
    create_topic,
    wall_ms,
)
from tests.system.path.scene import PATIENCE_S
from tests.waiting import eventually

pytestmark = pytest.mark.path

LOST = ("crashed", "shortened", "hanging", "truncated", "remade", "foreign")
CLOCKS = ("committing", *LOST)
SHORTER_BY = 2
HOUR_S = 3_600


@dataclass
class Site:
    """A service that reaches a Kafka of its own over a wire; everybody else reaches it directly."""

    kafka: KafkaServer
    wire: KafkaWire
    installation: Installation
    run: str
    admin: AdminClient

    def losses(self, guests: ExitStack, *clocks: str) -> dict[str, Loss]:
        """Clocks that run, until their guests leave."""
        scenes = {clock: WatchedScene(self.run, clock).of(self.installation) for clock in clocks}
        losses = {clock: Loss(guests.enter_context(scene)) for clock, scene in scenes.items()}
        for loss in losses.values():
            loss.begin()
        return losses

    def end_service(self) -> None:
        """SIGKILL."""
        process = self.installation.processes.pop("serve")
        process.kill()
        process.wait(10)

    def said(self, message: str, clock: str = "committing") -> int:
        """How often the service has logged a message about a clock."""
        lines = (self.installation.folder / "serve.log").read_text().splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return sum((line["message"], line.get("clock")) == (message, clock) for line in told)

    def log_folder(self, loss: Loss) -> Path:
        """Where the broker keeps a clock's tick log."""
        return self.kafka.directory / "data" / f"{loss.scene.tick_log}-0"

    def restart_kafka(self) -> None:
        """After a kill."""
        self.kafka.start()
        self.kafka.wait_ready()

    def truncate(self, topic: str) -> None:
        """Delete all records of a topic. Where it is only compacted, a broker deletes none."""
        self._set_policy(topic, "delete")
        eventually(lambda: self._deleted(topic), what="the broker to delete records")
        self._set_policy(topic, "compact")

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        self.admin.delete_topics([topic])[topic].result(PATIENCE_S)
        eventually(lambda: topic not in self.admin.list_topics(timeout=10).topics, what="the topic to be gone")

    def open_transaction(self, loss: Loss) -> Producer:
        """Somebody else's open transaction on a tick log, with a copy of its last tick that is an hour ahead."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "transactional.id": "outsider"})
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        last = loss.log()[-1].wire
        forged = {**last, "timestamp_seconds": last["timestamp_seconds"] + HOUR_S}
        producer.produce(
            loss.scene.tick_log, json.dumps(forged).encode(), loss.scene.clock, headers={"clocksvc-type": b"tick"}
        )
        assert producer.flush(PATIENCE_S) == 0
        return producer

    def _set_policy(self, topic: str, policy: str) -> None:
        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        (future,) = self.admin.incremental_alter_configs([resource]).values()
        future.result(PATIENCE_S)

    def _deleted(self, topic: str) -> bool:
        (future,) = self.admin.delete_records([TopicPartition(topic, 0, OFFSET_END)]).values()
        return bool(future.result(PATIENCE_S).low_watermark > 0)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Site]:
    """A service with a clock for each loss."""
    run = f"log{wall_ms() % 10**8}"
    client, controller, wired, wire_port = free_ports(4)
    direct = f"PLAINTEXT://{LOOPBACK}:{client}"
    properties = {
        "listeners": f"{direct},WIRED://{LOOPBACK}:{wired},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"{direct},WIRED://{LOOPBACK}:{wire_port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,WIRED:PLAINTEXT",
    }
    scenes = [WatchedScene(run, clock) for clock in CLOCKS]
    with (
        KafkaServer(port=client, controller_port=controller, properties=properties) as kafka,
        closing(KafkaWire(wire_port, wired)) as wire,
    ):
        for scene in scenes:
            create_topic(kafka.bootstrap, scene.topic, scene.partitions, scene.timestamp_type)
        clocks = {scene.clock: scene.settings() for scene in scenes}
        installation = Installation(tmp_path_factory.mktemp("log"), wire.bootstrap, redis_url, run, clocks)
        installation.bootstrap = kafka.bootstrap
        try:
            installation.start_service()
            yield Site(kafka, wire, installation, run, AdminClient({"bootstrap.servers": kafka.bootstrap}))
        finally:
            installation.close()


@pytest.fixture(scope="module")
def committing(site: Site) -> Iterator[Loss]:
    """A clock that runs."""
    with ExitStack() as guests:
        yield site.losses(guests, "committing")["committing"]


@pytest.fixture(scope="module")
def crashed(site: Site) -> Iterator[dict[str, Loss]]:
    """Clocks whose broker was killed and started again; of one's log it lost the last ticks."""
    with ExitStack() as guests:
        losses = site.losses(guests, *LOST)
        shortened = losses["shortened"]
        shortened.scene.until_reached(shortened.log()[0].at_ms // 1000 + SHORTER_BY)
        shortened.fall_silent()
        shortened.scene.until_held("partition_behind")
        shortened.keep_log()
        site.kafka.kill()
        losses["crashed"].scene.until_held("metadata_unavailable", "ticklog_unavailable")
        cut_transactions(site.log_folder(shortened), SHORTER_BY)
        site.restart_kafka()
        shortened.be_loud()
        yield losses


@pytest.fixture(scope="module")
def damaged(site: Site, crashed: dict[str, Loss]) -> Iterator[dict[str, Loss]]:
    """Clocks whose tick logs were emptied, deleted, written to by somebody else, and left without the end of their last
    transaction, while no service ran."""
    losses = {clock: crashed[clock] for clock in ("truncated", "remade", "foreign", "hanging")}
    for loss in losses.values():
        loss.scene.until_running()
        loss.fall_silent()
    for loss in losses.values():
        loss.scene.until_held("partition_behind")
        loss.keep_log()
    site.end_service()
    site.kafka.kill()
    cut_marker(site.log_folder(losses["hanging"]))
    site.restart_kafka()
    site.truncate(losses["truncated"].scene.tick_log)
    site.delete(losses["remade"].scene.tick_log)
    outsider = site.open_transaction(losses["foreign"])
    site.installation.start_service()
    for loss in losses.values():
        loss.be_loud()
    yield losses
    del outsider


def begin_anew(loss: Loss, held: dict[str, object]) -> None:
    """The way out of ticklog_truncated: `clocksvc init` with the last tick that was shown."""
    clock, last = loss.scene.clock, str(held["time"])
    assert command(loss.scene.installation, "init", clock, "--last-tick", last).startswith(
        f"{clock}: begins after {last}"
    )


@pytest.mark.parametrize("loses", ["response", "request"])
def test_a_commit_whose_outcome_is_unknown(site: Site, committing: Loss, loses: Loses) -> None:
    """The connection is cut between a commit and its answer, or before the commit arrives: the log knows which, and
    each tick comes once."""
    unknown, led = site.said("commit's outcome unknown"), site.said("leading")
    site.wire.lose_commits(loses)

    # The wire is healed no sooner than the service knows, or the producer that it gave up would still settle it.
    eventually(
        lambda: site.said("commit's outcome unknown") > unknown, within=PATIENCE_S, what="a commit without an answer"
    )
    eventually(lambda: site.said("leading") > led, within=PATIENCE_S, what="the service to know what became of it")
    site.wire.heal()

    committing.goes_on()


def test_an_unclean_broker_restart(crashed: dict[str, Loss]) -> None:
    """SIGKILL of the broker takes nothing that was committed: the clock goes on by itself."""
    crashed["crashed"].goes_on()


def test_a_tail_that_a_broker_lost(crashed: dict[str, Loss]) -> None:
    """What the store knows and the log lost after a crash is a hold, and `init` the way out."""
    loss = crashed["shortened"]

    held = loss.scene.until_held("ticklog_truncated")
    begin_anew(loss, held)

    assert f"the store knows tick {held['time']}" in held["hold"]["detail"]
    assert "clocksvc init shortened --last-tick" in held["hold"]["detail"]
    loss.goes_on()


def test_truncated(damaged: dict[str, Loss]) -> None:
    """A log all of whose records were deleted is no log that was never written."""
    loss = damaged["truncated"]

    held = loss.scene.until_held("ticklog_truncated")
    begin_anew(loss, held)

    assert "begins at offset" in held["hold"]["detail"]
    assert "clocksvc init" in held["hold"]["detail"]
    loss.goes_on()


def test_recreated(damaged: dict[str, Loss]) -> None:
    """A log that was deleted and is there again, empty, is no first start while the store knows a tick."""
    loss = damaged["remade"]

    held = loss.scene.until_held("ticklog_truncated")
    begin_anew(loss, held)

    assert "the tick log ends empty" in held["hold"]["detail"]
    loss.goes_on()


def test_an_open_foreign_transaction(site: Site, damaged: dict[str, Loss]) -> None:
    """Nothing is concluded from a log in which somebody else's transaction is open; its end is the way out."""
    loss = damaged["foreign"]

    held = loss.scene.until_held("ticklog_open_transaction")
    loss.until_processed(wall_ms())
    later = loss.scene.time_s()
    Producer({"bootstrap.servers": site.kafka.bootstrap, "transactional.id": "outsider"}).init_transactions(PATIENCE_S)

    assert "kafka-transactions" in held["hold"]["detail"]
    assert later == held["timestamp_seconds"]
    loss.goes_on()


def test_a_commit_whose_end_a_broker_forgot(site: Site, damaged: dict[str, Loss]) -> None:
    """A leader ends the transaction, commits once more what was shown, and goes on: nothing is lost or twice."""
    damaged["hanging"].goes_on()

    assert site.said("hanging transaction ended", "hanging") >= 1
    assert site.said("forgotten commit repeated", "hanging") == 1
