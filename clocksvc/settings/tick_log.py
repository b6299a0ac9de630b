"""The section `tick_log`: the topic with the ticks of all clocks. Must not import the section `clocks`."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from pydantic import field_validator

from clocksvc.clock.spec import DAY_MS, SECOND_MS, check_topic_name
from clocksvc.errors import InvalidValue
from clocksvc.interfaces.checkpoints import checkpoint_topic
from clocksvc.settings.fields import FieldError, Section, WholeSeconds


class TickLogSettings(Section):
    """The topic of the tick log. All ticks that are younger than `keep` (ms) stay in it."""

    topic: str = "clocksvc-ticks"
    keep: WholeSeconds = 30 * DAY_MS

    @field_validator("topic")
    @classmethod
    def _check_topic(cls, topic: str) -> str:
        try:
            check_topic_name("topic", topic)
            check_topic_name("topic", checkpoint_topic(topic))
        except InvalidValue as error:
            suffix = checkpoint_topic("")
            raise ValueError(f"{error.wanted}; {suffix!r} is appended for the topic of the checkpoints") from None
        return topic


class _Clock(Protocol):
    @property
    def topics(self) -> tuple[str, ...]: ...

    @property
    def recent_ticks(self) -> int: ...


def tick_log_topics(tick_log: TickLogSettings) -> dict[str, str]:
    """Return the topics that belong to the tick log, and what each is."""
    return {
        tick_log.topic: "this one is the tick log (tick_log.topic)",
        checkpoint_topic(tick_log.topic): "this one contains the checkpoints of dispatchers (tick_log.topic)",
    }


def tick_log_errors(tick_log: TickLogSettings, clocks: Mapping[str, _Clock]) -> Iterator[FieldError]:
    """Find contradictions between the sections `tick_log` and `clocks`."""
    purposes = tick_log_topics(tick_log)
    keep = f"{tick_log.keep / SECOND_MS:.10g}s"
    for name, clock in clocks.items():
        for topic in clock.topics:
            if topic in purposes:
                yield FieldError(("clocks", name, "topics"), f"wanted other topics: {purposes[topic]}", topic)
        if clock.recent_ticks > tick_log.keep:
            wanted = f"wanted at most {keep}, which is tick_log.keep: older ticks can't be restored"
            recent = f"{clock.recent_ticks / SECOND_MS:.10g}s"
            yield FieldError(("clocks", name, "recent_ticks"), wanted, recent)
