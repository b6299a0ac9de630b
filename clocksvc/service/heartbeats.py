"""One round of heartbeats for one clock: a record into every partition, so that a quiet one still moves.

The Celery task and `clocksvc heartbeat` both come here. It does not decide when a round is due, and keeps nothing
between two rounds: putting one twice is harmless.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from clocksvc.clock import boundary
from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec
from clocksvc.errors import ClocksvcError, InvalidValue, MetadataUnavailable
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import Time
from clocksvc.interfaces.topics import Topics
from clocksvc.runtime.backoff import QUEUED_RETRY

logger = logging.getLogger("clocksvc.heartbeat")

OUTCOMES = ("delivered", "failed", "expired")
"""What is counted: `delivered` records; `failed` records, and topics whose partitions Kafka did not tell; `expired`
rounds."""

SHORTEST_LIFE_MS = 60_000
PUT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one round.

    Attributes:
        expired: it began too late: nothing was put.
        timestamp_ms: what its records bear; None where nothing was put.
        delivered: the partitions that have a heartbeat more.
        failed: the partitions that have none, and why.
        unread: the topics whose partitions Kafka did not tell, and why.
        counted: the store counted it.
    """

    expired: bool = False
    timestamp_ms: int | None = None
    delivered: tuple[Partition, ...] = ()
    failed: Mapping[Partition, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    counted: bool = False

    @property
    def whole(self) -> bool:
        """Every partition of every configured topic has its heartbeat."""
        return not (self.expired or self.failed or self.unread)

    def outcomes(self) -> dict[str, int]:
        """The numbers to count, by outcome; zeros are left out."""
        counts = (len(self.delivered), len(self.failed) + len(self.unread), int(self.expired))
        return {outcome: count for outcome, count in zip(OUTCOMES, counts, strict=True) if count}


def beat(spec: ClockSpec, store: Store, topics: Topics, time: Time, due_ms: int) -> Round:
    """Put one heartbeat into every partition that Kafka lists now, check every delivery, count the outcomes.

    A store out of reach loses the count and nothing else; what is wrong with one topic stops no other.

    Args:
        due_ms: when the round was due. One that is older than its life expires: nothing is put.

    Raises:
        InvalidValue: heartbeats are switched off for this clock.
    """
    heartbeat = _switched_on(spec)
    if time.now_ms() - due_ms > life_ms(heartbeat):
        return expire(spec, store)
    store_now_ms = _store_now_ms(spec, store)
    timestamp_ms = time.now_ms() if store_now_ms is None else min(time.now_ms(), store_now_ms)
    made = _put(spec, heartbeat, topics, time, timestamp_ms)
    return _logged(spec, made) if store_now_ms is None else _counted(spec, store, made)


def expire(spec: ClockSpec, store: Store) -> Round:
    """Count a round that was found too late: by `beat`, or by a queue that drops what is too old by itself."""
    return _counted(spec, store, Round(expired=True))


def life_ms(heartbeat: HeartbeatSpec) -> int:
    """For how long after it was due a round is still worth putting."""
    return max(heartbeat.every_ms, SHORTEST_LIFE_MS)


def due_ms(heartbeat: HeartbeatSpec, now_ms: int) -> int:
    """The multiple of `every` since the epoch that has passed last."""
    return boundary.floor(now_ms, heartbeat.every_ms)


def retry_after_s(spec: ClockSpec, made: Round, due_ms: int, now_ms: int, tries: int) -> float | None:
    """How long to wait before a round that is not whole is put once more, after `tries` of them; None to let it be."""
    if made.whole or made.expired:
        return None
    wait_s = QUEUED_RETRY.delay_s(tries)
    expires_ms = due_ms + life_ms(_switched_on(spec))
    return wait_s if now_ms + wait_s * 1000 < expires_ms else None


def _switched_on(spec: ClockSpec) -> HeartbeatSpec:
    if spec.heartbeat is None:
        raise InvalidValue(f"clocks.{spec.name}.heartbeat", None, "wanted heartbeats switched on: {every: 60s}")
    return spec.heartbeat


def _store_now_ms(spec: ClockSpec, store: Store) -> int | None:
    try:
        return store.now_ms()
    except ClocksvcError as error:
        _warn_uncounted(spec, error)
        return None


def _put(spec: ClockSpec, heartbeat: HeartbeatSpec, topics: Topics, time: Time, timestamp_ms: int) -> Round:
    listed, unread = _read(topics, spec.topics, time)
    partitions = [
        Partition(topic, number) for topic, shape in sorted(listed.items()) for number in range(shape.partitions)
    ]
    told = topics.put_heartbeats(partitions, timestamp_ms, heartbeat.key, heartbeat.payload, PUT_TIMEOUT_S)
    reasons = {partition: told.get(partition, "no delivery report") for partition in partitions}
    failed = {partition: why for partition, why in reasons.items() if why is not None}
    delivered = tuple(partition for partition in partitions if partition not in failed)
    return Round(timestamp_ms=timestamp_ms, delivered=delivered, failed=failed, unread=unread)


def _read(topics: Topics, names: tuple[str, ...], time: Time) -> tuple[dict[str, TopicMetadata], dict[str, str]]:
    try:
        listed = dict(topics.describe(names).topics)
        unread: dict[str, str] = {}
    except MetadataUnavailable as error:
        listed, unread = _read_one_by_one(topics, names, time, error)
    for name in names:
        if name not in unread and (name not in listed or listed[name].partitions == 0):
            unread[name] = "Kafka does not list it"
    return listed, unread


def _read_one_by_one(
    topics: Topics, names: tuple[str, ...], time: Time, reason: MetadataUnavailable
) -> tuple[dict[str, TopicMetadata], dict[str, str]]:
    """Find the topics that can be read although not all can: for as long as one outage may hold up a round."""
    listed: dict[str, TopicMetadata] = {}
    unread = dict.fromkeys(names, str(reason))
    deadline = time.monotonic() + READ_TIMEOUT_S
    for name in names if len(names) > 1 else ():
        if time.monotonic() >= deadline:
            break
        try:
            listed.update(topics.describe([name]).topics)
            del unread[name]
        except MetadataUnavailable as error:
            unread[name] = str(error)
    return listed, unread


def _counted(spec: ClockSpec, store: Store, made: Round) -> Round:
    _logged(spec, made)
    try:
        store.count_heartbeats(made.outcomes(), success=made.whole)
    except ClocksvcError as error:
        _warn_uncounted(spec, error)
        return made
    return Round(made.expired, made.timestamp_ms, made.delivered, made.failed, made.unread, counted=True)


def _logged(spec: ClockSpec, made: Round) -> Round:
    details = {"clock": spec.name, **made.outcomes()}
    if made.expired:
        logger.warning("round of heartbeats expired", extra=details)
    elif made.whole:
        logger.debug("round of heartbeats delivered", extra=details)
    else:
        reasons = [*made.unread.items(), *((str(partition), why) for partition, why in made.failed.items())]
        logger.warning("heartbeats failed", extra=details | {"reasons": dict(reasons[:10])})
    return made


def _warn_uncounted(spec: ClockSpec, error: ClocksvcError) -> None:
    logger.warning("store out of reach, heartbeats not counted", extra={"clock": spec.name, "error": str(error)})
