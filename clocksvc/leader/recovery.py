"""How a new leader finds the state of its log, and how it makes the store of each clock agree with it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.log_owner import LogOwner, StoreMark, confirm_store
from clocksvc.clock.log_record import TICK, ClockState, LogEntry, Message, decode_message
from clocksvc.clock.log_state import LogState, read_log_state, snapshot_messages
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import RecordRejected, UnreadableRecord
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.term import Change, ClockTerm, Term, Trouble

logger = logging.getLogger("clocksvc.leader")

PUBLISH_BATCH = 500


@dataclass(frozen=True, slots=True)
class KnownStore:
    """What a leader knows of its store before it begins a term.

    Attributes:
        mark: the store's mark of the log.
        seen: the ids with which this process has seen the store marked. `begin_term` adds the id that it uses.
    """

    mark: StoreMark | None
    seen: set[str]


def check_owner(parts: LeaderDependencies, store: KnownStore, keep_alive: KeepAlive) -> None:
    """Check that this leader's store may lead the log, without disturbing the leader of another store.

    Raises:
        StoreMismatch: another store leads the log.
        TickLogUnavailable: no answer.
    """
    first, end = parts.ticklog.stable_bounds(keep_alive)
    log = read_log_state(first, end, partial(_read, parts, keep_alive))
    confirm_store(parts.log, parts.installation, store.mark, log.owner, store.seen)


def begin_term(
    parts: LeaderDependencies,
    token: str,
    store: KnownStore,
    troubles: Mapping[str, Trouble],
    snapshots: Trouble,
    keep_alive: KeepAlive,
) -> Term:
    """Read the state of the log, and begin a term with a snapshot. Call this after `TickLog.fence`.

    The snapshot is the first transaction of the new producer, so no delayed request of an earlier transaction can end
    it. If the end of the log was stale, the snapshot does not begin there, and nothing is committed.

    Brokers can reject the copy of a record that they accepted before, because the topic's settings have changed. Then
    the first transaction is only the record with the log's owner, until `snapshots` allows the next attempt.

    Raises:
        StoreMismatch: another store leads the log.
        ClocksvcError: as `TickLog.bounds` and `TickLog.append`.
    """
    first, end = parts.ticklog.bounds(keep_alive)
    log = read_log_state(first, end, partial(_read, parts, keep_alive))
    owner = _own(parts, token, store, log)
    now = parts.time.monotonic()
    clocks = {name: _clock_term(parts, name, log, now, troubles[name]) for name in parts.specs}
    term = Term(token, end, log, clocks, snapshots, owner)
    if now >= snapshots.retry_at:
        append_snapshot(parts, term, keep_alive)
    else:
        term.append(parts.ticklog, [owner.message()], keep_alive)
    return term


def append_snapshot(
    parts: LeaderDependencies, term: Term, keep_alive: KeepAlive, changes: Sequence[Change] = ()
) -> None:
    """Commit changes and, in the same transaction, a snapshot of the log after them.

    Raises:
        ClocksvcError: as `TickLog.append`. The term is over.
    """
    messages = [message for change in changes for message in change.messages]
    newest = term.log.newest | {change.clock: change.messages[-1] for change in changes}
    messages += snapshot_messages(term.owner, newest, term.end + len(messages), complete=term.log.complete)
    try:
        term.append(parts.ticklog, messages, keep_alive)
    except RecordRejected as error:
        hold = Hold(Reason.TICKLOG_UNAVAILABLE, detail=str(error))
        term.snapshots.fail(hold, parts.time.monotonic(), rejected=True)
        raise
    term.snapshots.end(committed=True)
    term.apply(changes)


def compare_stream(term: Term, clock: ClockTerm) -> bool:
    """Make a clock's stream in the store equal to the end of the log. Missing ticks are appended.

    If the log lacks ticks that the store has, `clock.truncated` is set. The stream is never cut back.

    Returns:
        True if older ticks must be restored from the log: see restoring.py.
    """
    stream, state = clock.store.bounds(), clock.state
    clock.truncated = clock.truncated or _lost_ticks(clock, stream)
    if clock.truncated is not None:
        return False
    if stream.written and stream.end_ms == state.last_tick_ms and _agrees(stream, term.log):
        return stream.restoring
    missing = _path(term.log, stream.last, state) if stream.last is not None else None
    if missing:
        for start in range(0, len(missing), PUBLISH_BATCH):
            clock.store.publish(term.token, missing[start : start + PUBLISH_BATCH])
        return stream.restoring
    # After `init`, there are older ticks only if it set the last tick that was emitted.
    has_older = state.last_emitted_ms is not None and state.last_tick_ms == state.emitted_tick_ms
    clock.store.begin(term.token, state.last_tick_ms, restoring=has_older)
    return has_older


def _read(parts: LeaderDependencies, keep_alive: KeepAlive, start: int, end: int) -> list[LogEntry]:
    return parts.ticklog.read(start, end, keep_alive)


def _own(parts: LeaderDependencies, token: str, store: KnownStore, log: LogState) -> LogOwner:
    """Return the owner that this term writes to the log."""
    found = confirm_store(parts.log, parts.installation, store.mark, log.owner, store.seen)
    owner = LogOwner(parts.installation, found or parts.new_id())
    # Both before the commit, because its outcome may be unknown, and this process may end.
    store.seen.add(owner.store_id)
    if found is None and store.mark is not None:
        parts.leases.write_mark(token, StoreMark(owner.store_id, adopts=store.mark.store_id))
    if log.owner not in (None, owner):
        logger.warning(
            "log %s is led with the Redis %s (id %s) now; before it was %s (id %s)",
            parts.log,
            *(owner.installation.store, owner.store_id, log.owner.installation.store, log.owner.store_id),
            extra={"log": parts.log},
        )
    return owner


def _clock_term(parts: LeaderDependencies, name: str, log: LogState, now: float, trouble: Trouble) -> ClockTerm:
    spec, message = parts.specs[name], log.newest.get(name)
    clock = ClockTerm(spec, parts.stores[name], spec.digest(), ClockState(truncated=not log.complete), now, trouble)
    if message is None:
        return clock
    try:
        record = decode_message(message)
    except UnreadableRecord as error:
        clock.unreadable = Hold(Reason.TICKLOG_UNAVAILABLE, detail=str(error))
        return clock
    clock.state, clock.committed_request_ids = record.state, record.request_ids
    return clock


def last_stored_tick(stream: StreamBounds, state: ClockState) -> int | None:
    """Return the last tick of a stream, or the tick that it follows. None if it only follows a time that `init` set."""
    if stream.last is not None or state.beginning is None or stream.base_ms is None:
        return stream.end_ms
    return None if stream.base_ms <= state.beginning.latest_ms else stream.base_ms


def _lost_ticks(clock: ClockTerm, stream: StreamBounds) -> Hold | None:
    """Return a hold if the log has lost ticks of a clock."""
    name, state_ms, stored_ms = clock.spec.name, clock.state.last_tick_ms, last_stored_tick(stream, clock.state)
    if stored_ms is not None and stored_ms > (state_ms or 0):
        detail = (
            f"the store has tick {to_rfc3339(stored_ms)}, but the tick log "
            + ("has no tick" if state_ms is None else f"ends at {to_rfc3339(state_ms)}")
            + ". The tick log has lost ticks: find out what happened to the topic. Then run "
            f"clocksvc init {name} --last-tick T, where T is {to_rfc3339(stored_ms)} or a later tick"
        )
    elif clock.state.truncated:
        detail = (
            "records were deleted from the tick log, and ticks of this clock may be lost: find out what happened to "
            f"the topic. Then run clocksvc init {name} --last-tick T, where T is the last tick that was emitted"
        )
    else:
        return None
    return Hold(Reason.TICKLOG_TRUNCATED, detail=detail)


def _agrees(stream: StreamBounds, log: LogState) -> bool:
    """True if the last tick of a stream is the one in the log, as far as the log's newest entries show it."""
    last = stream.last
    if last is None:
        return True
    logged = next((tick for tick in _ticks_backwards(log, last.clock) if tick.at_ms <= last.at_ms), None)
    return logged is None or logged.at_ms < last.at_ms or logged.previous_ms == last.previous_ms


def _path(log: LogState, last: Tick, state: ClockState) -> list[Tick] | None:
    """Return the ticks between the last tick of a stream and a state, ascending; None if they are not in memory."""
    path: list[Tick] = []
    expected_ms = state.last_tick_ms
    for tick in _ticks_backwards(log, last.clock):
        if tick.at_ms == last.at_ms:
            return path[::-1] if path and expected_ms == last.at_ms and tick.previous_ms == last.previous_ms else None
        if tick.at_ms != expected_ms:
            return None
        path.append(tick)
        expected_ms = tick.previous_ms
    return path[::-1] if path and expected_ms == last.at_ms else None


def _ticks_backwards(log: LogState, clock: str) -> Iterable[Tick]:
    key = clock.encode()
    for _, message in reversed(log.recent):
        if message.type == TICK and message.key == key:
            tick = _tick(message)
            if tick is not None:
                yield tick


def _tick(message: Message) -> Tick | None:
    try:
        return decode_message(message).tick
    except UnreadableRecord:
        return None
