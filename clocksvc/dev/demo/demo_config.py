"""The demo's configuration: addresses of its servers, and names of its topics, groups and keys."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clocksvc.dev.child_server import LOOPBACK
from clocksvc.interfaces.checkpoints import checkpoint_topic
from clocksvc.kafka.client import dispatcher_id
from clocksvc.settings import Settings, settings_from

CLOCK = "demo"
SECOND_CLOCK = "warehouse"
"""The clock of the second stage: a consumer group that has no Reporter."""
JOB_APP = "jobs"
"""The name of the demo's Celery app, which is also the name of its dispatcher."""
PARTITIONS = 4
INTERVAL_S = 5
NIGHT_S = 10
"""The demo's nightly job is due every 10 s, so that a viewer sees several."""
NAMESPACE = "jobs"
SCHEDULE_PARTITIONS = 2
SCHEDULES = {
    "monitor-1": {"interval": "5s", "task": "demo.check", "payload": {"url": "https://one.example"}},
    "monitor-2": {"interval": "10s", "task": "demo.check", "payload": {"url": "https://two.example"}},
    "report": {"cron": "* * * * *", "task": "demo.report", "payload": {"to": "ann"}},
}
EVERY_S = {"monitor-1": 5, "monitor-2": 10, "report": 60}
"""The seconds between two due times of each schedule."""
HOLD_AFTER_S = 7
"""Ticks and heartbeats come every 5 s. If they are 2 s late, something is wrong."""
SECOND_HOLD_AFTER_S = 8
"""The second stage's committed offsets are read once a second, so its ticks come at less regular times."""
SLOW, QUIET = 2, 3
WORK_S = {SLOW: 2.5}
"""The seconds that a consumer needs for a record, by partition. For other partitions it needs almost no time."""


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """The configuration of one demo.

    Attributes:
        own_kafka, own_redis: True if the server is a child process of the demo, which has no other data.
        demo_id: the unique prefix of the demo's topics, groups and keys on a shared server.
        port: the service's port.
    """

    bootstrap: str
    redis_url: str
    own_kafka: bool
    own_redis: bool
    demo_id: str
    port: int

    @property
    def topic(self) -> str:
        """The topic that the clock watches."""
        return CLOCK if self.own_kafka else self.demo_id

    @property
    def tick_log(self) -> str:
        """The topic of the tick log."""
        return f"{self.topic}-ticks"

    @property
    def checkpoint_topic(self) -> str:
        """The topic of the dispatcher's checkpoints. clocksvc chooses this name."""
        return checkpoint_topic(self.tick_log)

    @property
    def dispatcher_group(self) -> str:
        """The consumer group of the beat that follows the clock. clocksvc chooses this name."""
        return dispatcher_id(self.tick_log, CLOCK, JOB_APP)

    @property
    def has_schedules(self) -> bool:
        """False on a shared Kafka: the topics of schedules have the clock's name, which another demo can have, too."""
        return self.own_kafka

    @property
    def jobs_queue(self) -> str:
        """The Celery queue of the jobs."""
        return f"{self.topic}-jobs"

    @property
    def group(self) -> str:
        """The consumer group whose progress counts."""
        return f"{self.topic}-consumers"

    @property
    def handled_topic(self) -> str:
        """The topic to which the first group writes what it has handled. The second group reads it."""
        return f"{self.topic}-handled"

    @property
    def second_group(self) -> str:
        """The consumer group of the second stage, which knows nothing of clocksvc."""
        return f"{self.topic}-warehouse"

    @property
    def prefix(self) -> str:
        """The prefix of every key in Redis."""
        return "clocksvc" if self.own_redis else self.demo_id

    @property
    def report_url(self) -> str:
        """The Reporter's URL."""
        return f"{self.redis_url}{'&' if '?' in self.redis_url else '?'}prefix={self.prefix}"

    @property
    def url(self) -> str:
        """The service's URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def document(self) -> dict[str, Any]:
        """Return the configuration as plain data. It may contain the password of a Redis."""
        clock: dict[str, Any] = {
            "topics": [self.topic],
            "group": self.group,
            "interval": f"{INTERVAL_S}s",
            "hold_after": f"{HOLD_AFTER_S}s",
            "heartbeat": {"every": f"{INTERVAL_S}s"},
        }
        second = {
            "topics": [self.handled_topic],
            "group": self.second_group,
            "source": "committed",
            "after": [CLOCK],
            "interval": f"{INTERVAL_S}s",
            "poll": "1s",
            "hold_after": f"{SECOND_HOLD_AFTER_S}s",
        }
        if self.has_schedules:
            clock["schedules"] = {"partitions": SCHEDULE_PARTITIONS}
        return {
            "redis": {"url": self.redis_url, "prefix": self.prefix},
            "kafka": {"bootstrap.servers": self.bootstrap},
            "tick_log": {"topic": self.tick_log},
            "clocks": {CLOCK: clock, SECOND_CLOCK: second},
            "namespaces": {NAMESPACE: {"queue": self.jobs_queue}},
            "api": {"host": LOOPBACK, "port": self.port},
            "scheduler": {"port": 0},
        }

    def settings(self) -> Settings:
        """Return the validated configuration. Raises SettingsError if an address is not valid."""
        return settings_from(self.document())

    def write(self, folder: Path) -> Path:
        """Write the configuration to a file in `folder`, and return its path. The file is JSON, which is also YAML."""
        file = folder / "clocksvc.yaml"
        file.touch(mode=0o600)
        file.write_text(json.dumps(self.document(), indent=2))
        return file


def new_demo_id() -> str:
    """Return a unique name for one demo on shared servers."""
    return f"clocksvc-demo-{uuid.uuid4().hex[:6]}"
