"""Partitions, the timestamps that consumers report for them, the outcomes of a report, and lists in messages."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import InvalidValue

MAX_NAMED = 5
"""How many items of a list a message names."""

SECONDS_BELOW_MS = 10**11
"""Timestamps from 0 on and below this look like seconds. As milliseconds, they would be before March 1973."""
MICROSECONDS_FROM_MS = 10**14
"""Timestamps from this on look like microseconds. As milliseconds, they would be after the year 5138."""
_NANOSECONDS_FROM_MS = 10**17

_TEXT = re.compile(r"(.+):(0|[1-9][0-9]*)")


class Partition(NamedTuple):
    """A partition of a Kafka topic. Its text form is `topic:partition`."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Partition":
        """Parse `topic:partition`.

        Raises:
            InvalidValue: the text has another form.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise InvalidValue("partition", text, "wanted topic:partition, such as ingest-checkins:0")
        return cls(match[1], int(match[2]))


class Outcome(StrEnum):
    """The outcome of one reported timestamp."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"
    TOO_FAR_AHEAD = "too_far_ahead"
    NO_TIMESTAMP = "no_timestamp"
    NOT_MILLISECONDS = "not_milliseconds"
    FOREIGN_GROUP = "foreign_group"
    FOREIGN_TOPIC = "foreign_topic"


REJECTIONS = frozenset(
    {
        Outcome.TOO_FAR_AHEAD,
        Outcome.NO_TIMESTAMP,
        Outcome.NOT_MILLISECONDS,
        Outcome.FOREIGN_GROUP,
        Outcome.FOREIGN_TOPIC,
    }
)


class PartitionTimestamp(NamedTuple):
    """The highest raw record timestamp that a consumer has processed in a partition."""

    partition: Partition
    timestamp_ms: int


def rejection_reason(timestamp_ms: int, now_ms: int, max_future_ms: int) -> Outcome | None:
    """Return why a timestamp is rejected at the time `now_ms`; None if the timestamp is valid.

    The caller must discard a rejected timestamp. If it were kept as the highest one, later valid timestamps would be
    lower and would not count.
    """
    if timestamp_ms < 0:
        return Outcome.NO_TIMESTAMP
    if timestamp_ms < SECONDS_BELOW_MS or timestamp_ms >= MICROSECONDS_FROM_MS:
        return Outcome.NOT_MILLISECONDS
    if timestamp_ms > now_ms + max_future_ms:
        return Outcome.TOO_FAR_AHEAD
    return None


def describe_rejection(timestamp_ms: int, outcome: Outcome) -> str:
    """Return a text for a rejected timestamp, such as `is 1795348800, looks like seconds, wanted milliseconds`."""
    text = f"is {timestamp_ms}"
    if outcome is Outcome.NO_TIMESTAMP:
        return f"{text}, the record has no timestamp"
    if outcome is Outcome.NOT_MILLISECONDS and timestamp_ms == 0:
        return f"{text}, not set, wanted milliseconds"
    if outcome is Outcome.NOT_MILLISECONDS:
        return f"{text}, looks like {_unit(timestamp_ms)}, wanted milliseconds"
    if outcome is Outcome.TOO_FAR_AHEAD:
        return f"{text} ({to_rfc3339(timestamp_ms)}), further ahead of the present time than max_future"
    return f"{text}, {outcome}"


def _unit(timestamp_ms: int) -> str:
    if timestamp_ms < SECONDS_BELOW_MS:
        return "seconds"
    return "microseconds" if timestamp_ms < _NANOSECONDS_FROM_MS else "nanoseconds"


def name_first(items: Sequence[object], separator: str = ", ") -> str:
    """Return at most `MAX_NAMED` items as text, such as `a, b, c, d, e and 3 more`; "" if there are no items."""
    more = len(items) - MAX_NAMED
    return separator.join(map(str, items[:MAX_NAMED])) + (f" and {more:,} more" if more > 0 else "")
