"""Moves changes of schedules from a database to the topic of a clock's schedules.

A step reads the newest change of each of some ids, writes them to the topic in one transaction, and then removes them
and all older changes of these ids. A relay reads changes only after a fence, and forgets them before the
next fence. So a record that a relay writes is at least as new as all records of its id in the topic, also if
relays die at any point, are suspended, or run at the same time: the topic never goes back to an older schedule.

At least once: a relay that dies between the commit and the removal leaves changes that are written again.
"""

import json
import logging
import math
from dataclasses import dataclass, replace
from typing import NoReturn

from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import Fenced, InvalidValue, OutcomeUnknown, RecordRejected, Unavailable
from clocksvc.interfaces.outbox import Change, Oldest, OutboxTopic, PendingChanges
from clocksvc.interfaces.schedule_topics import parse_id
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers
from clocksvc.schedules.schedule import LATEST_MS, parse_schedule

logger = logging.getLogger("clocksvc.outbox")

BATCH = 500
"""How many ids a transaction has at most. With payloads of 64 KiB, this is 32 MiB."""
POLL_S = 0.2
"""How long a relay waits after a step that has moved all changes."""
STANDBY_AFTER_S = 10.0
"""A relay that was fenced takes over if the oldest change waits for this long without being moved."""
COUNT_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class RelayStats:
    """What one relay has done since its start.

    Attributes:
        puts, deletes: records that were written to the topic and acknowledged.
        rejected: changes that were moved to the rejected ones.
        active: False while another relay has fenced this one, and before the first fence.
        pending: the changes that waited when they were last counted; None if they were not counted yet.
        oldest_ms: when the oldest of them was written; None if none waits.
    """

    puts: int = 0
    deletes: int = 0
    rejected: int = 0
    active: bool = False
    pending: int | None = None
    oldest_ms: int | None = None


class Relay:
    """One relay of a clock's outbox. One thread calls `step`; any thread may read `stats`.

    Args:
        interval_ms: the clock's interval, for the check of schedules.
    """

    def __init__(self, clock: str, interval_ms: int, changes: PendingChanges, topic: OutboxTopic, time: Time) -> None:
        self.stats = RelayStats()
        self._clock, self._interval_ms = clock, interval_ms
        self._changes, self._topic, self._time = changes, topic, time
        self._fenced = False
        self._standby: _Standby | None = None
        self._count_at = time.monotonic()
        self._backoff, self._repeated_lines = Backoff(CONNECTION), RepeatedLines(logger)

    def step(self) -> float:
        """Move some changes, and return the seconds to wait before the next call. Outages are logged and not raised.

        Blocks for the time-outs of the database and of Kafka at most.
        """
        try:
            wait_s = self._advance()
        except Fenced as error:
            self._stand_by(error)
            return POLL_S
        except (OutcomeUnknown, Unavailable, InvalidValue, RecordRejected) as error:
            return self._retry_later(error)
        self._backoff.reset()
        self._repeated_lines.clear()
        return wait_s

    def _advance(self) -> float:
        self._count()
        if self._standby is not None and not self._takes_over(self._standby):
            return 1.0
        if not self._fenced:
            self._topic.fence()
            self._fenced = True
            self._standby = None
            self.stats = replace(self.stats, active=True)
            logger.info("this relay moves the changes of clock %s now", self._clock, extra=self._extra())
        found = self._changes.newest(BATCH)
        self._move(found)
        return 0.0 if len(found) == BATCH else POLL_S

    def _move(self, found: list[Change]) -> None:
        records, moved = {}, []
        for change in found:
            try:
                records[change.id] = encode(change, self._interval_ms)
            except InvalidValue as error:
                self._reject(change, str(error))
            else:
                moved.append(change)
        if not moved:
            return
        try:
            self._write(records)
        except RecordRejected as error:
            named = [change for change in moved if change.id.encode() in error.keys]
            if not named:
                raise
            for change in named:
                self._reject(change, str(error))
            return
        self._changes.remove(moved)
        deletes = sum(1 for change in moved if change.value is None)
        stats = self.stats
        self.stats = replace(stats, puts=stats.puts + len(moved) - deletes, deletes=stats.deletes + deletes)

    def _write(self, records: dict[str, bytes | None]) -> None:
        # After an error, what was read is forgotten, and the topic must be fenced before the next reading.
        self._fenced = False
        self._topic.write(records)
        self._fenced = True

    def _reject(self, change: Change, problem: str) -> None:
        self._changes.reject(change, problem)
        self.stats = replace(self.stats, rejected=self.stats.rejected + 1)
        logger.error(
            "change %d of schedule %r can't be relayed and was moved to the rejected ones: %s",
            *(change.number, change.id, problem),
            extra=self._extra(number=change.number, schedule=change.id),
        )

    def _takes_over(self, standby: "_Standby") -> bool:
        """Return whether the active relay has not moved the oldest change for so long that this one takes over."""
        now_s, oldest = self._time.monotonic(), self._changes.oldest()
        if oldest is None or oldest != standby.oldest:
            standby.oldest, standby.since_s = oldest, now_s
            return False
        if now_s - standby.since_s < STANDBY_AFTER_S:
            return False
        logger.warning(
            "this relay takes over: change %d, written at %s, waits and the other relay does not move it",
            *(oldest.number, to_rfc3339(oldest.written_ms)),
            extra=self._extra(),
        )
        return True

    def _stand_by(self, error: Fenced) -> None:
        self._standby = _Standby(None, self._time.monotonic())
        self._fenced = False
        self.stats = replace(self.stats, active=False)
        logger.warning(
            "another relay of this outbox has taken over, or this one was suspended; it is a standby now: %s",
            error,
            extra=self._extra(),
        )

    def _count(self) -> None:
        if self._time.monotonic() < self._count_at:
            return
        oldest = self._changes.oldest()
        pending = 0 if oldest is None else self._changes.count()
        self.stats = replace(self.stats, pending=pending, oldest_ms=None if oldest is None else oldest.written_ms)
        self._count_at = self._time.monotonic() + COUNT_EVERY_S

    def _retry_later(self, error: Exception) -> float:
        wait_s = self._backoff.next()
        detail = f"{type(error).__name__}: {error}"
        self._repeated_lines.log(
            self._time.monotonic(),
            logging.WARNING if isinstance(error, OutcomeUnknown | Unavailable) else logging.ERROR,
            without_numbers(detail),
            "the outbox is not relayed, next attempt in %.1f s: %s",
            *(wait_s, detail),
            extra=self._extra(),
        )
        return wait_s

    def _extra(self, **details: object) -> dict[str, object]:
        return {"clock": self._clock, **details}


@dataclass(slots=True)
class _Standby:
    """What a fenced relay remembers: the oldest change, and since when it is the oldest one."""

    oldest: Oldest | None
    since_s: float


def encode(change: Change, interval_ms: int) -> bytes | None:
    """Return the value of a change's record; None if it deletes the schedule.

    Raises:
        InvalidValue: the change is not valid.
    """
    parse_id(change.id)
    if change.value is None:
        return None
    if not 0 <= change.created_ms <= LATEST_MS:
        raise InvalidValue("created_ms", change.created_ms, "wanted ms since the epoch, before the year 9000")
    try:
        fields = json.loads(change.value, parse_constant=_not_json, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidValue("value", f"{change.value[:80]}", f"wanted JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidValue("value", f"{change.value[:80]}", "wanted a JSON object")
    return parse_schedule(fields, interval_ms, change.created_ms).encode()


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large")
    return number
