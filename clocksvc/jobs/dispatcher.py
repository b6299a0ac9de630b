"""Follows a clock's ticks in the tick log, enqueues due tasks, and commits a checkpoint afterwards.

Delivery is at least once. If the process dies after it has enqueued tasks and before the commit, the same tasks are
sent again with the same ids. Several processes can run one dispatcher. Only one of them is active at a time; a commit
of any other process fails because it is fenced.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from clocksvc.clock.due_ticks import ANNOUNCED_TICKS
from clocksvc.clock.log_owner import LogOwner
from clocksvc.clock.partition import name_first
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import (
    Fenced,
    InvalidValue,
    OpenTransaction,
    OutcomeUnknown,
    StoreMismatch,
    TaskQueueUnavailable,
    TickLogUnavailable,
    Unavailable,
    UnreadableRecord,
)
from clocksvc.interfaces.checkpoints import OWN_KEY, Checkpoint, Checkpoints
from clocksvc.interfaces.schedule import Schedule
from clocksvc.interfaces.task_queue import DueTask, TaskQueue
from clocksvc.interfaces.tick_consumer import LastTick, TickConsumer, TickWithOffset
from clocksvc.interfaces.tick_log import no_keep_alive
from clocksvc.interfaces.time import Time
from clocksvc.jobs.dispatcher_owner import DispatcherOwner
from clocksvc.jobs.due_tasks import Occurrence, due_tasks
from clocksvc.jobs.observer import DispatcherObserver, NoDispatcherObserver
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers

logger = logging.getLogger("clocksvc.dispatcher")

COMMIT_EVERY_TICKS = 100
MAX_BACKLOG_TICKS = 100_000
"""The maximum number of ticks that are read before the first of them is sent. A schedule with `CatchUp.LAST` needs this
to know the last due time of a backlog. The limit is more than a day at an interval of 1 s."""
STANDBY_CHECK_S = 30.0
"""How often a process without an assignment looks for checkpoints of another app. The app may have started later."""
STANDBY_AFTER_S = 5.0
"""A process that gets no assignment for so long after its start is a standby. Joining a group takes about 3 s."""


class _Start(Enum):
    """Where in the tick log reading begins: at the checkpoint's offset, before its time, or at the log's beginning.

    The offset is wrong if the log was recreated, and the time if a broker's clock was far behind.
    """

    OFFSET = "offset"
    TIME = "time"
    BEGINNING = "beginning"

    def is_right(self, tick: Tick, at_ms: int | None) -> bool:
        """True if no tick after the checkpoint can be before this first tick."""
        if self is _Start.OFFSET:
            return tick.at_ms == at_ms
        follows = at_ms is None or tick.at_ms <= at_ms or tick.previous_ms is None or tick.previous_ms <= at_ms
        return self is _Start.BEGINNING or follows


@dataclass(slots=True)
class _Assignment:
    """The state of the active process, for as long as its assignment of the clock's log lasts.

    Attributes:
        epoch: the number of the assignment.
        since_ms: for each schedule's name, the time after which the schedule can be due.
        checkpoint: the tick up to which everything was sent; None before the clock's first tick.
        backlog_until_ms: the clock's last tick when the assignment began.
        pending: the ticks that were read and whose tasks are not all sent.
        sent: the ids of the tasks of the first pending tick that were already sent, expired or rejected.
        uncommitted: the number of ticks since the last commit.
        announced: True while the dispatcher catches up, once it was logged how many tasks this means.
        start: where reading began. None after the first tick has shown that it was the right place.
    """

    epoch: int
    since_ms: dict[str, int]
    checkpoint: Checkpoint | None
    backlog_until_ms: int
    pending: list[TickWithOffset] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)
    uncommitted: int = 0
    announced: bool = False
    start: "_Start | None" = None

    @property
    def at_ms(self) -> int | None:
        """The checkpoint's tick."""
        return None if self.checkpoint is None else self.checkpoint.at_ms

    @property
    def backlog_incomplete(self) -> bool:
        """True if more ticks of the backlog must be read before the first of them is sent."""
        reached_ms = self.pending[-1].tick.at_ms if self.pending else 0
        return len(self.pending) < MAX_BACKLOG_TICKS and reached_ms < self.backlog_until_ms


