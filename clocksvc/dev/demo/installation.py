"""Starts and stops all parts of the demo in order."""

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from clocksvc.dev.child_process import DevServerError
from clocksvc.dev.demo.delivery_checks import StoredRecords
from clocksvc.dev.demo.demo_config import CLOCK, DemoConfig, new_demo_id
from clocksvc.dev.demo.demo_service import InProcessService, ServiceWatch, listen
from clocksvc.dev.demo.processes import CeleryPrograms, DemoServers, Interrupted, scheduler_program
from clocksvc.dev.demo.schedules import DemoSchedules
from clocksvc.dev.demo.second_stage import SecondStage
from clocksvc.dev.demo.shared_servers import check_redis, create_topics, remove_keys, remove_topics
from clocksvc.dev.demo.traffic import DemoConsumer, DemoProducers
from clocksvc.service.log_format import setup_logging

_CONSUMERS = 2
_JOIN_S = 3.0


class DemoInstallation:
    """Servers, service, Celery's programs, producers, consumers, and the threads that read the clock.

    Args:
        kafka, redis: see DemoServers.
        port: the service's port; None means 8080 or the next free one.
        rate: how many records are produced in a second.
        progress: called with a text about each step.

    Attributes:
        started: True once every part has started.
        schedules: the demo's schedules; None if it has none.
        second_stage: the consumer group without a Reporter, and its clock.

    Raises:
        InvalidValue: the port is in use.
    """

    def __init__(
        self, kafka: str | None, redis: str | None, port: int | None, rate: float, progress: Callable[[str], None]
    ) -> None:
        self.started = False
        self.schedules: DemoSchedules | None = None
        self._listener = listen(port)
        self._rate = rate
        self._progress = progress
        self.folder = Path(tempfile.mkdtemp(prefix="clocksvc-dev-"))
        self._log = (self.folder / "service.log").open("a", encoding="utf-8")
        setup_logging("text", stream=self._log)
        self._servers = DemoServers(kafka, redis)
        self._cleanups: list[Callable[[], None]] = []

    def start(self, ended: threading.Event) -> None:
        """Start every part. Call `end` afterwards, also if this method raises.

        Raises:
            ClocksvcError: a part can't be started. The message contains what to do.
            Interrupted: `ended` was set during the start.
        """
        self._cleanups.append(self._servers.close)
        self._servers.start(ended, self._progress)
        self.config = config = self._configure()
        self._progress(f"Kafka answers on {config.bootstrap}; starting service, Celery, producers and consumers …")
        self._start_programs(config)
        settings = config.settings()
        self.service = InProcessService(settings, self._listener)
        self.service.start()
        self._cleanups.append(self.service.stop)
        if config.has_schedules:
            self._start_schedules(config)
        self._start_records(config)
        self.watch = ServiceWatch(config.url, CLOCK)
        self.watch.start()
        self._cleanups.append(self.watch.stop)
        if ended.is_set():
            raise Interrupted
        self.started = True

    def addresses(self) -> tuple[str, str]:
        """Return names and addresses of Kafka and Redis, for display."""
        return self._servers.names()

    def check(self) -> None:
        """Check all parts. Raises DevServerError if a part has ended unexpectedly."""
        self._servers.check()
        failures = [("the producers", self.producers.failure), ("the reader of ticks", self.watch.failure)]
        failures.append(("the second stage", self.second_stage.failure))
        failures += [(f"consumer-{number}", one.failure) for number, one in enumerate(self.consumers, 1)]
        if self.schedules is not None:
            failures.append(("the writer of schedules or the reader of due records", self.schedules.failure))
        for part, failure in failures:
            if failure is not None:
                raise DevServerError(f"{part} of the demo failed: {type(failure).__name__}: {failure}") from failure
        for program, name in ((self.programs.worker, "worker"), (self.programs.jobs, "beat by the clock")):
            if not program.running:
                raise DevServerError(f"the Celery {name} ended by itself. {program.log_tail()}")
        if self.schedules is not None and not self.scheduler.running:
            raise DevServerError(f"the scheduler ended by itself. {self.scheduler.log_tail()}")
        if not self.service.running:
            raise DevServerError("the service ended by itself")

    def end(self, keep_logs: bool) -> None:
        """Stop every part, in the reverse order of the start."""
        while self._cleanups:
            self._cleanups.pop()()
        self._listener.close()
        setup_logging("text", level="CRITICAL")
        self._log.close()
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> DemoConfig:
        """Build the configuration and create the topics. At the end, remove the demo's data from shared servers."""
        own_kafka, own_redis = self._servers.kafka is not None, self._servers.valkey is not None
        port = int(self._listener.getsockname()[1])
        config = DemoConfig(self._servers.bootstrap, self._servers.redis_url, own_kafka, own_redis, new_demo_id(), port)
        settings = config.settings()
        if not own_redis:
            check_redis(settings)
            self._cleanups.append(lambda: remove_keys(settings, config))
        create_topics(config)
        if not own_kafka:
            self._cleanups.append(lambda: remove_topics(config))
        return config

    def _start_programs(self, config: DemoConfig) -> None:
        self.programs = CeleryPrograms(config.write(self.folder), config.jobs_queue)
        self._cleanups.append(self.programs.stop)
        self.programs.start()

    def _start_schedules(self, config: DemoConfig) -> None:
        self.scheduler = scheduler_program(self.folder / "clocksvc.yaml")
        self._cleanups.append(self.scheduler.stop)
        self.scheduler.start()
        self.schedules = DemoSchedules(config)
        self._cleanups.append(self.schedules.stop)
        self.schedules.start()

    def _start_records(self, config: DemoConfig) -> None:
        stored = StoredRecords()
        self.second_stage = SecondStage(config, stored)
        self._cleanups.append(self.second_stage.stop)
        self.second_stage.start()
        self.producers = DemoProducers(config, self._rate, stored)
        self.consumers = [DemoConsumer(f"consumer-{number}", config) for number in range(1, _CONSUMERS + 1)]
        self._cleanups.append(self._stop_records)
        self.producers.start()
        for consumer in self.consumers:
            consumer.start()

    def _stop_records(self) -> None:
        for consumer in self.consumers:
            consumer.ask_to_stop()
        self.producers.stop()
        for consumer in self.consumers:
            consumer.join(_JOIN_S)
