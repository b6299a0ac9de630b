"""A log's leader in one process: acquires the lease, fences, recovers, then does round after round.

After an error, the leader returns to the phase that repairs it. Each log has its own thread, so one log's backlog or
errors don't delay another log.
"""

import logging
from contextlib import suppress
from enum import StrEnum

from clocksvc.clock.holds import Hold, Reason
from clocksvc.errors import (
    ClocksvcError,
    Fenced,
    LeaderStuck,
    LeaseLost,
    MetadataUnavailable,
    OffsetGap,
    OpenTransaction,
    OutcomeUnknown,
    RecordRejected,
    StoreMismatch,
    StoreUnavailable,
    TickLogMisconfigured,
    TickLogUnavailable,
    UnreadableRecord,
)
from clocksvc.leader.context import LeaderDependencies, LeaderObserver, NoObserver
from clocksvc.leader.lease import CLAIM_EVERY_S, HOLD_RETRY_S, RENEW_EVERY_S, STEP_BACK_S, Lease
from clocksvc.leader.ranking import successor
from clocksvc.leader.recovery import KnownStore, begin_term, check_owner
from clocksvc.leader.restoring import Restoration
from clocksvc.leader.round import Round
from clocksvc.leader.status import StatusPublisher
from clocksvc.leader.term import Term, Trouble
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers

logger = logging.getLogger("clocksvc.leader")

GATHER_PER_CLOCK_S = 0.001
MAX_GATHER_S = 0.1
"""The least time between a step with ticks and the next step, if a notification ends the wait: GATHER_PER_CLOCK_S for
each clock of the log, at most MAX_GATHER_S."""

_HOLDS: dict[type[ClocksvcError], Reason] = {
    StoreUnavailable: Reason.STORE_UNAVAILABLE,
    StoreMismatch: Reason.STORE_MISMATCH,
    OpenTransaction: Reason.TICKLOG_OPEN_TRANSACTION,
    TickLogMisconfigured: Reason.TICKLOG_UNAVAILABLE,
    TickLogUnavailable: Reason.TICKLOG_UNAVAILABLE,
    UnreadableRecord: Reason.TICKLOG_UNAVAILABLE,
    MetadataUnavailable: Reason.METADATA_UNAVAILABLE,
}


_repeated_lines = RepeatedLines(logger)
"""Shared by all leaders of the process, because a server that can't be reached fails the rounds of all logs."""


class Phase(StrEnum):
    """The phases of a leader, in order."""

    STANDBY = "standby"
    FENCING = "fencing"
    LEADING = "leading"


