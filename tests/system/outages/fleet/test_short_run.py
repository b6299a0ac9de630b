"""A short run of `make fleet-outages`: its replicas, its changes and its judge."""

from pathlib import Path

import pytest

from clocksvc.dev.valkey_server import ValkeyServer
from tests.system.evidence import LOGS
from tests.system.outages.fleet.fleet import Fleet
from tests.system.outages.fleet.run import run

pytestmark = pytest.mark.servers

KILLED_S, STUCK_S, MOVED_S = 12.0, 20.0, 6.0
"""More than in the long run: this one shares a machine with other tests."""


def kill_one(fleet: Fleet) -> None:
    """The other replica leads all logs. The killed one is started again."""
    with fleet.phase("killed", KILLED_S):
        fleet.kill("b")
        fleet.until_led()
        fleet.start("b")
        fleet.pause(1.0)


def lose_kafka(fleet: Fleet) -> None:
    """The replica that leads all logs does not reach Kafka. Once it does, it gets a part of them back."""
    proxy = fleet.kafka.proxies["a"]
    with fleet.phase("without Kafka", STUCK_S):
        proxy.cut()
        fleet.until_led("a")
        fleet.pause(2.0)
        proxy.heal()
    with fleet.phase("back", MOVED_S):
        fleet.until_leads("a")


def test_replicas_share_the_logs(tmp_path: Path, valkey: ValkeyServer) -> None:
    """A replica is killed, then the other one loses Kafka: the tick log is complete, and no clock held long."""
    outcome = run(tmp_path, 2, 32, (kill_one, lose_kafka), valkey)

    assert outcome.wrong() == []
    assert outcome.judgement.clocks == 32
    assert outcome.judgement.ticks > 32 * 20
    killed, without, _ = outcome.phases
    assert killed.before.keys() == {"a", "b"}
    assert killed.after == {"a": LOGS}
    assert without.after == {"b": LOGS}
    assert outcome.moved(killed).logs == killed.before["b"]
