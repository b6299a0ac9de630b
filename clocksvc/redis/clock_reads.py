"""Reads many clocks from Redis: one script call for all clocks of a log."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from clocksvc.clock.logs import LOGS, group_by_log
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.clock_reads import ClockReading, StreamTail
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import encoding as wire
from clocksvc.redis import scripts
from clocksvc.redis.connection import RESPONSE_TIMEOUT_S, RedisConnection
from clocksvc.redis.errors import error_in_result, translated
from clocksvc.redis.schedulers import read_schedulers
from clocksvc.redis.scripts import Argument, Script, Scripts
from clocksvc.redis.store import SLOWEST

T = TypeVar("T")

_MAX_CLOCKS_PER_CALL = 250
"""The largest number of clocks in one call, which keeps Redis busy for some 10 ms."""
_Batch = tuple[int, Sequence[str]]
"""A log and the clocks of one call."""


class RedisClockReads:
    """`ClockReads` of the clocks with one prefix."""

    def __init__(self, connection: RedisConnection, prefix: str) -> None:
        self._connection = connection
        self._prefix = prefix
        self._monotonic = SystemTime().monotonic

    def read(self, clocks: Collection[str]) -> Mapping[str, ClockReading | StoreUnavailable]:
        def call(batch: _Batch) -> dict[str, ClockReading | StoreUnavailable]:
            return self._call(scripts.READ_CLOCKS, (SLOWEST, *batch[1]), batch, lambda _, item: _read_clock(item))

        return self._read(clocks, call)

    def tails(self, after_ms: Mapping[str, int | None], limit: int) -> Mapping[str, StreamTail | StoreUnavailable]:
        def call(batch: _Batch) -> dict[str, StreamTail | StoreUnavailable]:
            after = ("" if (cursor := after_ms[name]) is None else wire.after_id(cursor) for name in batch[1])
            return self._call(
                scripts.READ_TAILS,
                (limit, *after),
                batch,
                lambda name, item: wire.read_stream_tail(name, after_ms[name], item),
            )

        return self._read(after_ms, call)

    def _call(
        self, script: Script, arguments: Sequence[Argument], batch: _Batch, decode: Callable[[str, Any], T]
    ) -> dict[str, T | StoreUnavailable]:
        """Read the clocks of one call. Raises StoreUnavailable."""
        log, names = batch
        with translated(), self._connection.calling() as redis:
            found = Scripts(self._prefix, log).call(redis, script, arguments, names)
        return {name: _decoded(name, item, decode) for name, item in zip(names, found, strict=True)}

    def _read(
        self, clocks: Collection[str], call: Callable[[_Batch], dict[str, T | StoreUnavailable]]
    ) -> dict[str, T | StoreUnavailable]:
        batches = [
            (log, names[first : first + _MAX_CLOCKS_PER_CALL])
            for log, names in group_by_log(clocks).items()
            for first in range(0, len(names), _MAX_CLOCKS_PER_CALL)
        ]
        if self._connection.is_cluster and len(batches) > 1:
            # The logs are on several nodes. One that hangs must not delay the others.
            with ThreadPoolExecutor(min(len(batches), LOGS), "clock-reads") as threads:
                found = list(threads.map(lambda batch: _or_error(call, batch), batches))
        else:
            found = self._read_in_sequence(call, batches)
        return {name: one for batch in found for name, one in batch.items()}

    def _read_in_sequence(
        self, call: Callable[[_Batch], dict[str, T | StoreUnavailable]], batches: Sequence[_Batch]
    ) -> list[dict[str, T | StoreUnavailable]]:
        """Read all batches from one server. If it hangs, only the first call waits for it."""
        found: list[dict[str, T | StoreUnavailable]] = []
        began, hangs = self._monotonic(), None
        for batch in batches:
            if hangs is not None:
                found.append(dict.fromkeys(batch[1], hangs))
                continue
            try:
                found.append(call(batch))
            except StoreUnavailable as error:
                found.append(dict.fromkeys(batch[1], error))
                hangs = error if self._monotonic() - began >= RESPONSE_TIMEOUT_S else None
        return found


def _decoded(clock: str, item: Any, decode: Callable[[str, Any], T]) -> T | StoreUnavailable:
    """Decode the item of one clock. If another program has damaged its keys, only this clock has an error."""
    if isinstance(item, str):
        return error_in_result(item)
    try:
        return decode(clock, item)
    except (LookupError, TypeError, ValueError) as error:
        return error_in_result(f"WRONGTYPE {error!r}")


def _or_error(
    call: Callable[[_Batch], dict[str, T | StoreUnavailable]], batch: _Batch
) -> dict[str, T | StoreUnavailable]:
    try:
        return call(batch)
    except StoreUnavailable as error:
        return dict.fromkeys(batch[1], error)


def _read_clock(item: Sequence[Any]) -> ClockReading:
    snapshot, counters, schedulers = item
    return ClockReading(wire.read_snapshot(snapshot), wire.read_counters(counters), read_schedulers(schedulers))
