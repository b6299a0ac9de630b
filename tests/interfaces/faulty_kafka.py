"""A Kafka with faults: clients connect through a proxy, unknown users have no rights, and it creates topics on metadata
requests."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from tests.tcp_proxy import KafkaProxy


@dataclass(frozen=True)
class FaultyKafka:
    """`stranger` are client settings of a user without rights."""

    proxy: KafkaProxy
    stranger: dict[str, str]

    @property
    def bootstrap(self) -> str:
        """The address, through the proxy."""
        return self.proxy.address


@pytest.fixture(scope="session")
def faulty_kafka() -> Iterator[FaultyKafka]:
    """A separate Kafka, so that its faults do not affect other tests."""
    client, controller, internal, strangers, over_wire = free_ports(5)
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_stranger="nothing";'
    properties = {
        "listeners": f"PLAINTEXT://{LOOPBACK}:{client},INTERNAL://{LOOPBACK}:{internal},"
        f"STRANGERS://{LOOPBACK}:{strangers},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{over_wire},INTERNAL://{LOOPBACK}:{internal},"
        f"STRANGERS://{LOOPBACK}:{strangers}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,"
        "STRANGERS:SASL_PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "listener.name.strangers.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.strangers.plain.sasl.jaas.config": login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "true",
    }
    stranger = {
        "bootstrap.servers": f"{LOOPBACK}:{strangers}",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "stranger",
        "sasl.password": "nothing",
    }
    with (
        KafkaServer(port=client, controller_port=controller, properties=properties),
        KafkaProxy(client, port=over_wire) as proxy,
    ):
        yield FaultyKafka(proxy, stranger)
