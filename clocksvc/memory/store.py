"""A store in memory, for one process.

It returns the same results as the Redis store. The tests in `tests/interfaces` run with both.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from clocksvc.clock.logs import log_of
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Outcome, Partition
from clocksvc.clock.request import Request, RequestResult
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.tick import Tick, first_chain_break
from clocksvc.errors import ChainBroken, StoreMismatch
from clocksvc.interfaces.counters import MAX_COUNT, Counters, TaskCounterKey
from clocksvc.interfaces.hold_history import HoldHistory
from clocksvc.interfaces.observations import Observation, PartitionObservation
from clocksvc.interfaces.progress import (
    FORMAT,
    LEADER_SEEN_MS,
    MAX_LATE_RECORDS,
    ClockParameters,
    ForeignReports,
    PartitionClock,
    Report,
    ReportAnswer,
    Snapshot,
    StoreIdentity,
)
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.memory.hold_history import page_of
from clocksvc.memory.store_access import StoreAccess
from clocksvc.memory.store_state import StoredClock


class MemoryStore:
    """A `Store` for one clock. Safe to use from several threads.

    Args:
        access: the access to the store's content.
        clock: the clock's name.
        recent_ticks_ms: how long ticks are kept.
    """

    def __init__(self, access: StoreAccess, clock: str, recent_ticks_ms: int) -> None:
        self._access = access
        self._clock = clock
        self._log = log_of(clock)
        self._recent_ticks_ms = recent_ticks_ms
        self._time = access.time

    def close(self) -> None:
        """Nothing to free."""

    # -- reports ----------------------------------------------------------------------------------------------------

    def report(self, report: Report) -> ReportAnswer:
        with self._answering() as clock:
            parameters = clock.parameters
            if parameters is None or clock.identity is None:
                return ReportAnswer((Outcome.UNKNOWN,) * len(report.timestamps), None, clock.last_tick_ms())
            _check_format(clock.identity)
            if report.group != parameters.group:
                outcomes = (Outcome.FOREIGN_GROUP,) * len(report.timestamps)
                if report.timestamps or report.rejected:
                    clock.reject_group(
                        report.group, (each.partition for each in report.timestamps), self._time.now_ms()
                    )
            else:
                outcomes = self._receive(clock, report, parameters)
            clock.reports.update(outcome.value for outcome in outcomes)
            led = self._time.now_ms() - clock.leader_seen_ms <= LEADER_SEEN_MS
            lowest_ms = clock.lowest_ms() if parameters.max_drift_ms is not None and led else None
            return ReportAnswer(outcomes, parameters, clock.last_tick_ms(), lowest_ms)

    def _receive(self, clock: StoredClock, report: Report, parameters: ClockParameters) -> tuple[Outcome, ...]:
        now_ms = self._time.now_ms()
        outcomes = tuple(
            clock.receive(reported, report.topic_ids.get(reported.partition.topic), parameters, now_ms)
            for reported in report.timestamps
        )
        for reported, outcome in report.rejected:
            clock.note_rejection(reported.partition, outcome, parameters, now_ms)
            clock.reports[outcome.value] += 1
        clock.late_records = min(MAX_COUNT, clock.late_records + max(0, min(report.late_records, MAX_LATE_RECORDS)))
        if report.create_time_topics:
            self._note_create_time(clock, now_ms)
        if Outcome.UNKNOWN in outcomes:
            clock.unknown_seen_ms = now_ms
            self._access.notify(self._log)
        self._update_crossing(clock)
        return outcomes

    def _note_create_time(self, clock: StoredClock, now_ms: int) -> None:
        if not clock.create_time_seen_ms:
            self._access.notify(self._log)
        clock.create_time_seen_ms = now_ms

    # -- the observer of committed offsets ---------------------------------------------------------------------------

    def write_observation(self, observation: Observation, partitions: Mapping[Partition, PartitionObservation]) -> None:
        with self._answering() as clock:
            clock.observation, clock.observed = observation, dict(partitions)

    def observation(self) -> Observation | None:
        with self._answering() as clock:
            return clock.observation

    # -- a leader's writes ------------------------------------------------------------------------------------------

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        with self._leading(token) as clock:
            if clock.identity is not None and clock.identity != identity:
                raise StoreMismatch(
                    f"the store belongs to cluster {clock.identity.cluster_id} in format {clock.identity.format}, "
                    f"not to cluster {identity.cluster_id} in format {identity.format}"
                )
            clock.claimed_by, clock.identity, clock.parameters = token, identity, parameters
            if clock.started_ms is None:
                clock.started_ms = started_ms
            self._update_crossing(clock)

    def roster_topics(self) -> Mapping[str, TopicMetadata]:
        with self._answering() as clock:
            return dict(clock.topics)

    def write_roster(
        self,
        token: str,
        roster: Roster,
        generation: int,
        exclusions: Sequence[Exclusion] = (),
        pause: Pause | None = None,
    ) -> None:
        with self._leading(token) as clock:
            clock.replace_roster(token, roster, generation)
            clock.exclusions, clock.pause = tuple(exclusions), pause
            self._update_crossing(clock)

    def write_request_results(self, token: str, answers: Mapping[str, RequestResult], ttl_ms: int) -> None:
        with self._leading(token) as clock:
            expires_ms = self._time.now_ms() + ttl_ms
            for request_id, answer in answers.items():
                clock.write_result(request_id, answer, expires_ms)

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        with self._leading(token) as clock:
            now_ms = self._time.now_ms()
            if not ticks:
                return now_ms
            broken = first_chain_break(clock.chain_end_ms(), ticks)
            if broken is not None:
                raise ChainBroken(
                    f"the store's stream ends with tick {clock.chain_end_ms()} ms, but tick {broken.at_ms} ms follows "
                    f"tick {broken.previous_ms} ms"
                )
            clock.ticks.extend(ticks)
            clock.trim(now_ms - self._recent_ticks_ms)
            clock.boundary_crossed_at_ms = None
            self._update_crossing(clock)
            self._access.add_notice(self._clock)
            return now_ms

    def begin(self, token: str, base_ms: int | None, *, restoring: bool) -> None:
        with self._leading(token) as clock:
            clock.begin(base_ms, restoring=restoring)
            self._update_crossing(clock)
            self._access.add_notice(self._clock)

    def stage(self, token: str, ticks: Sequence[Tick], *, first: bool) -> None:
        with self._leading(token) as clock:
            clock.stage(ticks, first=first)

    def finish_restoring(self, token: str) -> bool:
        with self._leading(token) as clock:
            restored = clock.finish_restoring()
            if restored:
                self._access.add_notice(self._clock)
            return restored

    # -- status and holds -------------------------------------------------------------------------------------------

    def hold_history(self, before_ms: int | None, limit: int) -> HoldHistory:
        with self._answering() as clock:
            now_ms = self._time.now_ms()
            return page_of(clock.holds, before_ms, limit, now_ms, led=clock.status_at(now_ms) is not None)

    # -- requests to the leader -------------------------------------------------------------------------------------

    def submit_request(self, request: Request) -> bool:
        with self._answering() as clock:
            left = clock.submit(request, self._time.now_ms())
            if left:
                self._access.notify(self._log)
            return left

    def cancel_request(self, request_id: str) -> bool:
        with self._answering() as clock:
            return clock.cancel(request_id)

    def read_request_result(self, request_id: str) -> RequestResult | None:
        with self._answering() as clock:
            return clock.result(request_id, self._time.now_ms())

    # -- readers ----------------------------------------------------------------------------------------------------

    def bounds(self) -> StreamBounds:
        with self._answering() as clock:
            return clock.bounds()

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        with self._answering() as clock:
            return [tick for tick in clock.ticks if tick.at_ms > after_ms][:limit]

    def newest_ticks(self, limit: int) -> list[Tick]:
        with self._answering() as clock:
            return clock.ticks[max(0, len(clock.ticks) - limit) :]

    def snapshot(self) -> Snapshot:
        with self._access.answering() as content:
            return content.snapshot(self._clock, self._time.now_ms())

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        with self._answering() as clock:
            wanted = sorted(
                p for p in clock.clocks if (after is None or p > after) and (topic is None or p.topic == topic)
            )
            return [clock.clock_of(partition) for partition in wanted[:limit]]

    def lagging_partitions(self, before_ms: int, limit: int) -> list[PartitionClock]:
        with self._answering() as clock:
            late = [p for p, raw_ms in clock.required() if raw_ms is None or raw_ms < before_ms]
            return [clock.clock_of(partition) for partition in late[:limit]]

    def foreign_reports(self) -> ForeignReports:
        with self._answering() as clock:
            return clock.foreign

    # -- counters ---------------------------------------------------------------------------------------------------

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        with self._answering() as clock:
            clock.heartbeats.update(outcomes)
            if success:
                clock.heartbeat_success_ms = self._time.now_ms()

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        with self._answering() as clock:
            if handled:
                clock.tasks.setdefault(dispatcher, Counter()).update(handled)
            if at_ms is not None:
                now_ms = self._time.now_ms()
                clock.record_checkpoint(dispatcher, at_ms, now_ms, now_ms + ttl_ms)

    def counters(self) -> Counters:
        with self._answering() as clock:
            return clock.counters(self._time.now_ms())

    # -- tasks that have been run -----------------------------------------------------------------------------------

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        with self._answering() as clock:
            now_ms = self._time.now_ms()
            clock.remember_finished(task_id, now_ms + kept_ms, now_ms, most)

    def is_task_done(self, task_id: str) -> bool:
        with self._answering() as clock:
            duplicate = self._time.now_ms() < clock.finished.get(task_id, 0)
            clock.task_duplicates += duplicate
            return duplicate

    def now_ms(self) -> int:
        with self._answering():
            return self._time.now_ms()

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _answering(self) -> Iterator[StoredClock]:
        with self._access.answering() as content:
            yield content.clock(self._clock)

    @contextmanager
    def _leading(self, token: str) -> Iterator[StoredClock]:
        with self._access.leading(self._log, token) as content:
            yield content.clock(self._clock)

    def _update_crossing(self, clock: StoredClock) -> None:
        """Set or clear the time at which the minimum reached the next boundary. Notify the leader when it is set."""
        if not clock.boundary_waits():
            clock.boundary_crossed_at_ms = None
        elif clock.boundary_crossed_at_ms is None:
            clock.boundary_crossed_at_ms = self._time.now_ms()
            self._access.notify(self._log)


def _check_format(identity: StoreIdentity) -> None:
    if abs(identity.format - FORMAT) > 1:
        raise StoreMismatch(f"the store is in format {identity.format}, this reporter writes format {FORMAT}")
