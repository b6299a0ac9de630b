"""The section `clocks`.

This module checks types. ClockSpec checks the values of each clock.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from clocksvc.clock.spec import DAY_MS, SECOND_MS, ClockSpec, HeartbeatSpec, Source
from clocksvc.errors import InvalidValue
from clocksvc.settings.fields import Duration, FieldError, FieldErrors, Section, WholeSeconds, raise_errors
from clocksvc.settings.schedules import SchedulesSettings
from clocksvc.settings.tasks import TickTaskSettings, check_unique_tasks
from clocksvc.settings.upstreams import UpstreamSettings, expand_names


class HeartbeatSettings(Section):
    """The heartbeats that are sent to every partition of a clock's topics. `every` is in milliseconds."""

    every: WholeSeconds = 60_000
    key: bytes | None = None
    payload: bytes | None = None


class ClockSettings(Section):
    """One clock. Durations are in milliseconds. `name` is the clock's key in the section."""

    name: str = Field(exclude=True, repr=False, description="a name")
    topics: tuple[str, ...] = Field(description="the list of topics that the clock watches")
    group: str = Field(description="the consumer group whose progress counts")
    source: Source = Source.REPORTS
    after: Annotated[tuple[UpstreamSettings, ...], BeforeValidator(expand_names)] = ()
    poll: Duration = 5_000
    drain_delay: Duration = 15_000
    interval: WholeSeconds = 60_000
    max_out_of_orderness: Duration | None = None
    max_future: Duration = 60_000
    max_past: Duration = 7 * DAY_MS
    catch_up_pace: float | None = None
    max_drift: Duration | None = None
    hold_after: Duration | None = None
    heartbeat: HeartbeatSettings | None = HeartbeatSettings()
    recent_ticks: WholeSeconds = 7 * DAY_MS
    tasks: Annotated[tuple[TickTaskSettings, ...], AfterValidator(check_unique_tasks)] = ()
    schedules: SchedulesSettings | None = None

    @field_validator("heartbeat", mode="before")
    @classmethod
    def _reject_switch(cls, value: object) -> object:
        if value is None or isinstance(value, dict | HeartbeatSettings):
            return value
        raise ValueError("wanted fields such as {every: 60s}, or null to switch heartbeats off")

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> "ClockSettings":
        arguments = self._spec_arguments()
        if ("clocks", self.name) in (info.context or ()):  # the name was already reported
            arguments["name"] = "placeholder"
        try:
            ClockSpec(**arguments)
        except InvalidValue as error:
            names = [] if error.field == "clocks" else error.field.split(".")
            path = tuple(int(name) if name.isdigit() else name for name in names)
            raise_errors([FieldError(path, error.wanted, error.value)])
        raise_errors(self._without_effect())
        return self

    def _without_effect(self) -> list[FieldError]:
        if self.source is Source.COMMITTED:
            return []
        wanted = "wanted source: committed, because it has no effect on a clock with the reports of consumers"
        fields = [name for name in ("poll", "drain_delay") if name in self.model_fields_set]
        return [FieldError((name,), wanted, f"{getattr(self, name) / SECOND_MS:.10g}s") for name in fields]

    def spec(self, *, require_topic_ids: bool, heartbeat_offset_ms: int) -> ClockSpec:
        """Return the clock as a ClockSpec."""
        return ClockSpec(**self._spec_arguments(heartbeat_offset_ms), require_topic_ids=require_topic_ids)

    def heartbeat_every_ms(self) -> int | None:
        """Return the time between two rounds of heartbeats; None if heartbeats are off."""
        heartbeat = self._heartbeat()
        if heartbeat is None or "every" in heartbeat.model_fields_set:
            return None if heartbeat is None else heartbeat.every
        # If `every` is not set, a short interval must not be an error. Therefore the default is at most the interval.
        return min(heartbeat.every, max(self.interval, SECOND_MS))

    def _heartbeat(self) -> HeartbeatSettings | None:
        """Return the heartbeats. Clocks from committed offsets have none, unless they are set, which is an error."""
        unset = "heartbeat" not in self.model_fields_set
        return None if unset and self.source is Source.COMMITTED else self.heartbeat

    def _spec_arguments(self, heartbeat_offset_ms: int = 0) -> dict[str, Any]:
        heartbeat, every_ms = self._heartbeat(), self.heartbeat_every_ms()
        beats = None
        if heartbeat is not None and every_ms is not None:
            beats = HeartbeatSpec(every_ms, heartbeat.key, heartbeat.payload, heartbeat_offset_ms)
        return {
            "name": self.name,
            "topics": self.topics,
            "group": self.group,
            "interval_ms": self.interval,
            "max_out_of_orderness_ms": self.max_out_of_orderness,
            "max_future_ms": self.max_future,
            "max_past_ms": self.max_past,
            "catch_up_pace": self.catch_up_pace,
            "max_drift_ms": self.max_drift,
            "hold_after_ms": self.hold_after,
            "recent_ticks_ms": self.recent_ticks,
            "heartbeat": beats,
            "source": self.source,
            "after": tuple(upstream.spec() for upstream in self.after),
            "poll_ms": self.poll,
            "drain_delay_ms": self.drain_delay,
        }


def add_names(clocks: object) -> object:
    """Put each clock's key into its mapping as `name`. Other values are unchanged, and rejected later."""
    if not isinstance(clocks, dict):
        return clocks
    errors = []
    for name, clock in clocks.items():
        if not isinstance(name, str):
            errors.append(FieldError((str(name),), "wanted text as a clock's name: put it in quotes"))
        elif isinstance(clock, dict) and "name" in clock:
            errors.append(FieldError((name, "name"), "unknown field: a clock's name is its key under `clocks`"))
    raise_errors(errors)
    return {name: {**clock, "name": name} if isinstance(clock, dict) else clock for name, clock in clocks.items()}


def check_clocks(clocks: dict[str, ClockSettings]) -> dict[str, ClockSettings]:
    """Check that there is at least one clock.

    Raises:
        FieldErrors: there is none.
    """
    if not clocks:
        raise FieldErrors([FieldError((), "wanted at least one clock")])
    return clocks
