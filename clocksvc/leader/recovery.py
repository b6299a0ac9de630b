"""How a new leader finds the clock's state. It reads the tick log, and makes the store agree with the tick log."""

import logging
from collections.abc import Iterator, Mapping

from clocksvc.clock.log_record import ClockState, Record, path_to_tick
from clocksvc.clock.roster import Roster, TopicMetadata, merge_metadata, merge_topics
from clocksvc.clock.spec import CREATE_TIME_OUT_OF_ORDERNESS_MS, ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import StoreMismatch, TickLogTruncated
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.tick_log import KeepAlive, Tail
from clocksvc.interfaces.topics import ClusterMetadata, TimestampType, Topics
from clocksvc.leader.context import LeaderDependencies

logger = logging.getLogger("clocksvc.leader")

PUBLISH_BATCH = 1_000


def read_last_record(parts: LeaderDependencies, keep_alive: KeepAlive) -> Record:
    """Return the tick log's last committed record, which contains the clock's state; an empty state for an empty log.

    A tick in the store was published, so the broker had acknowledged its commit. If the broker has lost this commit and
    the log still contains the records, they are committed again.

    Raises:
        TickLogTruncated: the log lost ticks: it is empty but begins above offset 0, or the store has a later tick.
        Fenced, OutcomeUnknown: as `TickLog.append`.
        OpenTransaction, UnreadableRecord, TickLogUnavailable: as `TickLog.tail`.
        StoreUnavailable: the store does not answer.
    """
    tail = parts.ticklog.tail(keep_alive)
    known = parts.store.last_tick()
    last = _last_of(parts.spec.name, tail)
    state = last.state
    if known is not None and known.at_ms > (state.last_tick_ms or 0):
        lost = path_to_tick(known, state, parts.ticklog.last_written(keep_alive))
        if lost:
            logger.warning("lost commit repeated", extra={"clock": parts.spec.name, "ticks": len(lost)})
            parts.ticklog.append(lost, keep_alive)
            return lost[-1]
        raise TickLogTruncated(
            f"the store has tick {to_rfc3339(known.at_ms)}, but the tick log "
            + ("has no tick" if state.last_tick_ms is None else f"ends at {to_rfc3339(state.last_tick_ms)}")
            + ". The tick log has lost ticks: find out what happened to the topic. Then run "
            f"clocksvc init {parts.spec.name} --last-tick T, where T is {to_rfc3339(known.at_ms)} or a later tick"
        )
    return last


def _last_of(clock: str, tail: Tail) -> Record:
    if tail.record is not None:
        return tail.record
    if tail.first_offset > 0:
        raise TickLogTruncated(
            f"the tick log begins at offset {tail.first_offset} and has no record, so its records were deleted: find "
            f"out what happened to the topic. Then run clocksvc init {clock} --last-tick T, where T is the last tick "
            "that was emitted"
        )
    return Record(clock, ClockState())


def reconcile(parts: LeaderDependencies, token: str, state: ClockState, keep_alive: KeepAlive) -> None:
    """Make the store's stream equal to the end of the tick log.

    Missing ticks are appended. If the stream's last tick is not in the log, the stream is rebuilt.
    """
    known = parts.store.last_tick()
    if known is None and state.last_tick_ms is None:
        parts.store.rebuild(token, [], None)  # drops a last tick of an earlier `clocksvc init` for a lost log
        return
    horizon_ms = parts.store.now_ms() - parts.spec.recent_ticks_ms
    missing: list[Tick] = []
    for tick in _chain(parts.ticklog.backwards(keep_alive), state):
        if known is not None and tick.at_ms == known.at_ms and tick.previous_ms == known.previous_ms:
            _append(parts.store, token, missing[::-1], keep_alive)
            return
        if missing and tick.emitted_at_ms < horizon_ms:
            break
        missing.append(tick)
        if len(missing) % PUBLISH_BATCH == 0:
            keep_alive()
    if not missing and known is not None and known.at_ms == state.last_tick_ms:
        return  # `clocksvc init` was run with the store's last tick, so the stream is right
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


def _append(store: Store, token: str, ticks: list[Tick], keep_alive: KeepAlive) -> None:
    for start in range(0, len(ticks), PUBLISH_BATCH):
        keep_alive()
        store.publish(token, ticks[start : start + PUBLISH_BATCH])


def claim(parts: LeaderDependencies, token: str, started_ms: int, cluster_id: str) -> ClockParameters:
    """Claim the store for this Kafka cluster and write the clock's parameters to it.

    Raises:
        StoreMismatch: the store belongs to another cluster or format.
        MetadataUnavailable: Kafka does not answer, or does not give the topics' timestamp types.
    """
    parameters = resolve_parameters(parts.spec, parts.topics)
    try:
        parts.store.claim(token, StoreIdentity(cluster_id), parameters, started_ms)
    except StoreMismatch as error:
        raise StoreMismatch(
            f"{error}: give this clock its own redis.url or redis.prefix. If these Redis keys are left over, "
            "for example from before Kafka was recreated, delete them"
        ) from error
    return parameters


def resolve_parameters(spec: ClockSpec, topics: Topics) -> ClockParameters:
    """Return the clock's parameters.

    If `max_out_of_orderness` is not set, it is 0 if all topics use LogAppendTime, else 10 s.
    """
    out_of_orderness_ms = spec.max_out_of_orderness_ms
    if out_of_orderness_ms is None:
        types = topics.timestamp_types(spec.topics)
        stamped = all(types.get(topic) is TimestampType.LOG_APPEND_TIME for topic in spec.topics)
        out_of_orderness_ms = 0 if stamped else CREATE_TIME_OUT_OF_ORDERNESS_MS
    return ClockParameters(spec.group, tuple(spec.topics), spec.interval_ms, out_of_orderness_ms, spec.max_future_ms)


def read_roster(
    parts: LeaderDependencies, seen: Mapping[str, TopicMetadata], state: ClockState, metadata: ClusterMetadata
) -> Roster:
    """Return the roster: new metadata, merged with the topics that this process saw earlier and those in the tick log.

    Because of the merge, a broker whose metadata lag can't remove a partition.
    """
    return merge_metadata(merge_topics(seen, state.topics), metadata.topics, parts.spec.topics, state.excluded())
