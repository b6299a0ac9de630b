"""A store in memory, for one process.

It returns the same results as the Redis store. The tests in `tests/interfaces` run with both.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.request import Request, RequestResult
from clocksvc.clock.roster import Roster
from clocksvc.clock.spec import DAY_MS, Replica
from clocksvc.clock.tick import Tick, first_chain_break
from clocksvc.errors import ChainBroken, LeaseLost, StoreLost, StoreMismatch
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.progress import (
    FORMAT,
    ClockParameters,
    PartitionClock,
    Report,
    ReportAnswer,
    Snapshot,
    StoreIdentity,
)
from clocksvc.interfaces.store import ProgressReading
from clocksvc.interfaces.time import Time
from clocksvc.memory.store_state import StoredLease, StoreState

_FOLLOW_LIMIT = 1_000
_SLOWEST = 10


class MemoryStore:
    """A `Store` for one clock. Safe to use from several threads.

    All replicas count as announced from the beginning, so leaders don't wait for announcements. `follow` and
    `wait_for_notification` wait in real time, not in the time of `time`. With a timeout of 0 they return at once.

    Args:
        clock: the clock's name.
        time: the store's own clock.
        recent_ticks_ms: how long ticks are kept.
    """

    def __init__(self, clock: str, time: Time, recent_ticks_ms: int = 7 * DAY_MS) -> None:
        self._clock = clock
        self._time = time
        self._recent_ticks_ms = recent_ticks_ms
        self._changed = threading.Condition()
        self._state = StoreState(announcements_complete_since_ms=0)

    def close(self) -> None:
        """Nothing to free."""

    # -- reports ----------------------------------------------------------------------------------------------------

    def report(self, report: Report) -> ReportAnswer:
        with self._answering() as state:
            parameters = state.parameters
            if parameters is None or state.identity is None:
                return ReportAnswer((Outcome.UNKNOWN,) * len(report.timestamps), None, state.last_tick_ms())
            _check_format(state.identity)
            if report.group != parameters.group:
                outcomes = self._reject_group(state, report)
            else:
                outcomes = self._receive(state, report, parameters)
            state.reports.update(outcome.value for outcome in outcomes)
            return ReportAnswer(outcomes, parameters, state.last_tick_ms())

    def _receive(self, state: StoreState, report: Report, parameters: ClockParameters) -> tuple[Outcome, ...]:
        now_ms = self._time.now_ms()
        outcomes = tuple(state.receive(reported, parameters, now_ms) for reported in report.timestamps)
        for reported, outcome in report.rejected:
            state.note_rejection(reported.partition, outcome)
            state.reports[outcome.value] += 1
        state.late_records += report.late_records
        if Outcome.UNKNOWN in outcomes:
            state.unknown_seen_ms = now_ms
            self._notify(state)
        self._note_crossing(state)
        return outcomes

    @staticmethod
    def _reject_group(state: StoreState, report: Report) -> tuple[Outcome, ...]:
        for reported in report.timestamps:
            state.note_rejection(reported.partition, Outcome.FOREIGN_GROUP)
        return (Outcome.FOREIGN_GROUP,) * len(report.timestamps)

    # -- the lease --------------------------------------------------------------------------------------------------

    def acquire_lease(self, token: str, holder: str, ttl_ms: int) -> bool:
        with self._answering() as state:
            now_ms = self._time.now_ms()
            lease = state.leader(now_ms)
            if lease is not None and lease.token != token:
                return False
            state.lease = StoredLease(token, holder, now_ms + ttl_ms)
            return True

    def release_lease(self, token: str) -> None:
        with self._answering() as state:
            if state.lease is not None and state.lease.token == token:
                state.lease = None

    def announce(self, replica: str, digest: str, ttl_ms: int, config_json: str = "") -> None:
        with self._answering() as state:
            state.replicas.pop(replica, None)
            if ttl_ms > 0:
                now_ms = self._time.now_ms()
                state.replicas[replica] = (Replica(replica.partition(" ")[0], digest, config_json), now_ms + ttl_ms)
                if (
                    state.announcements_complete_since_ms is None or state.announcements_complete_since_ms > now_ms
                ):  # a later time than now means that the store's clock was set back
                    state.announcements_complete_since_ms = now_ms

    def replicas(self) -> list[Replica]:
        with self._answering() as state:
            return state.alive(self._time.now_ms())

    # -- a leader's writes ------------------------------------------------------------------------------------------

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        with self._leading(token) as state:
            if state.identity is not None and state.identity != identity:
                raise StoreMismatch(
                    f"the store belongs to cluster {state.identity.cluster_id} in format {state.identity.format}, "
                    f"not to cluster {identity.cluster_id} in format {identity.format}"
                )
            state.identity, state.parameters = identity, parameters
            if state.started_ms is None:
                state.started_ms = started_ms

    def write_roster(
        self,
        token: str,
        roster: Roster,
        generation: int,
        exclusions: Sequence[Exclusion] = (),
        pause: Pause | None = None,
    ) -> None:
        with self._leading(token) as state:
            state.replace_roster(roster, generation)
            state.exclusions, state.pause = tuple(exclusions), pause

    def read_progress(self, token: str, ttl_ms: int) -> ProgressReading:
        with self._leading(token) as state:
            now_ms = self._time.now_ms()
            if state.parameters is None or state.generation is None:
                raise StoreLost
            lease = state.lease
            assert lease is not None
            state.lease = StoredLease(token, lease.holder, now_ms + ttl_ms)
            return ProgressReading(
                lowest_ms=state.lowest_ms(),
                count=len(state.clocks) - len(state.excluded),
                generation=state.generation,
                now_ms=now_ms,
                last_tick_ms=state.chain_end_ms(),
                boundary_crossed_at_ms=state.boundary_crossed_at_ms,
                unknown_seen_ms=state.unknown_seen_ms,
                digests=state.digests(now_ms),
                announcements_complete_since_ms=state.announcements_complete_since_ms,
                requests=state.hand_out(now_ms),
            )

    def write_request_results(self, token: str, answers: Mapping[str, RequestResult], ttl_ms: int) -> None:
        with self._leading(token) as state:
            expires_ms = self._time.now_ms() + ttl_ms
            for request_id, answer in answers.items():
                state.write_result(request_id, answer, expires_ms)

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        with self._leading(token) as state:
            broken = first_chain_break(state.chain_end_ms(), ticks)
            if broken is not None:
                raise ChainBroken(
                    f"the store's stream ends with tick {state.chain_end_ms()} ms, but tick {broken.at_ms} ms follows "
                    f"tick {broken.previous_ms} ms"
                )
            now_ms = self._time.now_ms()
            state.ticks.extend(ticks)
            state.trim(now_ms - self._recent_ticks_ms)
            state.boundary_crossed_at_ms = None
            self._note_crossing(state)
            self._changed.notify_all()
            return now_ms

    def rebuild(self, token: str, ticks: Sequence[Tick], last_ms: int | None) -> None:
        with self._leading(token) as state:
            state.ticks = list(ticks)
            state.base_ms = last_ms
            state.boundary_crossed_at_ms = None
            self._note_crossing(state)
            self._changed.notify_all()

    def publish_status(self, token: str, leader_status: str, ttl_ms: int) -> None:
        with self._leading(token) as state:
            state.leader_status = (leader_status, self._time.now_ms() + ttl_ms)

    def wait_for_notification(self, timeout_s: float) -> bool:
        self._wait(lambda state: state.notified, timeout_s)
        with self._answering() as state:
            notified, state.notified = state.notified, False
            return notified

    def notify(self) -> None:
        with self._answering() as state:
            self._notify(state)

    # -- requests to the leader -------------------------------------------------------------------------------------

    def submit_request(self, request: Request) -> bool:
        with self._answering() as state:
            left = state.submit(request, self._time.now_ms())
            if left:
                self._notify(state)
            return left

    def cancel_request(self, request_id: str) -> bool:
        with self._answering() as state:
            return state.cancel(request_id)

    def read_request_result(self, request_id: str) -> RequestResult | None:
        with self._answering() as state:
            return state.result(request_id, self._time.now_ms())

    # -- readers ----------------------------------------------------------------------------------------------------

    def last_tick(self) -> Tick | None:
        with self._answering() as state:
            return state.ticks[-1] if state.ticks else None

    def first_tick(self) -> Tick | None:
        with self._answering() as state:
            return state.ticks[0] if state.ticks else None

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        with self._answering() as state:
            return [tick for tick in state.ticks if tick.at_ms > after_ms][:limit]

    def newest_ticks(self, limit: int) -> list[Tick]:
        with self._answering() as state:
            return state.ticks[max(0, len(state.ticks) - limit) :]

    def follow(self, after_ms: int, timeout_s: float) -> list[Tick]:
        self._wait(lambda state: bool(state.ticks) and state.ticks[-1].at_ms > after_ms, timeout_s)
        return self.ticks_after(after_ms, _FOLLOW_LIMIT)

    def snapshot(self) -> Snapshot:
        with self._answering() as state:
            now_ms = self._time.now_ms()
            lease, leader_status, required = state.leader(now_ms), state.leader_status, state.required()
            unknown = sum(raw_ms is None for _, raw_ms in required)
            return Snapshot(
                now_ms=now_ms,
                parameters=state.parameters,
                leader_status=leader_status[0] if leader_status is not None and now_ms < leader_status[1] else None,
                leader=None if lease is None else lease.holder,
                started_ms=state.started_ms,
                last_tick_ms=state.last_tick_ms(),
                known=len(required) - unknown,
                unknown=unknown,
                excluded=len(state.excluded),
                slowest=tuple(state.clock_of(partition) for partition, _ in required[:_SLOWEST]),
                exclusions=state.exclusions,
                pause=state.pause,
            )

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        with self._answering() as state:
            wanted = sorted(
                p for p in state.clocks if (after is None or p > after) and (topic is None or p.topic == topic)
            )
            return [state.clock_of(partition) for partition in wanted[:limit]]

    def lagging_partitions(self, before_ms: int, limit: int) -> list[PartitionClock]:
        with self._answering() as state:
            late = [p for p, raw_ms in state.required() if raw_ms is None or raw_ms < before_ms]
            return [state.clock_of(partition) for partition in late[:limit]]

    # -- counters ---------------------------------------------------------------------------------------------------

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        with self._answering() as state:
            state.heartbeats.update(outcomes)
            if success:
                state.heartbeat_success_ms = self._time.now_ms()

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        with self._answering() as state:
            if handled:
                state.tasks.setdefault(dispatcher, Counter()).update(handled)
            if at_ms is not None:
                now_ms = self._time.now_ms()
                state.record_checkpoint(dispatcher, at_ms, now_ms, now_ms + ttl_ms)

    def counters(self) -> Counters:
        with self._answering() as state:
            return state.counters(self._time.now_ms())

    # -- tasks that have been run -----------------------------------------------------------------------------------

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        with self._answering() as state:
            now_ms = self._time.now_ms()
            state.remember_finished(task_id, now_ms + kept_ms, now_ms, most)

    def is_task_done(self, task_id: str) -> bool:
        with self._answering() as state:
            duplicate = self._time.now_ms() < state.finished.get(task_id, 0)
            state.task_duplicates += duplicate
            return duplicate

    def now_ms(self) -> int:
        with self._answering():
            return self._time.now_ms()

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _answering(self) -> Iterator[StoreState]:
        with self._changed:
            yield self._state

    @contextmanager
    def _leading(self, token: str) -> Iterator[StoreState]:
        with self._answering() as state:
            lease = state.leader(self._time.now_ms())
            if lease is None or lease.token != token:
                raise LeaseLost
            yield state

    def _wait(self, condition: Callable[[StoreState], bool], timeout_s: float) -> None:
        with self._answering():
            if timeout_s > 0:
                self._changed.wait_for(lambda: condition(self._state), timeout_s)

    def _note_crossing(self, state: StoreState) -> None:
        if state.boundary_crossed_at_ms is None and state.boundary_waits():
            state.boundary_crossed_at_ms = self._time.now_ms()
            self._notify(state)

    def _notify(self, state: StoreState) -> None:
        state.notified = True
        self._changed.notify_all()


def _check_format(identity: StoreIdentity) -> None:
    if abs(identity.format - FORMAT) > 1:
        raise StoreMismatch(f"the store is in format {identity.format}, this reporter writes format {FORMAT}")
