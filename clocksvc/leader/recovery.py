"""How a new leader learns where the clock stands: the tick log is the truth, the store is made to agree with it."""

import logging
from collections.abc import Iterator, Mapping

from clocksvc.clock.log_record import (
    ClockState,
    Record,
    path_to_tick,
)
from clocksvc.clock.roster import Roster, TopicMetadata, merge_metadata, merge_topics
from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS, ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import StoreMismatch, TickLogTruncated
from clocksvc.interfaces.store import (
    ClockParameters,
    Store,
    StoreIdentity,
)
from clocksvc.interfaces.tick_log import (
    KeepAlive,
    Tail,
)
from clocksvc.interfaces.topics import (
    ClusterMetadata,
    TimestampType,
    Topics,
)
from clocksvc.leader.parts import LeaderDependencies

logger = logging.getLogger("clocksvc.leader")

PUBLISH_BATCH = 1_000


def read_last(parts: LeaderDependencies, waiting: KeepAlive) -> Record:
    """The tick log's last committed record, which has the clock's state; of a log never written, one with none.

    A tick that the store knows was published, so its commit was answered. Where a broker forgot that commit and what it
    wrote is still there, it is committed again.

    Raises:
        TickLogTruncated: the log lost ticks: it begins above 0 with nothing in it, or the store knows a later tick.
        Fenced, OutcomeUnknown: as `TickLog.append`.
        OpenTransaction, UnreadableRecord, TickLogUnavailable: as `TickLog.tail`.
        StoreUnavailable: the store's word is needed too.
    """
    tail = parts.ticklog.tail(waiting)
    known = parts.store.last_tick()
    last = _last_of(parts.spec.name, tail)
    state = last.state
    if known is not None and known.at_ms > (state.last_tick_ms or 0):
        forgotten = path_to_tick(known, state, parts.ticklog.last_written(waiting))
        if forgotten:
            logger.warning("forgotten commit repeated", extra={"clock": parts.spec.name, "ticks": len(forgotten)})
            parts.ticklog.append(forgotten, waiting)
            return forgotten[-1]
        raise TickLogTruncated(
            f"the store knows tick {to_rfc3339(known.at_ms)}, the tick log ends "
            + ("empty" if state.last_tick_ms is None else f"at {to_rfc3339(state.last_tick_ms)}")
            + f": see what happened to it, then run clocksvc init {parts.spec.name} --last-tick T, T being the tick "
            "that the store knows, or a later one"
        )
    return last


def _last_of(clock: str, tail: Tail) -> Record:
    if tail.record is not None:
        return tail.record
    if tail.first_offset > 0:
        raise TickLogTruncated(
            f"the tick log begins at offset {tail.first_offset} and holds no record: see what happened to it, then run "
            "clocksvc init CLOCK --last-tick T, T being the last tick that was given"
        )
    return Record(clock, ClockState())


def reconcile(parts: LeaderDependencies, token: str, state: ClockState, waiting: KeepAlive) -> None:
    """Make the store's stream end as the log does: append what is missing, or rebuild it where the chains differ."""
    known = parts.store.last_tick()
    if known is None and state.last_tick_ms is None:
        parts.store.rebuild(token, [], None)  # where `init` was told otherwise once, the log that said so is gone
        return
    horizon_ms = parts.store.now_ms() - parts.spec.recent_ticks_ms
    missing: list[Tick] = []
    for tick in _chain(parts.ticklog.backwards(waiting), state):
        if known is not None and tick.at_ms == known.at_ms and tick.previous_ms == known.previous_ms:
            _append(parts.store, token, missing[::-1], waiting)
            return
        if missing and tick.emitted_at_ms < horizon_ms:
            break
        missing.append(tick)
        if len(missing) % PUBLISH_BATCH == 0:
            waiting()
    if not missing and known is not None and known.at_ms == state.last_tick_ms:
        return  # `init` named the last tick that the store knows: what is kept stays
    parts.store.rebuild(token, missing[::-1], state.last_tick_ms)


def _chain(newest_first: Iterator[Record], state: ClockState) -> Iterator[Tick]:
    expected_ms = state.last_tick_ms
    for record in newest_first:
        if record.tick is None:
            continue
        if record.tick.at_ms != expected_ms:
            return
        yield record.tick
        expected_ms = record.tick.previous_ms


def _append(store: Store, token: str, ticks: list[Tick], waiting: KeepAlive) -> None:
    for start in range(0, len(ticks), PUBLISH_BATCH):
        waiting()
        store.publish(token, ticks[start : start + PUBLISH_BATCH])


def claim(parts: LeaderDependencies, token: str, started_ms: int, cluster_id: str) -> ClockParameters:
    """Mark the store as this cluster's and leave the clock's bounds in it.

    Raises:
        StoreMismatch: the store is another's.
        MetadataUnavailable: Kafka does not say who stamps the records.
    """
    bounds = resolve_bounds(parts.spec, parts.topics)
    try:
        parts.store.claim(token, StoreIdentity(cluster_id), bounds, started_ms)
    except StoreMismatch as error:
        raise StoreMismatch(
            f"{error}: give this clock a redis.url or redis.prefix of its own; only if nobody else uses these keys "
            "(Kafka was made anew, say), delete them"
        ) from error
    return bounds


def resolve_bounds(spec: ClockSpec, topics: Topics) -> ClockParameters:
    """The clock's bounds: unless set, nothing is out of order where brokers stamp the records of every topic."""
    out_of_orderness_ms = spec.max_out_of_orderness_ms
    if out_of_orderness_ms is None:
        types = topics.timestamp_types(spec.topics)
        stamped = all(types.get(topic) is TimestampType.LOG_APPEND_TIME for topic in spec.topics)
        out_of_orderness_ms = 0 if stamped else CREATE_TIME_OUT_OF_ORDERNESS_MS
    return ClockParameters(spec.group, tuple(spec.topics), spec.interval_ms, out_of_orderness_ms, spec.max_future_ms)


def read_roster(
    parts: LeaderDependencies, seen: Mapping[str, TopicMetadata], state: ClockState, metadata: ClusterMetadata
) -> Roster:
    """The roster after a metadata reading. What was `seen` before, in this term or in an earlier one of this process,
    and what the tick log knows counts even where metadata lags."""
    return merge_metadata(merge_topics(seen, state.topics), metadata.topics, parts.spec.topics, state.excluded())
