"""Where one demo runs: its servers' addresses, its own names there, and the configuration that follows from them."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clocksvc.dev.ports import LOOPBACK
from clocksvc.interfaces.checkpoints import (
    BEAT,
    checkpoint_topic,
)
from clocksvc.settings import Settings, settings_from

CLOCK = "demo"
PARTITIONS = 4
INTERVAL_S = 5
NIGHT_S = 10
"""So often the demo's nightly job is due: whoever watches sees many nights."""
NAMESPACE = "jobs"
HOLD_AFTER_S = 7
"""A tick comes every 5 s, as regularly as heartbeats do: two seconds more, and something is wrong."""
SLOW, QUIET = 2, 3
WORK_S = {SLOW: 2.5}
"""How long a record's handling takes, by partition; next to nothing for the others."""


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """One demo's surroundings.

    Attributes:
        own_kafka, own_redis: whether the server is a child of this process, with nobody else's data in it.
        mark: what the demo's topics, group and keys are named by; nobody else has it.
        port: where the service listens.
    """

    bootstrap: str
    redis_url: str
    own_kafka: bool
    own_redis: bool
    mark: str
    port: int

    @property
    def topic(self) -> str:
        """The topic that the clock watches."""
        return CLOCK if self.own_kafka else self.mark

    @property
    def tick_log(self) -> str:
        """The topic that keeps the ticks."""
        return f"{self.topic}-ticks"

    @property
    def positions(self) -> str:
        """The topic that keeps up to where jobs were sent; clocksvc names it."""
        return checkpoint_topic(self.tick_log)

    @property
    def senders(self) -> str:
        """The consumer group of the beat that goes by the clock; clocksvc names it."""
        return f"clocksvc.{self.tick_log}.{BEAT}"

    @property
    def jobs_queue(self) -> str:
        """Where the jobs wait for a worker."""
        return f"{self.topic}-jobs"

    @property
    def group(self) -> str:
        """The consumer group whose progress counts."""
        return f"{self.topic}-consumers"

    @property
    def prefix(self) -> str:
        """Of every key in Redis."""
        return "clocksvc" if self.own_redis else self.mark

    @property
    def report_url(self) -> str:
        """What the demo's reporters are given."""
        return f"{self.redis_url}{'&' if '?' in self.redis_url else '?'}prefix={self.prefix}"

    @property
    def url(self) -> str:
        """The service."""
        return f"http://{LOOPBACK}:{self.port}"

    def document(self) -> dict[str, Any]:
        """The configuration, as plain data. It may hold the password of a Redis."""
        clock = {
            "topics": [self.topic],
            "group": self.group,
            "interval": f"{INTERVAL_S}s",
            "hold_after": f"{HOLD_AFTER_S}s",
            "tick_log": self.tick_log,
            "heartbeat": {"every": f"{INTERVAL_S}s"},
        }
        return {
            "redis": {"url": self.redis_url, "prefix": self.prefix},
            "kafka": {"bootstrap.servers": self.bootstrap},
            "clocks": {CLOCK: clock},
            "namespaces": {NAMESPACE: {"queue": self.jobs_queue}},
            "api": {"host": LOOPBACK, "port": self.port},
        }

    def settings(self) -> Settings:
        """The configuration, checked. Raises SettingsError: an address is no address."""
        return settings_from(self.document())

    def write(self, folder: Path) -> Path:
        """The configuration as a file, for programs that read one. JSON is YAML."""
        file = folder / "clocksvc.yaml"
        file.touch(mode=0o600)
        file.write_text(json.dumps(self.document(), indent=2))
        return file


def new_demo_id() -> str:
    """A name that no other demo has, on servers that are not the demo's own."""
    return f"clocksvc-demo-{uuid.uuid4().hex[:6]}"