class Leader:
    """One log's leader or standby in this process. One thread calls `step`.

    Attributes:
        phase: the present phase. Any thread may read it.
        store_trouble: why the store was unavailable in the last step; None if it was available. Any thread may read it.
    """

    def __init__(self, parts: LeaderDependencies, holder: str, observer: LeaderObserver | None = None) -> None:
        self._parts = parts
        self._observer = observer or NoObserver()
        self._lease = Lease(parts, holder)
        self._started_ms = parts.time.now_ms()
        self._troubles = {name: Trouble() for name in parts.specs}
        self._snapshots = Trouble()
        self._statuses = StatusPublisher(parts.specs, parts.leases, parts.time, self._started_ms)
        self._term: Term | None = None
        self._restoration = Restoration()
        self._last_error: ClocksvcError | None = None
        self._warned = False
        self._retry_at = float("-inf")
        self._ticked_at = float("-inf")
        self.phase = Phase.STANDBY
        self.store_trouble: str | None = None

    def step(self) -> float:
        """Do the next step. Blocks for as long as store, tick log and topics do. Does not raise their errors.

        Returns:
            The seconds until the next step is due. A notification from the store makes it due at once.
        """
        try:
            wait_s = self._advance()
            if self.store_trouble is not None:
                _repeated_lines.clear()
            self.store_trouble = None
            return wait_s
        except StoreUnavailable as error:
            return self._lost_store(error)
        except LeaseLost as error:
            return self._lost_lease(error)
        except LeaderStuck as error:
            return self._stuck(error)
        except ClocksvcError as error:
            return self._failed(error)

    def gather_s(self) -> float:
        """Return how long the next step must wait after a notification, so that clocks that are due together share it.

        The first tick of a boundary is emitted at once. If the last step has just emitted ticks, further clocks of the
        log are probably about to reach the same boundary.
        """
        clocks = len(self._parts.specs)
        if self._term is None or clocks == 1:
            return 0.0
        gather_s = min(MAX_GATHER_S, clocks * GATHER_PER_CLOCK_S)
        return max(0.0, self._ticked_at + gather_s - self._parts.time.monotonic())

    def start_over(self) -> None:
        """Discard everything that the leader knows, release the lease, and start again after a back-off."""
        self._enter(Phase.STANDBY)
        self._lease.release(STEP_BACK_S)

    def leave(self) -> None:
        """Release the lease because this process ends. Another process leads in less than a second."""
        self._enter(Phase.STANDBY)
        self._lease.leave()
        self._parts.ticklog.close()

    def _advance(self) -> float:
        if self.phase is Phase.STANDBY:
            return self._claim()
        if self._parts.time.monotonic() < self._retry_at:
            self._lease.renew()
            return RENEW_EVERY_S
        if self.phase is Phase.FENCING:
            return self._begin_term()
        return self._lead()

    def _claim(self) -> float:
        if self._lease.claim() is None:
            return CLAIM_EVERY_S
        logger.info("lease acquired", extra=self._extra())
        for trouble in self._troubles.values():
            trouble.retry_at = float("-inf")  # another leader may have ended it
        self._last_error = None
        self._enter(Phase.FENCING)
        return 0.0

    def _begin_term(self) -> float:
        token, ticklog, keep_alive = self._lease.token, self._parts.ticklog, self._lease.renew
        if token is None:
            raise LeaseLost
        ticklog.ensure_topic(keep_alive)
        store = KnownStore(self._lease.read_mark(), self._lease.seen_stores)
        check_owner(self._parts, store, keep_alive)  # before the fence, which would disturb another installation
        keep_alive()  # after an error of the store, another process may lead by now, and would be fenced
        ticklog.fence(keep_alive)
        self._term = begin_term(self._parts, token, store, self._troubles, self._snapshots, keep_alive)
        self._restoration = Restoration()
        logger.info("leading", extra=self._extra(end=self._term.end))
        self._enter(Phase.LEADING)
        return 0.0

    def _lead(self) -> float:
        term = self._term
        if term is None:
            raise LeaseLost
        self._lease.check_progress()  # first: without the store, the next call raises
        self._lease.announce()
        started_ms, renew, renewed_at = self._started_ms, self._lease.renew, self._lease.renewed_at
        result = Round(self._parts, term, self._restoration, self._observer, started_ms, renew, renewed_at).run()
        self._lease.record_progress()
        if self._warned:
            _repeated_lines.clear()
        self._last_error, self._warned = None, False
        if result.ticked:
            self._ticked_at = self._parts.time.monotonic()
        self._statuses.invalidate(result.prepared)
        self._statuses.publish(term.token, result.holds, result.due_ticks)
        announced = result.reading.announcements
        if term.ready_before is None:
            term.ready_before = {one.replica: one.ready_ms for one in announced}
        better = successor(self._parts.log, self._lease.replica, announced, term.ready_before)
        if better is not None:
            return self._hand_over(better)
        return result.wait_s

    def _hand_over(self, replica: str) -> float:
        logger.info("log handed over", extra=self._extra(successor=replica))
        self._enter(Phase.STANDBY)
        self._lease.release()
        return CLAIM_EVERY_S

    # -- errors -------------------------------------------------------------------------------------------------------

    def _lost_store(self, error: StoreUnavailable) -> float:
        if self.store_trouble is None:
            self._warn("store unavailable", error)
        self.store_trouble, self._last_error = str(error), error
        self._lease.lose_store()
        if self._term is not None:
            for clock in self._term.clocks.values():
                clock.prepared = False  # what was committed may not be published
            if self._term.writing:
                self._enter(Phase.FENCING)
        with suppress(ClocksvcError):
            # A store that rejected one write may accept this one. If it still renews the lease, no other process leads,
            # and only this leader can publish the hold.
            self._publish(Hold(Reason.STORE_UNAVAILABLE, detail=str(error)))
        return RENEW_EVERY_S

    def _lost_lease(self, error: ClocksvcError) -> float:
        logger.warning("lease lost", extra=self._extra(detail=str(error)))
        self._enter(Phase.STANDBY)
        self._lease.lose()
        return 0.0

    def _stuck(self, error: LeaderStuck) -> float:
        """Publish why no round was completed, release the lease, and step back for another replica."""
        cause = self._last_error
        reason = Reason.LEADER_STUCK if cause is None else _HOLDS.get(type(cause), Reason.LEADER_STUCK)
        detail = str(error) if cause is None else f"{error}: {cause}"
        logger.warning("lease released, no progress", extra=self._extra(reason=reason, detail=detail))
        with suppress(ClocksvcError):
            self._publish(Hold(reason, detail=detail))
        if not isinstance(cause, StoreUnavailable):
            return self._step_back()
        # Without the store, no other replica can lead either. When it answers again, this one leads again.
        wait_s = self._step_back(0.0)
        self._lease.lose()
        return wait_s

    def _failed(self, error: ClocksvcError) -> float:
        """Return to the phase that repairs an error of the tick log or of Kafka."""
        self._last_error = error
        self._warn("round failed", error, failure=type(error).__name__)
        if isinstance(error, Fenced):
            return self._step_back()
        if isinstance(error, RecordRejected):
            self._blame(error)
        at_once = self._term is not None or isinstance(error, RecordRejected)
        keeps_writer = isinstance(error, MetadataUnavailable | StoreMismatch | UnreadableRecord)
        if not keeps_writer or self._term is None or self._term.writing:
            self._enter(Phase.FENCING)
        if isinstance(error, OutcomeUnknown | OffsetGap | RecordRejected):
            # If a term can't begin, another attempt at once is unlikely to succeed. It is no hold yet.
            retry_s = 0.0 if at_once else RENEW_EVERY_S
            self._retry_at = self._parts.time.monotonic() + retry_s
            return retry_s
        waits = isinstance(error, StoreMismatch | OpenTransaction | TickLogMisconfigured | UnreadableRecord)
        retry_s = HOLD_RETRY_S if waits else RENEW_EVERY_S
        self._retry_at = self._parts.time.monotonic() + retry_s
        reason = _HOLDS.get(type(error), Reason.LEADER_STUCK)
        try:
            self._publish(Hold(reason, detail=str(error)))
        except StoreUnavailable as lost:
            return self._lost_store(lost)
        except LeaseLost as lost:
            return self._lost_lease(lost)
        return min(retry_s, RENEW_EVERY_S)

    def _blame(self, error: RecordRejected) -> None:
        """Leave the clocks of rejected records out of the next rounds."""
        now = self._parts.time.monotonic()
        for key in error.keys:
            trouble = self._troubles.get((key or b"").decode(errors="replace"))
            if trouble is not None:
                trouble.fail(Hold(Reason.TICKLOG_UNAVAILABLE, detail=str(error)), now, rejected=True)

    def _step_back(self, step_back_s: float = STEP_BACK_S) -> float:
        self._enter(Phase.STANDBY)
        self._lease.release(step_back_s)
        return CLAIM_EVERY_S

    def _publish(self, hold: Hold) -> None:
        """Publish a hold of all clocks of the log."""
        token = self._lease.token
        if token is not None:
            self._statuses.publish(token, dict.fromkeys(self._parts.specs, hold))

    def _enter(self, phase: Phase) -> None:
        if (phase is Phase.LEADING) != (self.phase is Phase.LEADING):
            self._observer.leading(self._parts.log, phase is Phase.LEADING)
        if phase is not Phase.LEADING:
            self._term = None
            self._statuses.invalidate()
        self.phase = phase
        self._retry_at = float("-inf")

    def _warn(self, message: str, error: ClocksvcError, **details: object) -> None:
        self._warned = True
        state = (message, type(error), without_numbers(str(error)))
        extra = self._extra(**details, detail=str(error))
        _repeated_lines.log(self._parts.time.monotonic(), logging.WARNING, state, message, extra=extra)

    def _extra(self, **details: object) -> dict[str, object]:
        return {"log": self._parts.log, **details}
