"""The notices of the in-memory store."""

from collections.abc import Collection

from clocksvc.clock.logs import group_by_log
from clocksvc.errors import StoreUnavailable
from clocksvc.memory.store_access import StoreAccess, StoreContent


class MemoryNoticeReader:
    """A `NoticeReader` of some clocks. `read` waits in real time, not in the time of the store."""

    def __init__(self, access: StoreAccess, clocks: Collection[str]) -> None:
        self._access = access
        self._clocks = frozenset(clocks)
        self._logs = tuple(group_by_log(self._clocks))
        self._seen: dict[int, int] | None = None
        self._closed = False

    def read(self, timeout_s: float) -> Collection[str] | None:
        try:
            self._access.wait(lambda content: self._closed or self._numbers(content) != self._seen, timeout_s)
            with self._access.answering() as content:
                return self._take(content)
        except StoreUnavailable:
            self._seen = None
            raise

    def close(self) -> None:
        self._closed = True
        self._access.changed()

    def _take(self, content: StoreContent) -> Collection[str] | None:
        seen, self._seen = self._seen, self._numbers(content)
        if seen is None:
            return None
        clocks: set[str] = set()
        for number, last in seen.items():
            found = content.log(number).notices_after(last)
            if found is None:
                return None
            clocks.update(found)
        return sorted(clocks & self._clocks)

    def _numbers(self, content: StoreContent) -> dict[int, int]:
        return {number: content.log(number).last_notice for number in self._logs}
