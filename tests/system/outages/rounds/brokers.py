"""The Kafka of a round: one broker with a proxy for each replica, or a cluster of three.

In the cluster, topics, tick logs, group offsets and the state of transactions have replication 3 and two in-sync
replicas at least, so that it works without any one broker.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Any, Protocol

from confluent_kafka.admin import AdminClient

from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer, random_cluster_id
from tests.tcp_proxy import TcpProxy

NODES = 3


class Brokers(Protocol):
    """What a round needs to know of its Kafka."""

    replication: int
    proxies: Mapping[str, TcpProxy]
    """The proxy of each replica, by the replica's name; empty if there are none."""

    @property
    def bootstrap(self) -> str:
        """The address for all other clients."""


class Single:
    """One broker."""

    replication = 1

    def __init__(self, node: KafkaServer, proxies: Mapping[str, TcpProxy]) -> None:
        self.node, self.proxies = node, proxies

    @property
    def bootstrap(self) -> str:
        return self.node.bootstrap


class Cluster:
    """Three nodes, broker and controller each, by id."""

    replication = NODES
    proxies: Mapping[str, TcpProxy] = {}

    def __init__(self, nodes: dict[int, KafkaServer]) -> None:
        self.nodes = nodes

    @property
    def bootstrap(self) -> str:
        return self.address(self.nodes)

    def leader_of(self, topic: str, partition: int = 0, ask: Collection[int] = range(1, NODES + 1)) -> int | None:
        """The node that leads a topic's partition; None while there is none. `ask` are the nodes that are asked."""
        listed = self._topics(ask).get(topic)
        leader = -1 if listed is None else listed.partitions[partition].leader
        return leader if leader in self.nodes else None

    def address(self, nodes: Collection[int]) -> str:
        """The address for clients, with these nodes only."""
        return ",".join(self.nodes[node].bootstrap for node in nodes)

    def in_sync(self) -> bool:
        """Whether every node is in sync for every partition."""
        partitions = [each for topic in self._topics().values() for each in topic.partitions.values()]
        return bool(partitions) and all(len(each.isrs) == len(each.replicas) for each in partitions)

    def _topics(self, ask: Collection[int] = range(1, NODES + 1)) -> dict[str, Any]:
        admin = AdminClient({"bootstrap.servers": self.address(ask), "log_level": 0})
        topics: dict[str, Any] = admin.list_topics(timeout=10.0).topics
        return topics


@contextmanager
def single(replicas: Sequence[str]) -> Iterator[Single]:
    """A running broker that advertises to each replica the replica's own proxy."""
    client, controller, *own = free_ports(2 + len(replicas))
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(TcpProxy(port)) for name, port in zip(replicas, own, strict=True)}
        names = [f"REPLICA{number}" for number in range(len(replicas))]
        inside = [f"{name}://{LOOPBACK}:{port}" for name, port in zip(names, own, strict=True)]
        outside = [
            f"{name}://{LOOPBACK}:{proxies[replica].port}" for name, replica in zip(names, replicas, strict=True)
        ]
        direct = f"PLAINTEXT://{LOOPBACK}:{client}"
        properties = {
            "listeners": ",".join([direct, f"CONTROLLER://{LOOPBACK}:{controller}", *inside]),
            "advertised.listeners": ",".join([direct, *outside]),
            "listener.security.protocol.map": ",".join(
                f"{name}:PLAINTEXT" for name in ["PLAINTEXT", "CONTROLLER", *names]
            ),
            # In the protocol of KIP-848 the broker decides; these are the values of consumers of the classic protocol.
            "group.consumer.min.session.timeout.ms": "6000",
            "group.consumer.session.timeout.ms": "6000",
            "group.consumer.min.heartbeat.interval.ms": "1000",
            "group.consumer.heartbeat.interval.ms": "1000",
        }
        server = KafkaServer(port=client, controller_port=controller, properties=properties)
        yield Single(stack.enter_context(server), proxies)


@contextmanager
def cluster(properties: Mapping[str, str] = MappingProxyType({})) -> Iterator[Cluster]:
    """A running cluster. `properties` are added to the settings of each node."""
    cluster_id = random_cluster_id()
    ports = free_ports(2 * NODES)
    clients, controllers = ports[:NODES], ports[NODES:]
    voters = ",".join(f"{node}@{LOOPBACK}:{port}" for node, port in enumerate(controllers, 1))
    replicated = {
        "controller.quorum.voters": voters,
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "share.coordinator.state.topic.replication.factor": "3",
        "share.coordinator.state.topic.min.isr": "2",
        "replica.lag.time.max.ms": "5000",
        **properties,
    }
    nodes = {
        node: KafkaServer(
            node_id=node, cluster_id=cluster_id, port=client, controller_port=controller, properties=replicated
        )
        for node, client, controller in zip(range(1, NODES + 1), clients, controllers, strict=True)
    }
    with ExitStack() as stack:
        for server in nodes.values():
            stack.callback(server.close)
        with ThreadPoolExecutor(NODES) as threads:  # each formats its disk first, which takes seconds
            list(threads.map(KafkaServer.start, nodes.values()))
        for server in nodes.values():
            server.wait_ready()
        yield Cluster(nodes)
