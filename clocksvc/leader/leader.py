"""A clock's leader in one process: acquires the lease, fences, recovers, then emits ticks.

After an error, the leader returns to the phase that repairs it.

Each leader has its own thread, so one clock's backlog or errors don't delay another clock.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum

from clocksvc.clock.holds import Hold, Reason
from clocksvc.clock.roster import Roster, TopicMetadata, merge_topics
from clocksvc.errors import (
    ChainBroken,
    ClocksvcError,
    Fenced,
    LeaseLost,
    MetadataUnavailable,
    OpenTransaction,
    OutcomeUnknown,
    StoreLost,
    StoreMismatch,
    StoreUnavailable,
    TickLogMisconfigured,
    TickLogTruncated,
    TickLogUnavailable,
    UnreadableRecord,
)
from clocksvc.leader.context import LeaderDependencies, LeaderObserver, NoObserver, Term, adopt_roster
from clocksvc.leader.lease import (
    CLAIM_EVERY_S,
    HOLD_RETRY_S,
    PUBLISH_STATUS_EVERY_S,
    RENEW_EVERY_S,
    STATUS_TTL_MS,
    STEP_BACK_S,
    Lease,
)
from clocksvc.leader.recovery import claim, read_last_record, read_roster, reconcile
from clocksvc.leader.step import take_step

logger = logging.getLogger("clocksvc.leader")

COMPARE_AGAIN_S = 1.0
"""If the store's stream is broken again so soon after a recovery, the leader waits before it recovers again."""

_HOLDS: dict[type[ClocksvcError], Reason] = {
    StoreMismatch: Reason.STORE_MISMATCH,
    TickLogTruncated: Reason.TICKLOG_TRUNCATED,
    OpenTransaction: Reason.TICKLOG_OPEN_TRANSACTION,
    UnreadableRecord: Reason.TICKLOG_UNAVAILABLE,
    TickLogMisconfigured: Reason.TICKLOG_UNAVAILABLE,
    TickLogUnavailable: Reason.TICKLOG_UNAVAILABLE,
    MetadataUnavailable: Reason.METADATA_UNAVAILABLE,
}


class Phase(StrEnum):
    """The phases of a leader, in order."""

    STANDBY = "standby"
    FENCING = "fencing"
    RECOVERING = "recovering"
    LEADING = "leading"


