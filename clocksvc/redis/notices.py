"""Follows notices in Redis: the streams of the logs, with one blocking command for all of them.

In a Redis cluster a command can't read keys with different hash tags. There, one thread for each log reads its stream.
"""

import queue
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any

from clocksvc.clock.logs import group_by_log
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.notices import NoticeReader
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis.connection import RedisConnection, blocking_slices
from clocksvc.redis.errors import translated
from clocksvc.redis.keys import log_key

_COMPARE_EVERY_S = 1.0
_RETRY_S = 1.0
_BLOCK_S = 0.5
"""How long one command blocks, and so how long a read goes on after `close`."""
_Found = Collection[str] | StoreUnavailable | None


def open_notices(connection: RedisConnection, prefix: str, clocks: Collection[str]) -> NoticeReader:
    """Return a reader of the notices of some clocks."""
    streams = [log_key(prefix, log, "notices") for log in group_by_log(clocks)]
    if connection.is_cluster:
        return _ClusterNoticeReader([_StreamReader(connection, [stream], clocks) for stream in streams])
    return _StreamReader(connection, streams, clocks)


class _StreamReader:
    """Reads some notice streams with one blocking command.

    A command waits for ids above the last one that it has seen. So it does not return if the store lost its notices and
    begins again at lower numbers. Therefore the reader also compares the ends of the streams with its own numbers, once
    a second.
    """

    def __init__(self, connection: RedisConnection, streams: Collection[str], clocks: Collection[str]) -> None:
        self._connection = connection
        self._streams = tuple(streams)
        self._clocks = frozenset(clocks)
        self._monotonic = SystemTime().monotonic
        self._seen: dict[str, int] | None = None
        self._compared = 0.0
        self._closed = False

    def read(self, timeout_s: float) -> Collection[str] | None:
        try:
            with translated():
                return self._read(timeout_s)
        except StoreUnavailable:
            self._seen = None
            raise

    def close(self) -> None:
        self._closed = True

    def _read(self, timeout_s: float) -> Collection[str] | None:
        if self._seen is None:
            self._seen = self._last_numbers()
            return None
        for block_s in (0.0,) if timeout_s <= 0 else blocking_slices(timeout_s, self._monotonic):
            found = self._read_streams(self._seen, min(block_s, _BLOCK_S))
            if found is None or self._lost(self._seen):
                self._seen = self._last_numbers()
                return None
            if found or self._closed:
                return found
        return []

    def _read_streams(self, seen: dict[str, int], block_s: float) -> Collection[str] | None:
        """Return the clocks of new notices; None if there is a gap in their numbers."""
        after: Mapping[Any, Any] = {stream: f"{number}-0" for stream, number in seen.items()}
        client: Any = self._connection.client()
        clocks: set[str] = set()
        for stream, entries in client.xread(after, block=int(block_s * 1000) or None) or ():
            for entry_id, fields in entries:
                if _number(entry_id) != seen[stream] + 1:
                    return None
                seen[stream] += 1
                clocks.add(fields["c"])
        return sorted(clocks & self._clocks)

    def _lost(self, seen: Mapping[str, int]) -> bool:
        if self._monotonic() - self._compared < _COMPARE_EVERY_S:
            return False
        last = self._last_numbers()
        return any(last[stream] < number for stream, number in seen.items())

    def _last_numbers(self) -> dict[str, int]:
        self._compared = self._monotonic()
        with self._connection.calling() as redis:
            newest = {stream: redis.xrevrange(stream, count=1) for stream in self._streams}
        return {stream: _number(entries[0][0]) if entries else 0 for stream, entries in newest.items()}


class _ClusterNoticeReader:
    """Reads notice streams on different nodes, with one thread for each stream. The first `read` starts the threads."""

    def __init__(self, readers: Collection[_StreamReader]) -> None:
        self._readers = tuple(readers)
        self._found: queue.SimpleQueue[_Found] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []

    def read(self, timeout_s: float) -> Collection[str] | None:
        if not self._threads:
            self._threads = [threading.Thread(target=self._follow, args=(one,), daemon=True) for one in self._readers]
            for thread in self._threads:
                thread.start()
            return None
        clocks: set[str] = set()
        for found in self._take(timeout_s):
            if isinstance(found, StoreUnavailable):
                raise found
            if found is None:
                return None
            clocks.update(found)
        return sorted(clocks)

    def close(self) -> None:
        self._closed.set()
        self._found.put(())

    def _take(self, timeout_s: float) -> Iterator[_Found]:
        """Yield everything that was found, errors first; then what was missed. Waits for the first one."""
        found: list[_Found] = []
        with suppress(queue.Empty):
            found.append(self._found.get(timeout=timeout_s) if timeout_s > 0 else self._found.get_nowait())
            while True:
                found.append(self._found.get_nowait())
        return iter(sorted(found, key=lambda one: (not isinstance(one, StoreUnavailable), one is not None)))

    def _follow(self, reader: _StreamReader) -> None:
        while not self._closed.is_set():
            try:
                found = reader.read(_RETRY_S)
            except StoreUnavailable as error:
                self._found.put(error)
                self._closed.wait(_RETRY_S)
            except Exception:
                if not self._closed.is_set():
                    raise
                return  # the connection was closed during a read
            else:
                if found is None or found:
                    self._found.put(found)


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0])
