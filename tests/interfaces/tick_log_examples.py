"""Records of tick logs, as examples."""

import json
from collections.abc import Sequence
from typing import Any

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import ClockState, LogEntry, Message, Record, encode_message
from clocksvc.clock.logs import log_of
from clocksvc.clock.overrides import Exclusion
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick

CLOCK = "checkins"
LOG = log_of(CLOCK)
MINUTE_MS = 60_000
OWNER = LogOwner(Installation("clocksvc", "redis:6379"), "a1")


class KeepAliveCounter:
    """Counts the calls of `keep_alive`; each raises the given exception."""

    def __init__(self, raises: BaseException | None = None) -> None:
        self.calls = 0
        self._raises = raises

    def __call__(self) -> None:
        self.calls += 1
        if self._raises is not None:
            raise self._raises


def tick(minute: int, clock: str = CLOCK) -> Record:
    """The tick of a minute since the epoch, with a state in which all fields are set."""
    at_ms = minute * MINUTE_MS
    state = ClockState(
        last_tick_ms=at_ms,
        last_emitted_ms=at_ms + 500,
        exclusions=(Exclusion(Partition("ingest", 3), "ann", 7_000, "broken disk"),),
        topics={"ingest": TopicMetadata("abc", 4)},
    )
    return Record(
        clock, state, Tick(clock, at_ms, at_ms - MINUTE_MS, MINUTE_MS, at_ms + 500, (Partition("ingest", 3),))
    )


def ticks(first: int, count: int) -> list[Record]:
    """The ticks of `count` minutes."""
    return [tick(minute) for minute in range(first, first + count)]


def messages(first: int, count: int = 1) -> list[Message]:
    """The ticks of `count` minutes, encoded."""
    return [encode_message(record) for record in ticks(first, count)]


def control(last_tick_minute: int) -> Record:
    """A control record, as `init` writes it."""
    return Record(CLOCK, ClockState(last_tick_ms=last_tick_minute * MINUTE_MS))


def foreign(value: dict[str, Any] | bytes | None, kind: str | None = "tick", key: bytes = CLOCK.encode()) -> Message:
    """A record that clocksvc did not write."""
    return Message(key, json.dumps(value).encode() if isinstance(value, dict) else value, kind)


def minutes(seen: Sequence[Message | LogEntry]) -> list[int]:
    """The minutes of the ticks among messages, in their order."""
    found = [one.message if isinstance(one, LogEntry) else one for one in seen]
    return [json.loads(one.value or b"")["timestamp_seconds"] // 60 for one in found if one.type == "tick"]