class Leader:
    """One clock's leader or standby in this process. One thread calls `step`.

    Attributes:
        phase: the present phase. Any thread may read it.
        store_trouble: why the store was unavailable in the last step; None if it was available. Any thread may read it.
    """

    def __init__(self, parts: LeaderDependencies, holder: str, observer: LeaderObserver | None = None) -> None:
        self._parts = parts
        self._observer = observer or NoObserver()
        self._lease = Lease(parts, holder)
        self._started_ms = parts.time.now_ms()
        self._term: Term | None = None
        self._seen: Mapping[str, TopicMetadata] = {}
        self._fenced = False
        self._published: tuple[str, float] | None = None
        self._hold: Hold | None = None
        self._retry_at = float("-inf")
        self._recovered_at = float("-inf")
        self.phase = Phase.STANDBY
        self.store_trouble: str | None = None

    def step(self) -> float:
        """Do the next step. Blocks for as long as store, tick log and topics do. Does not raise their errors.

        Returns:
            The seconds until the next step is due. A notification from the store makes it due at once.
        """
        try:
            wait_s = self._advance()
            self.store_trouble = None
            return wait_s
        except (LeaseLost, StoreLost) as error:
            return self._lost_lease(error)
        except StoreUnavailable as error:
            return self._lost_store(error)
        except ChainBroken as error:
            return self._compare_again(error)
        except Fenced as error:
            self._fenced = False
            return self._step_back(error, STEP_BACK_S)
        except OutcomeUnknown as error:
            logger.warning("commit's outcome unknown", extra=self._extra(detail=str(error)))
            return self._enter(Phase.FENCING, 0.0)
        except (TickLogUnavailable, MetadataUnavailable) as error:
            return self._without_kafka(error)
        except (StoreMismatch, TickLogTruncated, OpenTransaction, UnreadableRecord, TickLogMisconfigured) as error:
            self._enter(Phase.FENCING, 0.0)
            wait_s = self._report_hold_and_retry(error)
            # Another replica may succeed: a newer version, for example, or one that uses the right cluster.
            return self._step_back(error, STEP_BACK_S) if self._lease.is_stuck() else wait_s

    def start_over(self) -> None:
        """Discard everything that the leader knows, release the lease, and start again after a back-off."""
        self._fenced = False
        self._enter(Phase.STANDBY, 0.0)
        self._lease.release(STEP_BACK_S)

    def leave(self) -> None:
        """Release the lease because this process ends. Another process leads in less than a second."""
        if self.phase is not Phase.STANDBY:
            self._enter(Phase.STANDBY, 0.0)
        self._lease.leave()
        self._parts.ticklog.close()

    def _advance(self) -> float:
        if self.phase is Phase.STANDBY:
            return self._acquire_lease()
        if self._parts.time.monotonic() < self._retry_at:
            self._lease.renew()
            return RENEW_EVERY_S
        self._lease.begin_step()
        if self.phase is Phase.FENCING:
            return self._fence()
        if self.phase is Phase.RECOVERING:
            return self._recover()
        return self._lead()

    def _acquire_lease(self) -> float:
        token = self._lease.acquire()
        if token is None:
            self._fenced = False
            return CLAIM_EVERY_S
        logger.info("lease acquired", extra=self._extra())
        keep_writer = self._fenced and self._parts.ticklog.writable
        return self._enter(Phase.RECOVERING if keep_writer else Phase.FENCING, 0.0)

    def _fence(self) -> float:
        self._fenced = False
        self._parts.ticklog.ensure_topic(self._lease.renew)
        self._parts.ticklog.fence(self._lease.renew)
        self._fenced = True
        return self._enter(Phase.RECOVERING, 0.0)

    def _recover(self) -> float:
        token = self._lease.token
        if token is None:
            raise LeaseLost
        self._lease.renew()
        metadata, before = self._parts.topics.describe(self._parts.spec.topics), Roster(self._seen)
        self._seen = merge_topics(metadata.topics, self._seen)  # before the next calls: it is kept even if they fail
        self._lease.renew()
        parameters = claim(self._parts, token, self._started_ms, metadata.cluster_id)
        last = read_last_record(self._parts, self._lease.renew)
        state = last.state
        reconcile(self._parts, token, state, self._lease.renew)
        read_at, digest = self._parts.time.monotonic(), self._lease.config_digest
        term = Term(
            token,
            state,
            parameters,
            self._started_ms,
            before,
            digest,
            self._seen,
            metadata_at=read_at,
            idle_since=read_at,
            committed_request_ids=last.request_ids,
        )
        adopt_roster(self._parts, term, read_roster(self._parts, self._seen, state, metadata))
        self._term = term
        self._lease.record_progress()
        self._recovered_at = self._parts.time.monotonic()
        logger.info("leading", extra=self._extra(last_tick_ms=state.last_tick_ms))
        return self._enter(Phase.LEADING, 0.0)

    def _lead(self) -> float:
        if self._term is None:
            raise LeaseLost
        self._lease.announce()
        result = take_step(self._parts, self._term, self._observer, self._lease.renew)
        self._lease.record_progress()
        if result.evaluated:
            self._publish_status(result.hold)
        else:
            self._published = None
        return result.wait_s

    def _lost_lease(self, error: ClocksvcError) -> float:
        logger.warning("lease lost", extra=self._extra(detail=str(error)))
        self._lease.release()
        return self._enter(Phase.STANDBY, 0.0)

    def _compare_again(self, error: ChainBroken) -> float:
        """Recover again, because the store's stream does not end with the last tick; with a pause if this repeats."""
        again = self._parts.time.monotonic() - self._recovered_at < COMPARE_AGAIN_S
        logger.warning("stream does not end with the last tick", extra=self._extra(detail=str(error)))
        return self._enter(Phase.RECOVERING, CLAIM_EVERY_S if again else 0.0)

    def _lost_store(self, error: StoreUnavailable) -> float:
        self.store_trouble = str(error)
        is_new = self._hold is None or self._hold.reason is not Reason.STORE_UNAVAILABLE
        if is_new:
            logger.warning("store unavailable", extra=self._extra(detail=str(error)))
        self._hold = Hold(Reason.STORE_UNAVAILABLE, detail=str(error))
        if self.phase in (Phase.LEADING, Phase.RECOVERING):
            # This step's ticks may be committed but not published, so the store must be compared with the log again.
            # Both phases write to the log. If a commit was interrupted, its outcome is known only after the next fence.
            self._enter(Phase.RECOVERING if self._parts.ticklog.writable else Phase.FENCING, 0.0)
        if is_new or self._published is not None:
            # A store that rejected one write may accept this one. If it still renews the lease, no other process leads,
            # and only this leader can publish the hold.
            with suppress(ClocksvcError):
                self._publish_status(self._hold)
        return RENEW_EVERY_S

    def _step_back(self, error: ClocksvcError, step_back_s: float) -> float:
        logger.warning("lease released after an error", extra=self._extra(detail=f"{type(error).__name__}: {error}"))
        self._lease.release(step_back_s)
        return self._enter(Phase.STANDBY, CLAIM_EVERY_S)

    def _without_kafka(self, error: ClocksvcError) -> float:
        if isinstance(error, TickLogUnavailable) or self.phase is not Phase.LEADING:
            self._enter(Phase.FENCING, 0.0)
        wait_s = self._report_hold_and_retry(error, retry_s=RENEW_EVERY_S)
        if self._lease.is_stuck():
            self._fenced = False
            return self._step_back(error, STEP_BACK_S)
        return wait_s

    def _report_hold_and_retry(self, error: ClocksvcError, retry_s: float = HOLD_RETRY_S) -> float:
        """Publish the hold, keep the lease, and return the seconds until the next step."""
        self._retry_at = self._parts.time.monotonic() + retry_s
        try:
            self._publish_status(Hold(_HOLDS[type(error)], detail=str(error)))
        except (LeaseLost, StoreLost) as lost:
            return self._lost_lease(lost)
        except StoreUnavailable as lost_store:
            return self._lost_store(lost_store)
        return min(retry_s, RENEW_EVERY_S)

    def _publish_status(self, hold: Hold | None) -> None:
        if hold != self._hold:
            self._log_hold(hold)
        self._hold = hold
        status = json.dumps({"hold": None if hold is None else hold.to_wire(), "started_ms": self._started_ms})
        now = self._parts.time.monotonic()
        if self._published is not None:
            before, at = self._published
            if before == status and now - at < PUBLISH_STATUS_EVERY_S:
                return
        if self._lease.token is not None:
            self._parts.store.publish_status(self._lease.token, status, STATUS_TTL_MS)
            self._published = (status, now)

    def _log_hold(self, hold: Hold | None) -> None:
        before, now = (None if each is None else each.reason for each in (self._hold, hold))
        if before == now:
            return
        if hold is None:
            logger.info("clock continues", extra=self._extra(after=before))
        else:
            named = [str(partition) for partition in hold.partitions[:10]]
            logger.warning("clock holds", extra=self._extra(reason=hold.reason, partitions=named, detail=hold.detail))

    def _enter(self, phase: Phase, wait_s: float) -> float:
        if (phase is Phase.LEADING) != (self.phase is Phase.LEADING):
            self._observer.leading(self._parts.spec.name, phase is Phase.LEADING)
        if phase is not Phase.LEADING:
            if self._term is not None:
                self._seen = self._term.seen
            self._term = None
            self._published = None
        self.phase = phase
        self._retry_at = float("-inf")
        return wait_s

    def _extra(self, **details: object) -> dict[str, object]:
        return {"clock": self._parts.spec.name, **details}