class TaskDispatcher:
    """One process of a clock's dispatcher. Not thread safe: one thread calls `step`.

    Args:
        installation: the prefix of the installation's keys in Redis. It is part of task ids.
        clock, name: the names of the clock and of the dispatcher. Both are part of the checkpoint's key and of task
            ids.
        schedules: the schedules. Their names must be unique and not empty.
        app: the name of the Celery app that the dispatcher belongs to; None for the service's own dispatcher, whose
            name no app can use.
        check_owner: raises StoreMismatch if the owner that the tick log names is not this installation with its store.
        traced: whether tasks have the trace context of their tick in their headers.
    """

    def __init__(
        self,
        installation: str,
        clock: str,
        name: str,
        schedules: Sequence[Schedule],
        consumer: TickConsumer,
        checkpoints: Checkpoints,
        queue: TaskQueue,
        time: Time,
        observer: DispatcherObserver | None = None,
        app: str | None = None,
        *,
        check_owner: Callable[[LogOwner], None] = lambda owner: None,
        traced: bool = False,
    ) -> None:
        self._installation, self._traced = installation, traced
        self._clock, self._name, self._schedules = clock, name, tuple(schedules)
        self._consumer, self._checkpoints, self._queue, self._time = consumer, checkpoints, queue, time
        self._observer = observer or NoDispatcherObserver()
        self._backoff, self._repeated_lines = Backoff(CONNECTION), RepeatedLines(logger)
        self._assignment: _Assignment | None = None
        self._app = app or ""
        self._owner = (
            None
            if app is None
            else DispatcherOwner(clock, name, app, {schedule.name: schedule.task for schedule in self._schedules})
        )
        self._was_active = False
        self._stepping = self._close_requested = False
        self._standby = False
        self._raise_unless_own = check_owner
        self._checked_owner: LogOwner | None = None
        self._checked_end = 0
        self._check_at = time.monotonic() + STANDBY_AFTER_S

    def step(self, timeout_s: float = 1.0) -> float:
        """Send what is due, or wait for a tick for at most `timeout_s`. Outages are logged and not raised.

        Returns:
            The time to wait before the next call, in seconds.

        Raises:
            DispatcherConflict, StoreMismatch: another app uses this dispatcher, or the tick log belongs to another
                installation. Nothing was sent in this step. Close the dispatcher.
        """
        self._stepping = True
        try:
            return self._step(timeout_s)
        finally:
            self._stepping = False
            if self._close_requested:
                self._close()

    def close(self) -> None:
        """Stop, so that another process becomes active.

        A signal handler may call this during a `step` of its thread. Then it returns at once, and the end of the step
        closes, also if the handler ends the step with an exception.
        """
        # A Kafka client that is closed by a signal handler during its own poll would wait for that poll for ever.
        if self._stepping:
            self._close_requested = True
        else:
            self._close()

    def _close(self) -> None:
        self._close_requested, self._assignment = False, None
        self._consumer.close()
        self._checkpoints.close()
        self._observer.close()

    def _step(self, timeout_s: float) -> float:
        try:
            self._advance(timeout_s)
        except TaskQueueUnavailable as error:
            return self._retry_later(error)
        except (Fenced, OutcomeUnknown, OpenTransaction, UnreadableRecord, Unavailable) as error:
            self._assignment = None
            self._observer.checkpoint(None)
            return self._retry_later(error)
        self._backoff.reset()
        self._repeated_lines.clear()
        return 0.0

    def _retry_later(self, error: Exception) -> float:
        wait_s = self._backoff.next()
        detail = f"{type(error).__name__}: {error}"
        extra = self._extra(detail=detail, in_s=wait_s)
        self._repeated_lines.log(
            self._time.monotonic(), logging.WARNING, without_numbers(detail), "dispatcher retries", extra=extra
        )
        return wait_s

    def _advance(self, timeout_s: float) -> None:
        if self._checked_owner is None:
            self._read_last_tick()
        epoch = self._consumer.assignment_epoch
        if epoch is None:
            if self._assignment is not None:
                self._assignment, self._check_at = None, self._time.monotonic()
                self._observer.checkpoint(None)
            self._check_as_standby()
            self._consumer.poll(timeout_s)
        elif self._assignment is None or self._assignment.epoch != epoch:
            self._assignment = self._start_assignment(epoch)
        elif self._fetch_batch(self._assignment, timeout_s):
            self._send_batch(self._assignment)

    def _read_last_tick(self) -> LastTick:
        """Check that the tick log belongs to this installation, before a checkpoint is changed or a task is sent."""
        last = self._consumer.last_tick(no_keep_alive)
        if last.owner is not None:
            self._check_owner(last.owner)
        self._checked_end = last.end
        return last

    def _check_owner(self, owner: LogOwner) -> None:
        if owner == self._checked_owner:
            return
        prefix = owner.installation.prefix
        if prefix != self._installation:
            raise StoreMismatch(
                f"the tick log of clock {self._clock!r} belongs to the installation {prefix!r} (its redis.prefix), not "
                f"to {self._installation!r}: set redis.prefix to {prefix!r}, or give this installation its own "
                "tick_log.topic"
            )
        try:
            self._raise_unless_own(owner)
        except StoreMismatch as error:
            # Not for ever: the leader may not have marked a store that was emptied.
            raise TickLogUnavailable(str(error)) from error
        self._checked_owner = owner

    def _check_as_standby(self) -> None:
        """Check from time to time whether another app uses this dispatcher, long before this process is active."""
        if self._time.monotonic() < self._check_at:
            return
        if self._owner is not None:
            self._owner.check(self._checkpoints.read(no_keep_alive))
        self._check_at = self._time.monotonic() + STANDBY_CHECK_S
        if not self._standby:
            logger.info("another process dispatches", extra=self._extra())
        self._standby = True

    @property
    def _schedule_names(self) -> frozenset[str]:
        return frozenset(schedule.name for schedule in self._schedules)

    # -- a new assignment -------------------------------------------------------------------------------------------

    def _start_assignment(self, epoch: int) -> _Assignment:
        """Fence other processes, read the checkpoint, and register new or changed schedules."""
        known = self._checkpoints.acquire(no_keep_alive)
        if self._owner is not None:
            self._owner.check(known)
        last = self._read_last_tick()
        checkpoint = known.get(OWN_KEY)
        before = {name for name in known if name}
        removed, added = before - self._schedule_names, self._schedule_names - before
        if self._was_active and (removed or added):
            logger.warning(
                "another process of dispatcher %r has other schedules, which is wrong unless a new version is being "
                "deployed: only here %s; only there %s",
                self._name,
                name_first(sorted(added)) or "none",
                name_first(sorted(removed)) or "none",
                extra=self._extra(),
            )
        elif self._owner is not None and (missing := self._owner.missing(known)):
            logger.warning(
                "entries %s of the dispatcher %r that ran before are not in this app: their tasks are not sent any "
                "more; if it is another app, give each its own clocksvc_dispatcher",
                *(missing, self._name),
                extra=self._extra(),
            )
        self._was_active = True
        changes: dict[str, Checkpoint | None] = dict.fromkeys(removed)
        if not known and last.at_ms is not None:
            checkpoint = changes[OWN_KEY] = Checkpoint(last.at_ms, app=self._app)
        since_ms = {}
        for schedule in self._schedules:
            fingerprint = schedule.recurrence.fingerprint()
            registered = known.get(schedule.name)
            if registered is None or registered.fingerprint != fingerprint:
                # A schedule that is new or has new due times can only be due after the clock's current time.
                registered = Checkpoint(last.at_ms or 0, None, fingerprint, self._app, schedule.task)
                changes[schedule.name] = registered
            elif registered.task != schedule.task:
                changes[schedule.name] = replace(registered, task=schedule.task)
            since_ms[schedule.name] = registered.at_ms
        if changes:
            self._checkpoints.commit(changes, no_keep_alive)
        assignment = _Assignment(epoch, since_ms, checkpoint, last.at_ms or 0)
        if checkpoint is not None:
            self._seek(assignment, _Start.TIME if checkpoint.offset is None else _Start.OFFSET)
        elif last.at_ms is None:
            self._consumer.seek(Checkpoint(0, last.end))  # the clock's first tick will be there, or later
        else:
            self._seek(assignment, _Start.BEGINNING)
        self._standby = False
        logger.info("dispatching", extra=self._extra(after_ms=assignment.at_ms, changed=sorted(changes)))
        self._observer.checkpoint(assignment.at_ms)
        return assignment

    # -- ticks ------------------------------------------------------------------------------------------------------

    def _fetch_batch(self, assignment: _Assignment, timeout_s: float) -> bool:
        """Read ticks into `pending`. Return True once the whole backlog has been read, so that they can be sent."""
        must_wait = not assignment.pending or assignment.backlog_incomplete
        for found in self._consumer.poll(timeout_s if must_wait else 0.0):
            start = assignment.start
            if start is not None and not start.is_right(found.tick, assignment.at_ms):
                logger.warning("checkpoint not found in the tick log", extra=self._extra(by=start.value))
                self._seek(assignment, _Start.TIME if start is _Start.OFFSET else _Start.BEGINNING)
                return False
            assignment.start = None
            self._append(assignment, found)
        named = self._consumer.owner
        if named is not None and named.offset >= self._checked_end:
            self._check_owner(named.owner)
        return bool(assignment.pending) and not assignment.backlog_incomplete

    def _seek(self, assignment: _Assignment, start: _Start) -> None:
        """Begin to read. Ticks up to the time of the checkpoint will be skipped."""
        assignment.start = start
        at_ms = assignment.at_ms
        if start is _Start.OFFSET:
            self._consumer.seek(assignment.checkpoint)
        else:
            self._consumer.seek(None if start is _Start.BEGINNING or at_ms is None else Checkpoint(at_ms))

    def _append(self, assignment: _Assignment, found: TickWithOffset) -> None:
        before_ms = assignment.pending[-1].tick.at_ms if assignment.pending else assignment.at_ms
        if before_ms is not None and found.tick.at_ms <= before_ms:
            return
        previous_ms = found.tick.previous_ms
        if before_ms is not None and previous_ms is not None and previous_ms > before_ms:
            skipped = "clocksvc init skipped ticks, and their tasks are not sent"
            text = skipped if found.begins else "ticks were removed from the tick log"
            logger.warning(
                "%s: those after %s and up to %s",
                *(text, to_rfc3339(before_ms), to_rfc3339(previous_ms)),
                extra=self._extra(after_ms=before_ms, to_ms=previous_ms),
            )
        assignment.pending.append(found)

    # -- tasks ------------------------------------------------------------------------------------------------------

    def _send_batch(self, assignment: _Assignment) -> None:
        try:
            self._send_pending(assignment)
        except Exception:
            # There is no commit for SystemExit and the like: the signal may have interrupted a commit, and the
            # error of a failed commit would hide the first one.
            self._commit(assignment)
            raise
        self._commit(assignment)

    def _send_pending(self, assignment: _Assignment) -> None:
        offsets = {found.tick.at_ms: found.offset for found in assignment.pending}
        ticks = [found.tick for found in assignment.pending]
        now_ms = self._time.now_ms()
        beginnings = frozenset(found.tick.at_ms for found in assignment.pending if found.begins)
        planned = due_tasks(self._schedules, assignment.since_ms, assignment.at_ms, ticks, now_ms, beginnings)
        self._log_catch_up(assignment, ticks, sum(len(occurrences) for _, occurrences in planned), now_ms)
        for tick, occurrences in planned:
            for occurrence in occurrences:
                self._send_one(assignment, occurrence)
            assignment.sent.clear()
            assignment.checkpoint = Checkpoint(tick.at_ms, offsets[tick.at_ms], app=self._app)
            assignment.pending.pop(0)
            assignment.uncommitted += 1
            if assignment.uncommitted >= COMMIT_EVERY_TICKS:
                self._commit(assignment)

    def _log_catch_up(self, assignment: _Assignment, ticks: Sequence[Tick], tasks: int, now_ms: int) -> None:
        """Log once how many tasks a catch-up means, before the first of them is sent."""
        more = max(0, now_ms - ticks[-1].at_ms) // ticks[-1].interval_ms
        catches_up = len(ticks) + more > ANNOUNCED_TICKS
        if catches_up and not assignment.announced:
            logger.warning(
                "dispatcher %s of clock %s catches up: %s ticks, from %s to %s, mean %s tasks; about %s more ticks "
                "follow",
                *(self._name, self._clock, f"{len(ticks):,}"),
                *(to_rfc3339(ticks[0].at_ms), to_rfc3339(ticks[-1].at_ms), f"{tasks:,}", f"{more:,}"),
                extra=self._extra(ticks=len(ticks), tasks=tasks, more_ticks=more),
            )
        assignment.announced = catches_up

    def _send_one(self, assignment: _Assignment, due: Occurrence) -> None:
        task = DueTask(
            self._installation, self._clock, self._name, due.schedule.name, due.due_ms, due.tick, self._traced
        )
        if task.id in assignment.sent:
            return
        outcome = "expired" if due.expired else self._enqueue(task)
        assignment.sent.add(task.id)
        self._observer.count(due.schedule, outcome)

    def _enqueue(self, task: DueTask) -> str:
        try:
            self._queue.send(task)
        except InvalidValue as error:
            # The task is not retried: it would fail again in the same way, and block all other tasks.
            logger.error("task rejected", extra=self._extra(schedule=task.schedule, id=task.id, detail=str(error)))
            return "rejected"
        return "sent"

    def _commit(self, assignment: _Assignment) -> None:
        if assignment.uncommitted and assignment.checkpoint is not None:
            self._checkpoints.commit({OWN_KEY: assignment.checkpoint}, no_keep_alive)
            assignment.uncommitted = 0
            self._observer.checkpoint(assignment.checkpoint.at_ms)

    def _extra(self, **details: object) -> dict[str, object]:
        return {"clock": self._clock, "dispatcher": self._name, **details}
