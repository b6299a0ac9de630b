"""A clock's leader in one process: takes the lease, fences, recovers, then steps; each trouble leads back to the
step that heals it.

It runs in a thread of its own, so that one clock's backlog or trouble never delays another's. `step` says how long
to wait; it never raises for trouble with store, tick log or topics.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum

from clocksvc.clock.holds import (
    Hold,
    Reason,
)
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
    TickLogRefused,
    TickLogTruncated,
    TickLogUnavailable,
    UnreadableRecord,
)
from clocksvc.leader.lease import BACK_OFF_S, POLL_S, Lease
from clocksvc.leader.parts import LeaderDependencies, LeaderObserver, NoObserver
from clocksvc.leader.recovery import claim, read_last, read_roster, reconcile
from clocksvc.leader.step import take_step
from clocksvc.leader.term import Term, adopt_roster

logger = logging.getLogger("clocksvc.leader")

VERDICT_TTL_MS = 30_000
SAY_EVERY_S = 10.0
RETRY_HELD_S = 2.0
KEEP_LEASE_EVERY_S = 0.5
COMPARE_AGAIN_S = 1.0

_HOLDS: dict[type[ClocksvcError], Reason] = {
    StoreMismatch: Reason.STORE_MISMATCH,
    TickLogTruncated: Reason.TICKLOG_TRUNCATED,
    OpenTransaction: Reason.TICKLOG_OPEN_TRANSACTION,
    UnreadableRecord: Reason.TICKLOG_UNAVAILABLE,
    TickLogRefused: Reason.TICKLOG_UNAVAILABLE,
    TickLogUnavailable: Reason.TICKLOG_UNAVAILABLE,
    MetadataUnavailable: Reason.METADATA_UNAVAILABLE,
}


class Phase(StrEnum):
    """Where a leader stands on its way: each phase begins where the one before it ended."""

    STANDBY = "standby"
    FENCING = "fencing"
    RECOVERING = "recovering"
    LEADING = "leading"


class Leader:
    """One clock's leader, or its standby, in this process. Not thread safe: one thread steps it.

    `store_trouble` may be read from any thread: why the store last took no write of this process; None when it did.
    """

    def __init__(self, parts: LeaderDependencies, holder: str, observer: LeaderObserver | None = None) -> None:
        self._parts = parts
        self._observer = observer or NoObserver()
        self._lease = Lease(parts, holder)
        self._started_ms = parts.time.now_ms()
        self._term: Term | None = None
        self._seen: Mapping[str, TopicMetadata] = {}
        self._fenced = False
        self._said: tuple[str, float] | None = None
        self._hold: Hold | None = None
        self._held_until = float("-inf")
        self._recovered_at = float("-inf")
        self.phase = Phase.STANDBY
        self.store_trouble: str | None = None

    def step(self) -> float:
        """Do what comes next; seconds until the next step is due, sooner if the store is woken."""
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
            return self._step_back(error, BACK_OFF_S)
        except OutcomeUnknown as error:
            logger.warning("commit's outcome unknown", extra=self._extra(detail=str(error)))
            return self._enter(Phase.FENCING, 0.0)
        except (TickLogUnavailable, MetadataUnavailable) as error:
            return self._without_kafka(error)
        except (StoreMismatch, TickLogTruncated, OpenTransaction, UnreadableRecord, TickLogRefused) as error:
            self._enter(Phase.FENCING, 0.0)
            wait_s = self._hold_on(error)
            # Another replica may be able to: a newer version, say, or one that was pointed at the right cluster.
            return self._step_back(error, BACK_OFF_S) if self._lease.is_stuck() else wait_s

    def start_over(self) -> None:
        """Throw away all that is in hand and begin with the lease."""
        self._fenced = False
        self._enter(Phase.STANDBY, 0.0)
        self._lease.give_up(BACK_OFF_S)

    def leave(self) -> None:
        """Give the lease up at once, so that another takes over in less than a second; this process ends."""
        if self.phase is not Phase.STANDBY:
            self._enter(Phase.STANDBY, 0.0)
        self._lease.leave()
        self._parts.ticklog.close()

    def _advance(self) -> float:
        if self.phase is Phase.STANDBY:
            return self._take_lease()
        if self._parts.time.monotonic() < self._held_until:
            self._lease.keep()
            return KEEP_LEASE_EVERY_S
        self._lease.work_begins()
        if self.phase is Phase.FENCING:
            return self._fence()
        if self.phase is Phase.RECOVERING:
            return self._recover()
        return self._lead()

    def _take_lease(self) -> float:
        token = self._lease.take()
        if token is None:
            self._fenced = False
            return POLL_S
        logger.info("lease taken", extra=self._extra())
        keep_writer = self._fenced and self._parts.ticklog.writable
        return self._enter(Phase.RECOVERING if keep_writer else Phase.FENCING, 0.0)

    def _fence(self) -> float:
        self._fenced = False
        self._parts.ticklog.ensure_topic(self._lease.keep)
        self._parts.ticklog.fence(self._lease.keep)
        self._fenced = True
        return self._enter(Phase.RECOVERING, 0.0)

    def _recover(self) -> float:
        token = self._lease.token
        if token is None:
            raise LeaseLost
        self._lease.keep()
        metadata, before = self._parts.topics.describe(self._parts.spec.topics), Roster(self._seen)
        self._seen = merge_topics(metadata.topics, self._seen)  # now: whatever ends this recovery ends no knowledge
        self._lease.keep()
        bounds = claim(self._parts, token, self._started_ms, metadata.cluster_id)
        last = read_last(self._parts, self._lease.keep)
        state = last.state
        reconcile(self._parts, token, state, self._lease.keep)
        read_at, digest = self._parts.time.monotonic(), self._lease.config_digest
        term = Term(
            token,
            state,
            bounds,
            self._started_ms,
            before,
            digest,
            self._seen,
            metadata_at=read_at,
            still_since=read_at,
            granted=last.request_ids,
        )
        adopt_roster(self._parts, term, read_roster(self._parts, self._seen, state, metadata))
        self._term = term
        self._lease.work_is_done()
        self._recovered_at = self._parts.time.monotonic()
        logger.info("leading", extra=self._extra(last_tick_ms=state.last_tick_ms))
        return self._enter(Phase.LEADING, 0.0)

    def _lead(self) -> float:
        if self._term is None:
            raise LeaseLost
        self._lease.announce()
        stepped = take_step(self._parts, self._term, self._observer, self._lease.keep)
        self._lease.work_is_done()
        if stepped.judged:
            self._say(stepped.hold)
        else:
            self._said = None
        return stepped.wait_s

    def _lost_lease(self, error: ClocksvcError) -> float:
        logger.warning("lease lost", extra=self._extra(detail=str(error)))
        self._lease.give_up()
        return self._enter(Phase.STANDBY, 0.0)

    def _compare_again(self, error: ChainBroken) -> float:
        """The stream ends otherwise than it should: see the log. Not without a pause, if that did not help just now."""
        again = self._parts.time.monotonic() - self._recovered_at < COMPARE_AGAIN_S
        logger.warning("stream does not end with the last tick", extra=self._extra(detail=str(error)))
        return self._enter(Phase.RECOVERING, POLL_S if again else 0.0)

    def _lost_store(self, error: StoreUnavailable) -> float:
        self.store_trouble = str(error)
        begins = self._hold is None or self._hold.reason is not Reason.STORE_UNAVAILABLE
        if begins:
            logger.warning("store unavailable", extra=self._extra(detail=str(error)))
        self._hold = Hold(Reason.STORE_UNAVAILABLE, detail=str(error))
        if self.phase in (Phase.LEADING, Phase.RECOVERING):
            # The ticks of this step may be committed and not published: the log must be compared again. Both phases
            # write to it: of an interrupted commit only the next fence tells.
            self._enter(Phase.RECOVERING if self._parts.ticklog.writable else Phase.FENCING, 0.0)
        if begins or self._said is not None:
            # A store that forbids one write may take this one, and renew the lease: then nobody else would tell of it.
            with suppress(ClocksvcError):
                self._say(self._hold)
        return KEEP_LEASE_EVERY_S

    def _step_back(self, error: ClocksvcError, back_off_s: float) -> float:
        logger.warning("stepping back", extra=self._extra(detail=f"{type(error).__name__}: {error}"))
        self._lease.give_up(back_off_s)
        return self._enter(Phase.STANDBY, POLL_S)

    def _without_kafka(self, error: ClocksvcError) -> float:
        if isinstance(error, TickLogUnavailable) or self.phase is not Phase.LEADING:
            self._enter(Phase.FENCING, 0.0)
        wait_s = self._hold_on(error, retry_s=KEEP_LEASE_EVERY_S)
        if self._lease.is_stuck():
            self._fenced = False
            return self._step_back(error, BACK_OFF_S)
        return wait_s

    def _hold_on(self, error: ClocksvcError, retry_s: float = RETRY_HELD_S) -> float:
        """Keep the lease, say why nothing comes, and try again later."""
        self._held_until = self._parts.time.monotonic() + retry_s
        try:
            self._say(Hold(_HOLDS[type(error)], detail=str(error)))
        except (LeaseLost, StoreLost) as lost:
            return self._lost_lease(lost)
        except StoreUnavailable as lost_store:
            return self._lost_store(lost_store)
        return min(retry_s, KEEP_LEASE_EVERY_S)

    def _say(self, hold: Hold | None) -> None:
        if hold != self._hold:
            self._log_hold(hold)
        self._hold = hold
        verdict = json.dumps({"hold": None if hold is None else hold.to_wire(), "started_ms": self._started_ms})
        now = self._parts.time.monotonic()
        if self._said is not None and self._said[0] == verdict and now - self._said[1] < SAY_EVERY_S:
            return
        if self._lease.token is not None:
            self._parts.store.publish_status(self._lease.token, verdict, VERDICT_TTL_MS)
            self._said = (verdict, now)

    def _log_hold(self, hold: Hold | None) -> None:
        before, now = (None if each is None else each.reason for each in (self._hold, hold))
        if before == now:
            return
        if hold is None:
            logger.info("clock goes on", extra=self._extra(after=before))
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
            self._said = None
        self.phase = phase
        self._held_until = float("-inf")
        return wait_s

    def _extra(self, **details: object) -> dict[str, object]:
        return {"clock": self._parts.spec.name, **details}
