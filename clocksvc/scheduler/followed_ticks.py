"""The ticks of all clocks with schedules: the newest in memory, older ones from the tick log."""

import logging
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

from clocksvc.clock.log_owner import LogOwner, read_owner
from clocksvc.clock.log_record import LogEntry, Message, decode_message
from clocksvc.clock.log_state import read_log_state
from clocksvc.clock.logs import group_by_log, log_of
from clocksvc.errors import ClocksvcError, StoreMismatch, TickLogUnavailable, Unavailable, UnreadableRecord
from clocksvc.interfaces.log_follower import LogFollower
from clocksvc.interfaces.tick_consumer import TickDecoder, TickWithOffset
from clocksvc.interfaces.tick_log import TickLog, no_keep_alive
from clocksvc.interfaces.time import Time
from clocksvc.runtime.backoff import CONNECTION, Backoff
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers
from clocksvc.runtime.worker_thread import WorkerThread
from clocksvc.scheduler.older_ticks import OlderTicks

logger = logging.getLogger("clocksvc.scheduler")

RECENT_TICKS = 500
"""How many of the newest ticks of each clock are in memory."""
POLL_S = 1.0

CheckOwner = Callable[[int, LogOwner], None]
"""Raises StoreMismatch if the owner that a log names is not this installation with its store, and StoreUnavailable if
the store does not answer."""


@dataclass
class _Clock:
    """The known ticks of a clock.

    Attributes:
        recent: the newest ticks, ascending.
        complete_from_ms: all ticks after this time are in `recent`. None until the log was read.
        newest_ms: the newest tick; None before the first.
        error: why the clock's ticks can't be used.
    """

    decoder: TickDecoder
    older: OlderTicks
    recent: deque[TickWithOffset] = field(default_factory=deque)
    complete_from_ms: int | None = None
    newest_ms: int | None = None
    error: ClocksvcError | None = None
    subscribers: list[Callable[[], None]] = field(default_factory=list)

    def begin(self, newest: Message | None, *, complete: bool) -> None:
        """Continue after the clock's newest record in the log; None if there is none.

        Args:
            complete: False if the log may have lost the clock's records.
        """
        self.error = None
        emitted_ms = self.newest_ms
        try:
            self.decoder.reset(newest)
            emitted_ms = None if newest is None else decode_message(newest).state.emitted_tick_ms
        except UnreadableRecord as error:
            self.error = error
        if newest is None and not complete:
            self.error = TickLogUnavailable("the tick log has lost records, and contains none of this clock")
        if emitted_ms != self.newest_ms or self.complete_from_ms is None:
            self.recent.clear()
            self.newest_ms = max(emitted_ms or 0, self.newest_ms or 0) or None
            self.complete_from_ms = self.newest_ms or 0

    def add(self, entry: LogEntry) -> bool:
        """Add the next record of the log; False if it changes nothing."""
        if self.error is not None:
            return False
        try:
            found = self.decoder.decode(*entry)
        except UnreadableRecord as error:
            self.error = error
            return True
        if found is None or (self.newest_ms is not None and found.tick.at_ms <= self.newest_ms):
            return False
        self.newest_ms = found.tick.at_ms
        self.recent.append(found)
        if len(self.recent) > RECENT_TICKS:
            self.complete_from_ms = self.recent.popleft().tick.at_ms
        return True


@dataclass
class _Log:
    """One log and its clocks.

    Attributes:
        clocks: the clocks by the key of their records.
        reading: the lock of `reader` and of all `older`. It is held while the log is read.
        lock: the lock of the other attributes and of the clocks. It is held for a moment only.
        follows: True while the follower reads the log.
        end: the offset up to which records were applied.
        owner: the owner that was confirmed last.
        error: why no tick of the log can be used.
        reason: why the last attempt to read the log failed.
        retry_at: when the log is read again, in seconds of the monotonic clock.
    """

    number: int
    clocks: dict[bytes, _Clock]
    reader: TickLog
    reading: threading.Lock = field(default_factory=threading.Lock)
    lock: threading.Lock = field(default_factory=threading.Lock)
    follows: bool = False
    end: int = 0
    owner: LogOwner | None = None
    error: StoreMismatch | None = None
    reason: str = ""
    retry_at: float = float("-inf")
    backoff: Backoff = field(default_factory=lambda: Backoff(CONNECTION))


