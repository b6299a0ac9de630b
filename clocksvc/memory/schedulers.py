"""The replicas of the scheduler and the leases on partitions in memory."""

from collections.abc import Mapping

from clocksvc.interfaces.schedulers import SchedulerAnnouncement, SchedulersReading
from clocksvc.memory.store_access import StoreAccess


class MemorySchedulers:
    """`Schedulers` of one clock. Safe to use from several threads."""

    def __init__(self, access: StoreAccess, clock: str) -> None:
        self._access = access
        self._clock = clock
        self._time = access.time

    def announce(
        self, announcement: SchedulerAnnouncement, ttl_ms: int, tokens: Mapping[int, str]
    ) -> SchedulersReading:
        with self._access.answering() as content:
            stored, now_ms = content.schedulers_of(self._clock), self._time.now_ms()
            stored.announce(announcement, now_ms, now_ms + ttl_ms)
            for partition, token in tokens.items():
                stored.acquire(partition, token, announcement, now_ms, now_ms + ttl_ms, None)
            return stored.reading(now_ms)

    def acquire(
        self, partition: int, token: str, announcement: SchedulerAnnouncement, ttl_ms: int, instead_of: str | None
    ) -> bool:
        with self._access.answering() as content:
            stored, now_ms = content.schedulers_of(self._clock), self._time.now_ms()
            return stored.acquire(partition, token, announcement, now_ms, now_ms + ttl_ms, instead_of)

    def release(self, partition: int, token: str) -> None:
        with self._access.answering() as content:
            content.schedulers_of(self._clock).release(partition, token)

    def withdraw(self, replica: str, tokens: Mapping[int, str]) -> None:
        with self._access.answering() as content:
            stored = content.schedulers_of(self._clock)
            stored.announcements.pop(replica, None)
            for partition, token in tokens.items():
                stored.release(partition, token)

    def read(self) -> SchedulersReading:
        with self._access.answering() as content:
            return content.schedulers_of(self._clock).reading(self._time.now_ms())
