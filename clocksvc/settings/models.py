"""The complete configuration: its sections, the checks across sections, and values for other packages.

Must not read files or environment variables. The module `load` reads them.
"""

from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from clocksvc.clock.spec import ClockSpec, UpstreamSpec, spread_heartbeats, wanted_clock
from clocksvc.errors import UnknownClock
from clocksvc.interfaces.schedule_topics import SchedulesSpec
from clocksvc.interfaces.task_routes import OnExhaustion, PlatformTask, Routes, worker_namespace
from clocksvc.settings.api import ApiSettings
from clocksvc.settings.clocks import ClockSettings, add_names, check_clocks
from clocksvc.settings.fields import FieldError, Section, Text, raise_errors
from clocksvc.settings.kafka import KafkaSettings
from clocksvc.settings.redis import RedisSettings, broker_from_redis
from clocksvc.settings.schedules import SchedulerSettings, schedules_errors
from clocksvc.settings.tasks import (
    CelerySettings,
    NamespaceSettings,
    TaskbrokerSettings,
    TickTaskSettings,
    check_route_names,
    sink_errors,
    taskbroker_errors,
)
from clocksvc.settings.tick_log import TickLogSettings, tick_log_errors, tick_log_topics
from clocksvc.settings.upstreams import upstream_errors

_SHOWN = 100
"""The largest number of characters of an unknown clock's name in an error. The name may come from a message."""


class MetricsSettings(Section):
    """Which metrics are exported. `per_partition` False omits the series of each partition."""

    per_partition: bool = True


class TracingSettings(Section):
    """`task_headers` True gives tasks the trace context of their tick."""

    task_headers: bool = False


class Settings(Section):
    """The complete configuration. Neither its repr nor `model_dump` shows a secret."""

    redis: RedisSettings = RedisSettings()
    kafka: KafkaSettings = KafkaSettings({})
    tick_log: TickLogSettings = TickLogSettings()
    celery: CelerySettings = CelerySettings()
    clocks: Annotated[dict[str, ClockSettings], BeforeValidator(add_names), AfterValidator(check_clocks)] = Field(
        description="at least one clock"
    )
    api: ApiSettings = ApiSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    namespaces: Annotated[dict[Text, NamespaceSettings], AfterValidator(check_route_names)] = Field(
        default_factory=dict
    )
    route_overrides: Annotated[dict[Text, Text], AfterValidator(check_route_names)] = Field(default_factory=dict)
    taskbroker: TaskbrokerSettings = TaskbrokerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()

    @model_validator(mode="after")
    def _check_across_sections(self) -> "Settings":
        errors = []
        if self.redis.cluster and self.celery.broker_url is None:
            wanted = "wanted a broker's URL, because Celery can't use a Redis cluster (redis.cluster)"
            errors.append(FieldError(("celery", "broker_url"), wanted, None))
        for index, token in enumerate(self.api.tokens):
            for position, clock in enumerate(token.clocks or ()):
                if clock not in self.clocks:
                    wanted = wanted_clock(clock, self.clocks)
                    errors.append(FieldError(("api", "tokens", index, "clocks", position), wanted, clock))
        errors += tick_log_errors(self.tick_log, self.clocks)
        errors += schedules_errors(tick_log_topics(self.tick_log), self.clocks)
        errors += upstream_errors(self.clocks, topic_ids=self.kafka.topic_ids)
        tasks = {name: clock.tasks for name, clock in self.clocks.items()}
        errors += taskbroker_errors(self.taskbroker, self.routes(), tasks)
        sinks = {name: clock.schedules.sink for name, clock in self.clocks.items() if clock.schedules is not None}
        errors += sink_errors(self.taskbroker, self.routes(), sinks)
        raise_errors(errors)
        return self

    def clock_specs(self) -> dict[str, ClockSpec]:
        """Return the clocks by name."""
        return {name: self.clock_spec(name) for name in self.clocks}

    def clock_spec(self, name: str) -> ClockSpec:
        """Return one clock.

        Raises:
            UnknownClock: no clock with this name is configured.
        """
        if name not in self.clocks:
            raise UnknownClock(f"no clock {name[:_SHOWN]!r} is configured: {wanted_clock(name, self.clocks)}")
        offset_ms = self._heartbeat_offsets.get(name, 0)
        return self.clocks[name].spec(require_topic_ids=self.kafka.topic_ids, heartbeat_offset_ms=offset_ms)

    @cached_property
    def _heartbeat_offsets(self) -> dict[str, int]:
        every_ms = {name: clock.heartbeat_every_ms() for name, clock in self.clocks.items()}
        return spread_heartbeats({name: one for name, one in every_ms.items() if one is not None})

    def upstream_tokens(self) -> dict[UpstreamSpec, str]:
        """Return the tokens, in plain text, for upstream clocks of other services. One without a token is absent."""
        return {
            upstream.spec(): upstream.token.get_secret_value()
            for clock in self.clocks.values()
            for upstream in clock.after
            if upstream.token is not None
        }

    def schedules_specs(self) -> dict[str, SchedulesSpec]:
        """Return the schedules of each clock that has some, by the clock's name."""
        return {
            name: SchedulesSpec(name, clock.schedules.partitions, clock.schedules.sink)
            for name, clock in self.clocks.items()
            if clock.schedules is not None
        }

    def routes(self) -> Routes:
        """Return the routes, which select the queue or topic of each task."""
        destinations = {name: one.destination for name, one in self.namespaces.items()}
        platform = {name for name, one in self.namespaces.items() if one.topic is not None}
        return Routes(destinations, self.route_overrides, platform)

    def platform_task(self, task: TickTaskSettings) -> PlatformTask | None:
        """Return the task for the task platform; None if the task is sent to a Celery queue."""
        routes = self.routes()
        topic, namespace = routes.topic(task.route), routes.namespace(task.route)
        application = task.application or self.taskbroker.application
        if topic is None or namespace is None or application is None:
            return None
        settings = self.namespaces[namespace]
        expires_ms = settings.expires if task.expires is None else task.expires
        return PlatformTask(
            topic=topic,
            application=application,
            namespace=worker_namespace(task.route),
            name=task.task,
            processing_deadline_s=(task.processing_deadline or settings.processing_deadline) // 1000,
            expires_s=None if expires_ms is None else expires_ms // 1000,
            arguments=task.arguments,
            max_attempts=task.max_attempts,
            at_most_once=task.at_most_once,
            on_exhaustion=OnExhaustion(task.on_exhaustion),
        )

    def platform_task_of_schedule(self, task: str) -> PlatformTask | None:
        """Return what is sent to the task platform for a schedule's task; None if the task has no route to a topic.

        A schedule has a namespace and a name, such as `uptime.check`. The worker has them in the same way.
        """
        return self.platform_task(TickTaskSettings(task=task.rpartition(".")[2], name=task))

    def kafka_settings(self) -> dict[str, str]:
        """Return the user's settings for every Kafka client, with secrets in plain text."""
        return self.kafka.reveal()

    def celery_broker(self) -> tuple[str, dict[str, Any]]:
        """Return the broker's URL, with its password in plain text, and Celery's `broker_transport_options`."""
        if self.celery.broker_url is not None:
            return self.celery.broker_url.get_secret_value(), {}
        return broker_from_redis(self.redis)
