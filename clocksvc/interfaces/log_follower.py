"""Follows several logs of the tick log: all committed records from an offset on, as they come. For one thread."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from clocksvc.clock.log_record import LogEntry


class FollowedEntries(NamedTuple):
    """What one poll has read.

    Attributes:
        entries: the number of a log and a record of it, for each log in the order of offsets.
        lost: why a log can't be followed from its offset, such as that it was recreated. The log is stopped.
        failures: why a log can't be read now. It will be read again.
    """

    entries: list[tuple[int, LogEntry]]
    lost: Mapping[int, str]
    failures: Mapping[int, str]


class LogFollower(Protocol):
    """Reads committed records, without a consumer group."""

    def start(self, log: int, offset: int) -> None:
        """Begin to follow a log at an offset. It must not be followed already.

        Raises:
            TickLogUnavailable: the client rejects it.
        """

    def stop(self, log: int) -> None:
        """End following a log. Without effect if it is not followed.

        Raises:
            TickLogUnavailable: the client rejects it.
        """

    def poll(self, timeout_s: float) -> FollowedEntries:
        """Return the next records of all followed logs, at most some hundreds. Blocks for up to `timeout_s`.

        Raises:
            TickLogUnavailable: the client can't read.
        """

    def close(self) -> None:
        """Close connections. Can be called more than once."""
