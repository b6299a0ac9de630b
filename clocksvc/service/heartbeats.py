"""Sends one round of heartbeats for one clock: a record to every partition, so that quiet partitions advance, too.

The Celery task and `clocksvc heartbeat` use this module. It does not decide when a round is due. It has no state
between two rounds, and sending a round twice is harmless.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from clocksvc.clock import boundary
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec, Source
from clocksvc.errors import ClocksvcError, InvalidValue, MetadataUnavailable
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.runtime.backoff import QUEUED_RETRY

logger = logging.getLogger("clocksvc.heartbeat")

OUTCOMES = ("delivered", "failed", "expired")
"""The outcomes that are counted. `delivered` counts records. `failed` counts records, and topics without metadata.
`expired` counts rounds."""

MIN_TTL_MS = 60_000
DELIVERY_TIMEOUT_S = 4.0


@dataclass(frozen=True, slots=True)
class HeartbeatRound:
    """The result of one round.

    Attributes:
        expired: True if the round began too late, so that nothing was sent.
        timestamp_ms: the timestamp of the round's records; None if nothing was sent.
        delivered: the partitions to which a heartbeat was delivered.
        failed: the partitions to which no heartbeat was delivered, with the reason.
        unread: the topics whose metadata could not be read, with the reason.
        counted: True if the store has counted the round.
    """

    expired: bool = False
    timestamp_ms: int | None = None
    delivered: tuple[Partition, ...] = ()
    failed: Mapping[Partition, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    counted: bool = False

    @property
    def complete(self) -> bool:
        """True if a heartbeat was delivered to every partition of every configured topic."""
        return not (self.expired or self.failed or self.unread)

    def outcomes(self) -> dict[str, int]:
        """Return how much to count for each outcome. Outcomes with 0 are left out."""
        counts = (len(self.delivered), len(self.failed) + len(self.unread), int(self.expired))
        return {outcome: count for outcome, count in zip(OUTCOMES, counts, strict=True) if count}


def beat(spec: ClockSpec, store: Store, topics: Topics, time: Time, due_ms: int) -> HeartbeatRound:
    """Send one heartbeat to every partition that Kafka lists now, check every delivery, and count the outcomes.

    Blocks for about 10 s at most, plus the store's time-outs. If the store does not answer, the round is not counted.
    An error of one topic does not affect the others.

    Args:
        due_ms: when the round was due. If this is longer ago than the round's TTL, nothing is sent.

    Raises:
        InvalidValue: heartbeats are switched off for this clock.
    """
    heartbeat = _require_heartbeats(spec)
    if time.now_ms() - due_ms > ttl_ms(heartbeat):
        return expire(spec, store)
    store_now_ms = _store_now_ms(spec, store)
    timestamp_ms = time.now_ms() if store_now_ms is None else min(time.now_ms(), store_now_ms)
    result = _send(spec, heartbeat, topics, timestamp_ms)
    return _logged(spec, result) if store_now_ms is None else _counted(spec, store, result)


def expire(spec: ClockSpec, store: Store) -> HeartbeatRound:
    """Count a round that expired, either in `beat` or in a task queue that drops expired messages."""
    return _counted(spec, store, HeartbeatRound(expired=True))


def ttl_ms(heartbeat: HeartbeatSpec) -> int:
    """Return a round's TTL in ms. After it was due for this time, a round is not sent any more."""
    return max(heartbeat.every_ms, MIN_TTL_MS)


def due_ms(heartbeat: HeartbeatSpec, now_ms: int) -> int:
    """Return the time at which the last round was due: `offset_ms` after a multiple of `every_ms` since the epoch."""
    return boundary.floor(now_ms - heartbeat.offset_ms, heartbeat.every_ms) + heartbeat.offset_ms


def retry_after_s(spec: ClockSpec, result: HeartbeatRound, due_ms: int, now_ms: int, tries: int) -> float | None:
    """Return how many seconds to wait before an incomplete round is sent again.

    Args:
        tries: the number of times that the round was sent, at least 1.

    Returns:
        None if the round must not be sent again, because it is complete or would be expired after the wait.
    """
    if result.complete or result.expired:
        return None
    wait_s = QUEUED_RETRY.delay_s(tries)
    expires_ms = due_ms + ttl_ms(_require_heartbeats(spec))
    return wait_s if now_ms + wait_s * 1000 < expires_ms else None


def _require_heartbeats(spec: ClockSpec) -> HeartbeatSpec:
    if spec.source is Source.COMMITTED:
        wanted = (
            "wanted source: reports, because a clock with source: committed moves quiet partitions without heartbeats"
        )
        raise InvalidValue(f"clocks.{spec.name}.source", str(spec.source), wanted)
    if spec.heartbeat is None:
        raise InvalidValue(f"clocks.{spec.name}.heartbeat", None, "wanted a setting that enables them: {every: 60s}")
    return spec.heartbeat


def _store_now_ms(spec: ClockSpec, store: Store) -> int | None:
    try:
        return store.now_ms()
    except ClocksvcError as error:
        _warn_not_counted(spec, error)
        return None


def _send(spec: ClockSpec, heartbeat: HeartbeatSpec, topics: Topics, timestamp_ms: int) -> HeartbeatRound:
    listed, unread = _read(topics, spec.topics)
    partitions = [
        Partition(topic, number) for topic, metadata in sorted(listed.items()) for number in range(metadata.partitions)
    ]
    answers = topics.put_heartbeats(partitions, timestamp_ms, heartbeat.key, heartbeat.payload, DELIVERY_TIMEOUT_S)
    reasons = {partition: answers.get(partition, "no delivery report") for partition in partitions}
    failed = {partition: why for partition, why in reasons.items() if why is not None}
    delivered = tuple(partition for partition in partitions if partition not in failed)
    return HeartbeatRound(timestamp_ms=timestamp_ms, delivered=delivered, failed=failed, unread=unread)


def _read(topics: Topics, names: tuple[str, ...]) -> tuple[Mapping[str, TopicMetadata], dict[str, str]]:
    try:
        cluster = topics.describe(names)
    except MetadataUnavailable as error:
        return {}, dict.fromkeys(names, str(error))
    unread = dict(cluster.failures)
    for name in names:
        if name not in unread and (name not in cluster.topics or cluster.topics[name].partitions == 0):
            unread[name] = "Kafka does not list it"
    return cluster.topics, unread


def _counted(spec: ClockSpec, store: Store, result: HeartbeatRound) -> HeartbeatRound:
    _logged(spec, result)
    try:
        store.count_heartbeats(result.outcomes(), success=result.complete)
    except ClocksvcError as error:
        _warn_not_counted(spec, error)
        return result
    return replace(result, counted=True)


def _logged(spec: ClockSpec, result: HeartbeatRound) -> HeartbeatRound:
    details = {"clock": spec.name, **result.outcomes()}
    if result.expired:
        logger.warning("round of heartbeats expired", extra=details)
    elif result.complete:
        logger.debug("round of heartbeats delivered", extra=details)
    else:
        reasons = [*result.unread.items(), *((str(partition), why) for partition, why in result.failed.items())]
        logger.warning("heartbeats failed", extra=details | {"reasons": dict(reasons[:10])})
    return result


def _warn_not_counted(spec: ClockSpec, error: ClocksvcError) -> None:
    logger.warning("store unavailable, heartbeats not counted", extra={"clock": spec.name, "error": str(error)})