class FollowedTicks:
    """Implements TickSource. One thread calls `step`: that of `start`, or the caller's.

    A log is read to its end, for its owner and the newest tick of each clock, and is followed from there. It is read
    again if it can't be followed, or if its owner changes and the new one can't be confirmed. Meanwhile the ticks that
    were read before stay usable.

    Args:
        installation: the prefix of the installation's keys in the store.
        clocks: the names of the clocks.
        open_log: opens one log for reading.
        follower: follows the logs. It is closed when the thread of `start` ends.
        check_owner: called with the number of a log and the owner that it names: see CheckOwner.
    """

    def __init__(
        self,
        installation: str,
        clocks: Collection[str],
        open_log: Callable[[int], TickLog],
        follower: LogFollower,
        check_owner: CheckOwner,
        time: Time,
    ) -> None:
        self._installation, self._follower, self._check_owner, self._time = installation, follower, check_owner, time
        self._logs: dict[int, _Log] = {}
        for number, names in group_by_log(clocks).items():
            reader = open_log(number)
            known = {name.encode(): _Clock(TickDecoder(name), OlderTicks(name, reader)) for name in names}
            self._logs[number] = _Log(number, known, reader)
        self._repeated_lines = RepeatedLines(logger)
        self._thread = WorkerThread("schedule-ticks", self.step, log=logger, finish=self.close)

    # -- TickSource ---------------------------------------------------------------------------------------------------

    def after(self, clock: str, at_ms: int, limit: int) -> list[TickWithOffset]:
        log, known = self._find(clock)
        with log.lock:
            complete_from_ms = _usable(log, known)
            recent, end = list(known.recent), log.end
        if at_ms < complete_from_ms:
            with log.reading:
                older = known.older.after(at_ms, complete_from_ms, limit, end)
            if older:
                return older
        first = bisect_right(recent, at_ms, key=lambda found: found.tick.at_ms)
        return recent[first : first + limit]

    def newest(self, clock: str) -> int | None:
        log, known = self._find(clock)
        with log.lock:
            _usable(log, known)
            return known.newest_ms

    def subscribe(self, clock: str, wake: Callable[[], None]) -> Callable[[], None]:
        _, known = self._find(clock)
        known.subscribers.append(wake)
        return partial(known.subscribers.remove, wake)

    def _find(self, clock: str) -> tuple[_Log, _Clock]:
        log = self._logs[log_of(clock)]
        return log, log.clocks[clock.encode()]

    # -- following ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread. Returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. Returns at once; `join` waits for the end."""
        self._thread.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait until the thread has ended and connections are closed; False if it has not ended after `timeout_s`."""
        return self._thread.join(timeout_s)

    def close(self) -> None:
        """Close connections. Only for callers of `step`; the thread of `start` does it at its end."""
        self._follower.close()
        for log in self._logs.values():
            log.reader.close()

    def step(self, timeout_s: float = POLL_S) -> float:
        """Read the logs that are not followed yet, and new records of the others.

        Blocks for up to `timeout_s` if there are no new records, and for several seconds if Kafka does not answer.

        Returns:
            The seconds until the next step is due.
        """
        for log in self._logs.values():
            if not log.follows and log.retry_at <= self._time.monotonic():
                self._begin(log)
        waiting = [log.retry_at - self._time.monotonic() for log in self._logs.values() if not log.follows]
        wait_s = max(0.0, min([timeout_s, *waiting]))
        if len(waiting) == len(self._logs):
            return wait_s
        try:
            self._follow(wait_s)
        except TickLogUnavailable as error:
            self._log_failure(str(error))
            return CONNECTION.limit_s
        return 0.0

    def _follow(self, timeout_s: float) -> None:
        polled = self._follower.poll(timeout_s)
        for number, reason in (*polled.lost.items(), *polled.failures.items()):
            self._log_failure(f"log {number}: {reason}")
        for number in polled.lost:
            self._logs[number].follows = False
        changed: dict[int, _Clock] = {}
        for number, entry in polled.entries:
            log = self._logs[number]
            if not log.follows:
                continue
            owner = read_owner(entry.message)
            if owner is not None and not self._confirmed(log, owner):
                self._follower.stop(number)
                continue
            known = log.clocks.get(entry.message.key or b"")
            with log.lock:
                log.end = entry.offset + 1
                if known is not None and known.add(entry):
                    changed[id(known)] = known
        for known in changed.values():
            _wake(known)

    def _begin(self, log: _Log) -> None:
        """Read a log to its end, and follow it from there."""
        try:
            with log.reading:
                for known in log.clocks.values():
                    known.older.reset()
                first, end = log.reader.stable_bounds(no_keep_alive)
                state = read_log_state(first, end, partial(log.reader.read, keep_alive=no_keep_alive))
            if state.owner is not None and not self._confirmed(log, state.owner):
                return
            self._follower.start(log.number, end)
        except TickLogUnavailable as error:
            self._fail(log, error)
            return
        with log.lock:
            for name, known in log.clocks.items():
                known.begin(state.newest.get(name.decode()), complete=state.complete)
            log.end, log.error, log.follows = end, None, True
        log.backoff.reset()
        self._repeated_lines.clear()
        for known in log.clocks.values():
            _wake(known)

    def _confirmed(self, log: _Log, owner: LogOwner) -> bool:
        """Return whether the log's ticks may be used under this owner. If not, the log is not followed any more."""
        if owner == log.owner:
            return True
        try:
            self._check_owner(log.number, owner)
        except (StoreMismatch, Unavailable) as error:
            foreign = owner.installation.prefix != self._installation
            self._fail(log, error, foreign=isinstance(error, StoreMismatch) and foreign)
            return False
        log.owner = owner
        return True

    def _fail(self, log: _Log, error: ClocksvcError, *, foreign: bool = False) -> None:
        """Record why a log can't be read, and read it again later.

        Args:
            foreign: True if another installation owns the log. If only the store does not fit, this can end: the leader
                may not have marked a store that was emptied.
        """
        with log.lock:
            log.follows, log.reason = False, str(error)
            log.error = StoreMismatch(str(error)) if foreign else None
        log.retry_at = self._time.monotonic() + log.backoff.next()
        self._log_failure(str(error))
        for known in log.clocks.values():
            _wake(known)

    def _log_failure(self, reason: str) -> None:
        self._repeated_lines.log(
            *(self._time.monotonic(), logging.WARNING, without_numbers(reason)),
            *("ticks can't be read, trying again: %s", reason),
        )


def _usable(log: _Log, known: _Clock) -> int:
    """Return the time after which all of a clock's ticks are in memory. Raises the errors of TickSource."""
    error = log.error or known.error
    if error is not None:
        raise type(error)(str(error))
    if known.complete_from_ms is None:
        raise TickLogUnavailable(log.reason or f"log {log.number} of the tick log was not read yet")
    return known.complete_from_ms


def _wake(known: _Clock) -> None:
    for wake in list(known.subscribers):
        wake()
