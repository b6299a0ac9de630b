"""What sends tasks by a clock: follows its tick log, hands due tasks to a broker, and moves its position afterwards.

At least once: a crash between the two sends again what was sent, under the same ids. Any number of processes may run
one dispatcher; one has the turn, and a process that lost it unawares is stopped by the fencing of the positions.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clocksvc.errors import (
    Fenced,
    InvalidValue,
    OpenTransaction,
    OutcomeUnknown,
    TaskQueueUnavailable,
    Unavailable,
    UnreadableRecord,
)
from clocksvc.interfaces.checkpoints import (
    OWN_KEY,
    Checkpoint,
    Checkpoints,
)
from clocksvc.interfaces.schedule import Entry
from clocksvc.interfaces.task_queue import (
    DueTask,
    TaskQueue,
)
from clocksvc.interfaces.tick_consumer import (
    TickConsumer,
    TickWithOffset,
)
from clocksvc.interfaces.time import Time
from clocksvc.jobs.due_tasks import (
    Due,
    plan,
)
from clocksvc.runtime.backoff import CONNECTION, Backoff

logger = logging.getLogger("clocksvc.dispatcher")

SAVE_EVERY = 100
GATHER_AT_MOST = 100_000
"""So many ticks of a backlog are seen at once, more than a day of a clock of 1 s: of these the last one is known."""
OUTCOMES = ("sent", "expired", "rejected")
"""The outcome of a due time: its task was sent, was older than its `max_age`, or was rejected by the task queue."""


class DispatcherObserver(Protocol):
    """Who is told what a dispatcher does. Must not block or raise."""

    def sent(self, entry: Entry, outcome: str) -> None:
        """One due time is dealt with, with one of `OUTCOMES`."""

    def stands(self, at_ms: int | None) -> None:
        """Up to where everything was sent; None while another process has the turn, or it is not known."""

    def close(self) -> None:
        """The dispatcher has ended; may take a moment."""


class NoDispatcherObserver:
    """Nobody watches."""

    def sent(self, entry: Entry, outcome: str) -> None:
        pass

    def stands(self, at_ms: int | None) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(slots=True)
class _Assignment:
    """What a dispatcher holds in its hands during its turn. `at` None: before the clock's first tick.

    `anchored`: the first tick read has to be the one at `at`, or its offset is not what it was.
    """

    number: int
    since_ms: dict[str, int]
    at: Checkpoint | None
    backlog_until_ms: int
    pending: list[TickWithOffset] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    unsaved: int = 0
    anchored: bool = False

    @property
    def at_ms(self) -> int | None:
        """Up to where everything was sent."""
        return None if self.at is None else self.at.at_ms


class TaskDispatcher:
    """One dispatcher of one clock in this process. Not thread safe: one thread steps it.

    Args:
        clock, name: positions and task ids belong to both.
        entries: each name once; a name is never the empty one.
    """

    def __init__(
        self,
        clock: str,
        name: str,
        entries: Sequence[Entry],
        subscription: TickConsumer,
        positions: Checkpoints,
        broker: TaskQueue,
        time: Time,
        observer: DispatcherObserver | None = None,
    ) -> None:
        self._clock, self._name, self._entries = clock, name, tuple(entries)
        self._subscription, self._positions, self._broker, self._time = subscription, positions, broker, time
        self._observer = observer or NoDispatcherObserver()
        self._backoff = Backoff(CONNECTION)
        self._turn: _Assignment | None = None

    def step(self, timeout_s: float = 1.0) -> float:
        """Send what is due, or wait for it for `timeout_s` at most; seconds until the next step is wanted."""
        try:
            self._advance(timeout_s)
        except TaskQueueUnavailable as error:
            return self._again(error)
        except (Fenced, OutcomeUnknown, OpenTransaction, UnreadableRecord, Unavailable) as error:
            self._turn = None
            self._observer.stands(None)
            return self._again(error)
        self._backoff.reset()
        return 0.0

    def close(self) -> None:
        """Give the turn to another process."""
        self._turn = None
        self._subscription.close()
        self._positions.close()
        self._observer.close()

    def _again(self, error: Exception) -> float:
        wait_s = self._backoff.next()
        logger.warning("dispatcher retries", extra=self._extra(detail=f"{type(error).__name__}: {error}", in_s=wait_s))
        return wait_s

    def _advance(self, timeout_s: float) -> None:
        number = self._subscription.assignment_epoch
        if number is None:
            if self._turn is not None:
                logger.info("another process dispatches", extra=self._extra())
                self._observer.stands(None)
            self._turn = None
            self._subscription.poll(timeout_s)
        elif self._turn is None or self._turn.number != number:
            self._turn = self._begin(number)
        elif self._gathered(self._turn, timeout_s):
            self._send(self._turn)

    # -- the beginning of a turn ------------------------------------------------------------------------------------

    def _begin(self, number: int) -> _Assignment:
        known = self._positions.acquire(_nothing)
        last_ms = self._subscription.last_tick_ms(_nothing)
        at = known.get(OWN_KEY)
        moves: dict[str, Checkpoint | None] = {name: None for name in known if name and name not in self._names()}
        if not known and last_ms is not None:
            at = moves[OWN_KEY] = Checkpoint(last_ms)
        since_ms = {}
        for entry in self._entries:
            position = known.get(entry.name)
            if position is None or position.schedule != entry.schedule.words():
                # What is new, or is due at other times now, is not due for time before it existed.
                position = moves[entry.name] = Checkpoint(last_ms or 0, schedule=entry.schedule.words())
            since_ms[entry.name] = position.at_ms
        if moves:
            self._positions.commit(moves, _nothing)
        self._subscription.seek(at)
        turn = _Assignment(number, since_ms, at, last_ms or 0, anchored=at is not None and at.offset is not None)
        logger.info("dispatching", extra=self._extra(after_ms=turn.at_ms, changed=sorted(moves)))
        self._observer.stands(turn.at_ms)
        return turn

    def _names(self) -> set[str]:
        return {entry.name for entry in self._entries}

    # -- ticks ------------------------------------------------------------------------------------------------------

    def _gathered(self, turn: _Assignment, timeout_s: float) -> bool:
        """Read on; whether there are ticks to be sent: of a backlog all, so that the last due time of it is known."""
        for found in self._subscription.poll(0.0 if turn.pending and not self._behind(turn) else timeout_s):
            if turn.anchored and found.tick.at_ms != turn.at_ms:
                logger.warning("checkpoint offset no longer matches the tick log", extra=self._extra())
                self._search(turn)
                return False
            turn.anchored = False
            self._take(turn, found)
        return bool(turn.pending) and not self._behind(turn)

    def _search(self, turn: _Assignment) -> None:
        """The remembered offset is not the right one (any more): look for the position's time from the beginning."""
        turn.anchored = False
        turn.pending.clear()
        self._subscription.seek(None)

    def _take(self, turn: _Assignment, found: TickWithOffset) -> None:
        before_ms = turn.pending[-1].tick.at_ms if turn.pending else turn.at_ms
        if before_ms is not None and found.tick.at_ms <= before_ms:
            return
        previous_ms = found.tick.previous_ms
        if before_ms is not None and previous_ms is not None and previous_ms > before_ms:
            logger.warning(
                "ticks were removed from the tick log", extra=self._extra(after_ms=before_ms, to_ms=previous_ms)
            )
        turn.pending.append(found)

    def _behind(self, turn: _Assignment) -> bool:
        reached_ms = turn.pending[-1].tick.at_ms if turn.pending else 0
        return len(turn.pending) < GATHER_AT_MOST and reached_ms < turn.backlog_until_ms

    def _send(self, turn: _Assignment) -> None:
        try:
            self._send_pending(turn)
        except Exception:
            # Not when the process is told to end: then the positions may be closed already, and that would hide it.
            self._save(turn)
            raise
        self._save(turn)

    def _send_pending(self, turn: _Assignment) -> None:
        offsets = {found.tick.at_ms: found.offset for found in turn.pending}
        ticks = [found.tick for found in turn.pending]
        for tick, due in plan(self._entries, turn.since_ms, turn.at_ms, ticks, self._time.now_ms()):
            for one in due:
                self._send_one(turn, one)
            turn.sent.clear()
            turn.at = Checkpoint(tick.at_ms, offsets[tick.at_ms])
            turn.pending.pop(0)
            turn.unsaved += 1
            if turn.unsaved >= SAVE_EVERY:
                self._save(turn)

    def _send_one(self, turn: _Assignment, due: Due) -> None:
        sending = DueTask(self._clock, self._name, due.entry.name, due.at_ms, due.tick)
        if sending.id in turn.sent:
            return
        outcome = "expired"
        if not due.expired:
            outcome = self._handed_on(sending)
        turn.sent.add(sending.id)
        self._observer.sent(due.entry, outcome)

    def _handed_on(self, sending: DueTask) -> str:
        try:
            self._broker.send(sending)
        except InvalidValue as error:
            # It would be refused for ever, and must not hold the others up.
            logger.error("task rejected", extra=self._extra(entry=sending.entry, id=sending.id, detail=str(error)))
            return "rejected"
        return "sent"

    def _save(self, turn: _Assignment) -> None:
        if turn.unsaved and turn.at is not None:
            self._positions.commit({OWN_KEY: turn.at}, _nothing)
            turn.unsaved = 0
            self._observer.stands(turn.at.at_ms)

    def _extra(self, **details: object) -> dict[str, object]:
        return {"clock": self._clock, "dispatcher": self._name, **details}


def _nothing() -> None:
    return None
