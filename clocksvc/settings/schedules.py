"""The section `scheduler`, and a clock's section `schedules`. Must not import the section `clocks`."""

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from pydantic import field_validator, model_validator

from clocksvc.interfaces.due_sink import SinkKind
from clocksvc.interfaces.schedule_topics import MAX_PARTITIONS, due_topic, schedule_topic
from clocksvc.settings.fields import FieldError, Port, Section, Text, raise_errors

_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?)(:[0-9]{1,5})?", re.ASCII)
_ANY_PORT, _LAST_PORT = 0, 65_535


class SchedulesSettings(Section):
    """The schedules of a clock. `partitions` is the number of partitions of both of their topics.

    Due schedules go to the topic of due records, to Celery queues, or to the task platform, as `sink` says.
    """

    partitions: int = 8
    sink: SinkKind = SinkKind.TOPIC

    @field_validator("partitions")
    @classmethod
    def _check_partitions(cls, partitions: int) -> int:
        if not 1 <= partitions <= MAX_PARTITIONS:
            raise ValueError(f"wanted 1 to {MAX_PARTITIONS}")
        return partitions


class SchedulerSettings(Section):
    """The HTTP server of `clocksvc scheduler`.

    Attributes:
        host: the address to listen on. None means `api.host`.
        port: 0 means any free port.
        address: the URL by which other processes of the installation reach this process. None: see
            `advertised_address`.
    """

    host: Text | None = None
    port: Port = 8081
    address: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> "SchedulerSettings":
        errors = []
        if not _ANY_PORT <= self.port <= _LAST_PORT:
            errors.append(FieldError(("port",), f"wanted 1 to {_LAST_PORT}, or 0 for any free port", self.port))
        if self.address is not None and not _URL.fullmatch(self.address):
            wanted = "wanted a URL without path and user, such as http://10.0.0.7:8081"
            errors.append(FieldError(("address",), wanted, self.address))
        raise_errors(errors)
        return self


def advertised_address(scheduler: SchedulerSettings, host: str, port: int, hostname: str) -> str:
    """Return the URL by which other processes reach a scheduler.

    Args:
        host, port: where the process listens.
        hostname: the machine's name. It is used if the process listens on all addresses of the machine.
    """
    if scheduler.address is not None:
        return scheduler.address
    if host.strip("[]") in ("0.0.0.0", "::"):
        host = hostname
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"


class _Clock(Protocol):
    @property
    def topics(self) -> tuple[str, ...]: ...

    @property
    def schedules(self) -> SchedulesSettings | None: ...


def schedules_errors(tick_log: Mapping[str, str], clocks: Mapping[str, _Clock]) -> Iterator[FieldError]:
    """Find contradictions between the topics of schedules and other topics.

    Args:
        tick_log: the topics of the tick log and what each contains.
    """
    for name, clock in clocks.items():
        if clock.schedules is None:
            continue
        for topic in (schedule_topic(name), due_topic(name)):
            if topic in tick_log:
                wanted = f"wanted another tick_log.topic: {topic!r} is a topic of this clock's schedules"
                yield FieldError(("clocks", name, "schedules"), wanted)
            if topic in clock.topics:
                wanted = f"wanted other topics: the scheduler writes {topic!r} when this clock ticks"
                yield FieldError(("clocks", name, "topics"), wanted, topic)
