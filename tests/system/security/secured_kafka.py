"""A Kafka with TLS, passwords and ACLs. The tests administer it through a second listener, with all rights."""

import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.child_server import LOOPBACK, free_ports
from clocksvc.dev.kafka_server import KafkaServer
from tests.system.security.certificates import Authority
from tests.system.security.document import KafkaAcl
from tests.waiting import eventually

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_WAIT_S = 30


class SecuredKafka(KafkaServer):
    """One node: SASL_SSL with passwords and ACLs for all clients but the tests' admin."""

    def __init__(self, authority: Authority, users: Iterable[str]) -> None:
        plain, controller, secured = free_ports(3)
        self.secured = f"{LOOPBACK}:{secured}"
        self._ca: Path = authority.certificate
        self._allowed: set[KafkaAcl] = set()
        self._passwords = {user: secrets.token_hex(12) for user in users}
        logins = " ".join(f'user_{user}="{password}"' for user, password in self._passwords.items())
        ours = "listener.name.sasl_ssl"
        super().__init__(
            port=plain,
            controller_port=controller,
            properties={
                "listeners": (
                    f"PLAINTEXT://{LOOPBACK}:{plain},CONTROLLER://{LOOPBACK}:{controller},SASL_SSL://{self.secured}"
                ),
                f"{ours}.sasl.enabled.mechanisms": "PLAIN",
                f"{ours}.plain.sasl.jaas.config": f"{_PLAIN} {logins};",
                f"{ours}.ssl.keystore.type": "PEM",
                f"{ours}.ssl.keystore.location": str(authority.sign("broker").both),
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",
            },
        )

    def settings(self, user: str) -> dict[str, str]:
        """librdkafka settings for a user."""
        return {
            "bootstrap.servers": self.secured,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": self._passwords[user],
            "ssl.ca.location": str(self._ca),
        }

    def allow(self, acls: Iterable[KafkaAcl]) -> None:
        """Exactly these permissions from now on. Those that stay are not interrupted."""
        wanted = set(acls)
        gone, new = self._allowed - wanted, wanted - self._allowed
        for answer in self._admin.delete_acls([_filter(acl) for acl in gone]).values() if gone else ():
            answer.result(_WAIT_S)
        for answer in self._admin.create_acls([_binding(acl) for acl in new]).values() if new else ():
            answer.result(_WAIT_S)
        self._allowed = wanted

    def create_topic(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic as administrator."""
        self._admin.create_topics([NewTopic(name, partitions, 1, config=dict(config))])[name].result(_WAIT_S)

    def delete_topic(self, name: str) -> None:
        """Delete a topic as administrator, and wait until it is gone."""
        admin = self._admin
        admin.delete_topics([name])[name].result(_WAIT_S)
        eventually(lambda: name not in admin.list_topics(timeout=5).topics, what=f"{name} to be gone")

    @cached_property
    def _admin(self) -> Any:  # kept: a late response to a closed client is an error
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})


def _binding(acl: KafkaAcl) -> AclBinding:
    return AclBinding(*_fields(acl))


def _filter(acl: KafkaAcl) -> AclBindingFilter:
    return AclBindingFilter(*_fields(acl))


def _fields(acl: KafkaAcl) -> tuple[Any, ...]:
    kind, operation = ResourceType[acl.kind], AclOperation[acl.operation]
    pattern, allow = ResourcePatternType[acl.pattern], AclPermissionType.ALLOW
    return kind, acl.name, pattern, acl.principal, "*", operation, allow
