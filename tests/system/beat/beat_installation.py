"""A real installation: a clock of 60 s that the test advances through past hours, an app's beats, and workers."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import Producer

from tests.system.consumer import ConsumerThread
from tests.system.evidence import TickWithOffset, read_tick_log
from tests.system.installation import Installation, create_topic, wall_ms
from tests.waiting import eventually

MINUTE_MS = 60_000
PARTITIONS = 2
WITHIN_S = 60.0
BEATS = ("beat-1", "beat-2")


class ReceivedTask(NamedTuple):
    """One task, as the worker received it."""

    entry: str
    id: str
    due_ms: int
    tick_ms: int
    wall_ms: int
    queue: str


def parse_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


CLOCK = "story"


class BeatInstallation:
    """The clock `story`, its records, and the processes of an app.

    Args:
        app: the module of the user's app.
        tasks: the clock's `tasks`.
        routes: further sections of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        bootstrap: str,
        redis_url: str,
        start_ms: int,
        app: str = "tests.system.beat.app",
        tasks: Sequence[dict[str, Any]] = (),
        routes: dict[str, Any] | None = None,
    ) -> None:
        run = f"beat{wall_ms() % 10**8}"
        self.topic = f"{run}-records"
        clock = {
            "topics": [self.topic],
            "group": f"{run}-group",
            "max_out_of_orderness": "0s",
            "heartbeat": None,
            "recent_ticks": "90d",
            "max_past": "3650d",
            "tasks": list(tasks),
        }
        create_topic(bootstrap, self.topic, PARTITIONS, "CreateTime")
        self.installation = Installation(folder, bootstrap, redis_url, run, {CLOCK: clock})
        self.configure(tick_log={"topic": self.tick_log, "keep": clock["recent_ticks"]}, **(routes or {}))
        self._app = app
        self.task_log = folder / "tasks.jsonl"
        self.task_log.touch()
        self.start_ms = self.at_ms = start_ms // MINUTE_MS * MINUTE_MS
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self._environ = {
            "BROKER": redis_url,
            "TASK_LOG": str(self.task_log),
            "BLOCK": str(folder / "block"),
        }
        self._bootstrap = bootstrap
        self._group = f"{run}-group"
        self._member: ConsumerThread | None = None
        self.kills = 0

    def __enter__(self) -> "BeatInstallation":
        self.installation.start_replica()
        url = self.installation.report_url
        self._member = ConsumerThread(self._bootstrap, self.topic, self._group, url, CLOCK)
        self.advance(0)
        self.wait_for_ticks()
        return self

    def __exit__(self, *_: object) -> None:
        if self._member is not None:
            self._member.close()
        self.installation.close()

    # -- processes ---------------------------------------------------------------------------------------------------

    def start_worker(self, name: str = "worker", queues: str = "celery,clocksvc-tasks") -> None:
        """Start a worker of the app: it runs one task at a time, in the order of the queue."""
        self._celery(name, "worker", "--pool", "solo", "--loglevel", "WARNING", "-Q", queues, "-n", f"{name}@%h")

    def start_beat(self, name: str, app: str | None = None, *, loglevel: str = "INFO", **environ: str) -> None:
        """Start a beat of the app, or of another one, that follows the clock."""
        options = ("-S", "clocksvc.celery:ClockScheduler", "--loglevel", loglevel, "--pidfile=")
        self._celery(name, "beat", *options, app=app, environ=environ)

    def kill(self, name: str) -> None:
        """Send SIGKILL to a process."""
        self.installation.kill(name)
        self.kills += 1

    def start_tick_tasks(self, name: str = "dispatchers") -> None:
        """Start clocksvc's own beat, which sends the configured `tasks` at each tick."""
        self._celery(name, "beat", "--loglevel", "INFO", "--pidfile=", app="clocksvc")

    def configure(self, **sections: Any) -> None:
        """Change sections of the configuration, for processes that start later."""
        self.installation.configure(**sections)

    @property
    def block(self) -> Path:
        """While this file exists, tasks of `shop.errors` block."""
        return self.installation.folder / "block"

    def _celery(
        self, name: str, *arguments: str, app: str | None = None, environ: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        command = ("celery", "-A", app or self._app, *arguments)
        self.installation.start(name, *command, environ={**self._environ, **environ})

    # -- time ---------------------------------------------------------------------------------------------------------

    def advance(self, minutes: int) -> None:
        """Write records to every partition, so many minutes later than the last ones."""
        self.at_ms += minutes * MINUTE_MS
        for partition in range(PARTITIONS):
            self._producer.produce(self.topic, b"x", partition=partition, timestamp=self.at_ms + 1)
        assert self._producer.flush(10.0) == 0

    def wait_for_ticks(self) -> None:
        """Wait until the clock has reached the time of the last records."""
        at_s = self.at_ms // 1000
        eventually(
            lambda: self.installation.state(CLOCK)["timestamp_seconds"] == at_s,
            within=WITHIN_S,
            what=f"the clock to reach {at_s}",
        )

    # -- results ------------------------------------------------------------------------------------------------------

    def received(self) -> list[ReceivedTask]:
        """All tasks that workers received, in order."""
        lines = [json.loads(line) for line in self.task_log.read_text().splitlines()]
        return [
            ReceivedTask(
                one["entry"], one["id"], parse_ms(one["due"]), parse_ms(one["tick"]), one["wall_ms"], one["queue"]
            )
            for one in lines
        ]

    def wait_for_task(self, entry: str, due_ms: int) -> None:
        """Wait until an entry's task for this due time, or a later one, was received."""
        logs = self.installation.processes
        eventually(
            lambda: any(one.entry == entry and one.due_ms >= due_ms for one in self.received()),
            within=WITHIN_S,
            what=f"{entry} of {due_ms}; {[self.installation.output(name)[-800:] for name in logs]}",
        )

    @property
    def tick_log(self) -> str:
        """The topic of the tick log."""
        return self.installation.tick_log

    def ticks(self) -> list[TickWithOffset]:
        """The clock's ticks in the tick log."""
        return read_tick_log(self._bootstrap, self.tick_log, CLOCK)


def _received(line: dict[str, Any]) -> ReceivedTask:
    due_ms, tick_ms = parse_ms(line["due"]), parse_ms(line["tick"])
    return ReceivedTask(line["entry"], line["id"], due_ms, tick_ms, line["wall_ms"], line["queue"])
