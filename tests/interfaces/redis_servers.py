"""Redis as a cluster of one node, and with a sentinel."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from redis import Redis

from clocksvc.dev.child_server import LOOPBACK
from clocksvc.dev.valkey_server import ValkeyServer
from tests.waiting import eventually


class SentinelServer(ValkeyServer):
    """A sentinel that watches one master, under the name `mymaster`."""

    name: ClassVar[str] = "Sentinel"
    ready_line: ClassVar[str] = "Sentinel ID is"

    def __init__(self, master: ValkeyServer) -> None:
        super().__init__(options={"sentinel monitor": f"mymaster {LOOPBACK} {master.port} 1"})

    def _command(self) -> list[str]:
        return [*super()._command(), "--sentinel"]


@contextmanager
def one_node_cluster() -> Iterator[ValkeyServer]:
    """A cluster whose one node has all slots."""
    with ValkeyServer(options={"cluster-enabled": "yes", "cluster-announce-ip": LOOPBACK}) as node:
        client: Any = Redis(host=LOOPBACK, port=node.port, decode_responses=True)
        client.execute_command("CLUSTER ADDSLOTS", *range(16_384))
        eventually(lambda: client.cluster("INFO")["cluster_state"] == "ok", what="the cluster")
        client.close()
        yield node
