"""An installation with TLS, passwords and permissions: the smallest configuration of docs/security.md, with its names.

Celery worker and beat run all the time. Each test starts a service of its own.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from clocksvc.dev.child_server import free_ports
from clocksvc.leader.context import NoObserver
from clocksvc.service.bootstrap import Service
from clocksvc.settings import Settings, load
from tests.process import Process, module
from tests.system.consumer import ConsumerThread
from tests.system.evidence import broken_links, by_time, early_ticks, read_tick_log
from tests.system.security.certificates import Authority
from tests.system.security.document import KafkaAcl, kafka_acls, redis_user
from tests.system.security.secured_kafka import SecuredKafka
from tests.system.security.secured_redis import SecuredRedis

CLOCK, TOPIC, TICK_LOG = "checkins", "ingest-checkins", "clocksvc-ticks"
SERVICE, WORKER, CONSUMER = "clocksvc", "clocksvc-worker", "checkins-consumer"
GROUP = "checkins-consumer"
PARTITIONS = 2
OUT_OF_ORDERNESS_MS = 500

SERVICE_ACLS = kafka_acls("The service's ACLs")
SCHEDULER_ACLS = kafka_acls("The scheduler's ACLs")
OBSERVER_ACLS = kafka_acls("The observer's ACLs")
CHECK_ACLS = kafka_acls("What `clocksvc check` also needs")
WORKER_ACLS = kafka_acls("The heartbeat worker's ACLs")
DISPATCHER_ACLS = kafka_acls("The dispatchers' ACLs")
CONSUMER_ACLS = kafka_acls("The consumers' ACLs")
ALL_ACLS = [*SERVICE_ACLS, *OBSERVER_ACLS, *SCHEDULER_ACLS, *CHECK_ACLS, *WORKER_ACLS, *DISPATCHER_ACLS, *CONSUMER_ACLS]


class SecuredInstallation:
    """Servers, users and configurations; made by `secured_installation`."""

    def __init__(self, folder: Path, kafka: SecuredKafka, redis: SecuredRedis, authority: Authority) -> None:
        self.kafka, self.redis, self.authority, self._folder = kafka, redis, authority, folder
        self.port, self.token = free_ports(1)[0], secrets.token_hex(16)
        for heading in ("The service's user", "The consumers' user", "The heartbeat worker's user"):
            redis.allow(*redis_user(heading))
        kafka.allow(ALL_ACLS)
        kafka.create_topic(TOPIC, PARTITIONS, {"message.timestamp.after.max.ms": "60000"})

    def configuration(self, user: str) -> dict[str, Any]:
        """The configuration of a user."""
        clock = {
            "topics": [TOPIC],
            "group": GROUP,
            "interval": "1s",
            "max_out_of_orderness": f"{OUT_OF_ORDERNESS_MS}ms",
            "hold_after": "2s",
            "heartbeat": {"every": "1s"},
        }
        return {
            "redis": self.redis.settings(user),
            "kafka": self.kafka.settings(user),
            "clocks": {CLOCK: clock},
            "api": {"port": self.port, "tokens": [{"name": "tests", "token": self.token, "scopes": ["read"]}]},
        }

    def settings(self, user: str = SERVICE, kafka: Mapping[str, str] | None = None) -> Settings:
        """A user's settings, with some of the Kafka settings changed."""
        configuration = self.configuration(user)
        configuration["kafka"] |= kafka or {}
        return Settings.model_validate(configuration)

    def file(self, user: str) -> Path:
        """The file with a user's configuration."""
        path = self._folder / f"{user}.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.configuration(user)))
        load(str(path), {})
        return path

    @contextmanager
    def running(self, name: str, user: str, *command: str) -> Iterator[Process]:
        """A Python module as a process with a user's configuration, for the duration of the block."""
        environ = {"CLOCKSVC_CONFIG": str(self.file(user))}
        process = Process(module(*command), self._folder / f"{name}.log", environ=environ)
        try:
            yield process
            process.check_alive()
        finally:
            process.kill()

    @contextmanager
    def leading(self) -> Iterator[Service]:
        """A service in this process, without HTTP."""
        service = Service(self.settings(), NoObserver())
        service.start()
        try:
            yield service
        finally:
            service.stop()

    @contextmanager
    def allowing(self, acls: Iterable[KafkaAcl]) -> Iterator[None]:
        """Only these Kafka permissions for the duration of the block."""
        self.kafka.allow(acls)
        try:
            yield
        finally:
            self.kafka.allow(ALL_ACLS)

    def wrong_with(self, consumer: ConsumerThread) -> list[str]:
        """What is wrong with the tick log so far, by the consumer's notes."""
        ticks = read_tick_log(self.kafka.bootstrap, TICK_LOG, CLOCK)
        early = early_ticks(ticks, by_time(consumer.notes), PARTITIONS, OUT_OF_ORDERNESS_MS)
        return broken_links(ticks, 1_000) + early

    def consumer(self) -> ConsumerThread:
        """A consumer that reports to Redis as its own user."""
        kafka, url = self.kafka.settings(CONSUMER), self.redis.reporter_url(CONSUMER)
        return ConsumerThread(self.kafka.secured, TOPIC, GROUP, url, CLOCK, kafka=kafka)


@contextmanager
def secured_installation(folder: Path) -> Iterator[SecuredInstallation]:
    """Kafka, Redis, worker and beat run."""
    with ExitStack() as stack:
        authority = Authority(folder, "authority")
        kafka = stack.enter_context(SecuredKafka(authority, [SERVICE, WORKER, CONSUMER]))
        redis = stack.enter_context(SecuredRedis(authority))
        made = SecuredInstallation(folder, kafka, redis, authority)
        celery, quiet = ("celery", "-A", "clocksvc"), ("--loglevel", "WARNING")
        stack.enter_context(made.running("worker", WORKER, *celery, "worker", "--pool", "solo", *quiet))
        stack.enter_context(made.running("beat", WORKER, *celery, "beat", *quiet))
        yield made
