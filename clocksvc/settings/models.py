"""The configuration as a whole: the sections, what must hold between them, and what the parts take from it.

Must not read files or the environment: that is `load`.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from clocksvc.clock.spec import ClockSpec
from clocksvc.settings.api import ApiSettings
from clocksvc.settings.celery import CelerySettings, broker_from_redis
from clocksvc.settings.clocks import ClockSettings, check_together, with_names
from clocksvc.settings.fields import Finding, Section, refuse
from clocksvc.settings.kafka import KafkaSettings
from clocksvc.settings.redis import RedisSettings
from clocksvc.settings.suggestion import suggestion


class Settings(Section):
    """Everything that can be configured. No secret shows in its repr or in `model_dump`."""

    redis: RedisSettings = RedisSettings()
    kafka: KafkaSettings = KafkaSettings({})
    celery: CelerySettings = CelerySettings()
    clocks: Annotated[dict[str, ClockSettings], BeforeValidator(with_names), AfterValidator(check_together)] = Field(
        description="at least one clock"
    )
    api: ApiSettings = ApiSettings()

    @model_validator(mode="after")
    def _sections_fit(self) -> "Settings":
        findings = []
        if self.redis.cluster and self.celery.broker_url is None:
            wanted = "wanted a broker's URL, because a Redis cluster (redis.cluster) can't be one"
            findings.append(Finding(("celery", "broker_url"), wanted, None))
        for index, token in enumerate(self.api.tokens):
            for position, clock in enumerate(token.clocks or ()):
                if clock not in self.clocks:
                    wanted = f"wanted a configured clock{suggestion(clock, self.clocks)}"
                    findings.append(Finding(("api", "tokens", index, "clocks", position), wanted, clock))
        refuse(findings)
        return self

    def clock_specs(self) -> dict[str, ClockSpec]:
        """Every clock by its name."""
        return {name: clock.spec() for name, clock in self.clocks.items()}

    def kafka_settings(self) -> dict[str, str]:
        """What every Kafka client is given, secrets in the clear. The keepers add what the promises need."""
        return self.kafka.in_the_clear()

    def celery_broker(self) -> tuple[str, dict[str, Any]]:
        """The broker's URL, password in the clear, and Celery's `broker_transport_options`."""
        if self.celery.broker_url is not None:
            return self.celery.broker_url.get_secret_value(), {}
        return broker_from_redis(self.redis)
