"""Implements the store interface with Redis. Each method calls one script or one command on the keys of one clock.

The store does not cache a clock's state. All reads and writes go to the master.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from clocksvc.clock.logs import log_of
from clocksvc.clock.overrides import Exclusion, Pause
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestResult, decode_result
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.clock.spec import DAY_MS
from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.counters import Counters, TaskCounterKey
from clocksvc.interfaces.hold_history import HoldHistory
from clocksvc.interfaces.observations import Observation, PartitionObservation
from clocksvc.interfaces.progress import (
    ClockParameters,
    ForeignReports,
    PartitionClock,
    Report,
    ReportAnswer,
    Snapshot,
    StoreIdentity,
)
from clocksvc.interfaces.tick_stream import StreamBounds
from clocksvc.redis import encoding as wire
from clocksvc.redis import scripts
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.errors import translated
from clocksvc.redis.observation_encoding import observation_arguments, read_observation
from clocksvc.redis.scripts import Argument, Script, Scripts
from clocksvc.redis_url import parse_redis_url

SLOWEST = 10
"""The number of slowest partitions in a snapshot."""
_STAGE_CHUNK = 1_000
_STAGED_TTL_MS = DAY_MS
"""After the last `stage`. A restoration that reads a long log stages the few ticks of a slow clock at its beginning."""


class RedisStore:
    """One clock's volatile state in Redis.

    Attributes:
        prefix: the prefix of the keys.
    """

    def __init__(
        self,
        connection: RedisConnection,
        prefix: str,
        clock: str,
        recent_ticks_ms: int = 7 * DAY_MS,
        *,
        owns_connection: bool = False,
    ) -> None:
        self.prefix = prefix
        self._connection = connection
        self._clock = clock
        self._recent_ticks_ms = recent_ticks_ms
        self._owns_connection = owns_connection
        self._scripts = Scripts(prefix, log_of(clock), clock)
        self._ticks = self._scripts.key("ticks")

    def close(self) -> None:
        if self._owns_connection:
            self._connection.close()

    # -- reports ------------------------------------------------------------------------------------------------------

    def report(self, report: Report) -> ReportAnswer:
        return wire.read_report_answer(report, self._call(scripts.REPORT, wire.report_arguments(report)))

    # -- the observer of committed offsets ----------------------------------------------------------------------------

    def write_observation(self, observation: Observation, partitions: Mapping[Partition, PartitionObservation]) -> None:
        self._call(scripts.WRITE_OBSERVATION, observation_arguments(observation, partitions))

    def observation(self) -> Observation | None:
        with self._redis() as redis:
            return read_observation(redis.get(self._scripts.key("observation")))

    # -- writes of the leader -----------------------------------------------------------------------------------------

    def claim(self, token: str, identity: StoreIdentity, parameters: ClockParameters, started_ms: int) -> None:
        self._call(scripts.CLAIM, (token, *wire.claim_arguments(identity, parameters), started_ms))

    def roster_topics(self) -> Mapping[str, TopicMetadata]:
        with self._redis() as redis:
            return wire.read_roster_topics(redis.hget(self._scripts.key("state"), "roster"))

    def write_roster(
        self,
        token: str,
        roster: Roster,
        generation: int,
        exclusions: Sequence[Exclusion] = (),
        pause: Pause | None = None,
    ) -> None:
        self._call(scripts.WRITE_ROSTER, (token, *wire.roster_arguments(roster, generation, exclusions, pause)))

    def write_request_results(self, token: str, results: Mapping[str, RequestResult], ttl_ms: int) -> None:
        self._call(scripts.WRITE_REQUEST_RESULTS, (token, ttl_ms, *wire.request_result_arguments(results)))

    def publish(self, token: str, ticks: Sequence[Tick]) -> int:
        arguments = (token, *wire.publish_arguments(self._clock, ticks, self._recent_ticks_ms))
        with self._redis() as redis:
            now_ms, (broken,) = self._scripts.call(redis, scripts.PUBLISH, arguments, (self._clock,))
        if broken:
            raise ChainBroken(broken)
        return int(now_ms)

    def begin(self, token: str, base_ms: int | None, *, restoring: bool) -> None:
        self._call(scripts.BEGIN, (token, self._clock, wire.optional_ms(base_ms), int(restoring)))

    def stage(self, token: str, ticks: Sequence[Tick], *, first: bool) -> None:
        for start in range(0, max(1, len(ticks)), _STAGE_CHUNK):
            chunk = wire.tick_arguments(ticks[start : start + _STAGE_CHUNK])
            self._call(scripts.STAGE, (token, int(first and start == 0), _STAGED_TTL_MS, *chunk))

    def finish_restoring(self, token: str) -> bool:
        return bool(self._call(scripts.FINISH_RESTORING, (token, self._clock)))

    # -- status and holds ---------------------------------------------------------------------------------------------

    def hold_history(self, before_ms: int | None, limit: int) -> HoldHistory:
        answer = self._call(scripts.HOLD_HISTORY, (wire.optional_ms(before_ms), 2 * limit + 2))
        return wire.read_hold_history(answer, limit)

    # -- requests to the leader ---------------------------------------------------------------------------------------

    def submit_request(self, request: Request) -> bool:
        return bool(self._call(scripts.SUBMIT_REQUEST, wire.request_arguments(request)))

    def cancel_request(self, request_id: str) -> bool:
        return bool(self._call(scripts.CANCEL_REQUEST, (request_id,)))

    def read_request_result(self, request_id: str) -> RequestResult | None:
        return decode_result(self._call(scripts.READ_REQUEST_RESULT, (request_id,)))

    # -- readers ------------------------------------------------------------------------------------------------------

    def bounds(self) -> StreamBounds:
        return wire.read_bounds(self._clock, self._call(scripts.BOUNDS))

    def ticks_after(self, after_ms: int, limit: int) -> list[Tick]:
        return self._range(f"({wire.after_id(after_ms)}", limit)

    def newest_ticks(self, limit: int) -> list[Tick]:
        if limit <= 0:
            return []
        with self._redis() as redis:
            return wire.read_ticks(self._clock, redis.xrevrange(self._ticks, count=limit)[::-1])

    def snapshot(self) -> Snapshot:
        return wire.read_snapshot(self._call(scripts.SNAPSHOT, (SLOWEST, self._clock)))

    def partitions(self, after: Partition | None, limit: int, topic: str | None = None) -> list[PartitionClock]:
        after_topic, after_number = after or ("", -1)
        return wire.read_partition_clocks(
            self._call(scripts.PARTITIONS, (after_topic, after_number, limit, topic or ""))
        )

    def lagging_partitions(self, before_ms: int, limit: int) -> list[PartitionClock]:
        return wire.read_partition_clocks(self._call(scripts.LAGGING_PARTITIONS, (before_ms, limit)))

    def foreign_reports(self) -> ForeignReports:
        with self._redis() as redis:
            return wire.read_foreign_reports(
                *redis.hmget(self._scripts.key("signals"), "foreign_group", "foreign_topic")
            )

    # -- counters -----------------------------------------------------------------------------------------------------

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        counted = [item for outcome in outcomes.items() for item in outcome]
        self._call(scripts.COUNT_HEARTBEATS, (int(success), *counted))

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        self._call(scripts.COUNT_TASKS, wire.task_arguments(dispatcher, handled, at_ms, ttl_ms))

    def counters(self) -> Counters:
        return wire.read_counters(self._call(scripts.COUNTERS))

    # -- completed tasks ----------------------------------------------------------------------------------------------

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        self._call(scripts.MARK_TASK_DONE, (task_id, kept_ms, most))

    def is_task_done(self, task_id: str) -> bool:
        return bool(self._call(scripts.IS_TASK_DONE, (task_id,)))

    def now_ms(self) -> int:
        return int(self._call(scripts.NOW))

    # -- private ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _redis(self) -> Iterator[Any]:
        with translated(), self._connection.calling() as redis:
            yield redis

    def _call(self, script: Script, arguments: Iterable[Argument] = ()) -> Any:
        with self._redis() as redis:
            return self._scripts.call(redis, script, arguments)

    def _range(self, start: str, limit: int) -> list[Tick]:
        if limit <= 0:
            return []
        with self._redis() as redis:
            return wire.read_ticks(self._clock, redis.xrange(self._ticks, min=start, count=limit))


def open_redis_store(url: str, clock: str, prefix: str = "clocksvc") -> RedisStore:
    """Return one clock's store, with its own connection. A `?prefix=` in the URL overrides `prefix`.

    Raises:
        InvalidValue: the URL is not valid.
    """
    address = parse_redis_url(url)
    return RedisStore(RedisConnection(address), address.prefix or prefix, clock, owns_connection=True)
