"""Implements the replicas of the scheduler and the leases on partitions with Redis. Each method calls one script."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from clocksvc.clock.logs import log_of
from clocksvc.interfaces.schedulers import PartitionLease, SchedulerAnnouncement, SchedulersReading
from clocksvc.redis import scripts
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.encoding import optional_time
from clocksvc.redis.errors import translated
from clocksvc.redis.scripts import Argument, Script, Scripts


class RedisSchedulers:
    """`Schedulers` of one clock."""

    def __init__(self, connection: RedisConnection, prefix: str, clock: str) -> None:
        self._connection = connection
        self._scripts = Scripts(prefix, log_of(clock), clock)

    def announce(
        self, announcement: SchedulerAnnouncement, ttl_ms: int, tokens: Mapping[int, str]
    ) -> SchedulersReading:
        body = {
            "address": announcement.address,
            "leaving": announcement.leaving,
            "loaded": sorted(announcement.loaded),
            "owned": sorted(announcement.owned),
            "failing": sorted(announcement.failing),
            "stats": announcement.stats,
        }
        arguments = (announcement.replica, ttl_ms, json.dumps(body), _holder(announcement), *_leases(tokens))
        return read_schedulers(self._call(scripts.ANNOUNCE_SCHEDULER, arguments))

    def acquire(
        self, partition: int, token: str, announcement: SchedulerAnnouncement, ttl_ms: int, instead_of: str | None
    ) -> bool:
        arguments = (partition, token, ttl_ms, _holder(announcement), instead_of or "")
        return bool(self._call(scripts.ACQUIRE_PARTITION, arguments))

    def release(self, partition: int, token: str) -> None:
        self._call(scripts.RELEASE_PARTITIONS, ("", partition, token))

    def withdraw(self, replica: str, tokens: Mapping[int, str]) -> None:
        self._call(scripts.RELEASE_PARTITIONS, (replica, *_leases(tokens)))

    def read(self) -> SchedulersReading:
        return read_schedulers(self._call(scripts.READ_SCHEDULERS))

    def _call(self, script: Script, arguments: Iterable[Argument] = ()) -> Any:
        with translated(), self._connection.calling() as redis:
            return self._scripts.call(redis, script, arguments)


def _holder(announcement: SchedulerAnnouncement) -> str:
    return json.dumps([announcement.replica, announcement.address])


def _leases(tokens: Mapping[int, str]) -> Iterator[Argument]:
    for partition_and_token in tokens.items():
        yield from partition_and_token


def read_schedulers(answer: Sequence[Any]) -> SchedulersReading:
    """Decode the result of read_schedulers.lua."""
    now_ms, since_ms, announcements, leases = answer
    live = sorted(zip(announcements[::2], announcements[1::2], strict=True))
    found = zip(leases[::3], leases[1::3], leases[2::3], strict=True)
    return SchedulersReading(
        now_ms=int(now_ms),
        announcements=tuple(_read_announcement(*one) for one in live),
        announcements_complete_since_ms=optional_time(since_ms),
        leases={int(partition): PartitionLease(token, *json.loads(holder)) for partition, token, holder in found},
    )


@lru_cache(maxsize=64)  # processes read more often than announcements change
def _read_announcement(replica: str, text: str) -> SchedulerAnnouncement:
    body = json.loads(text)
    return SchedulerAnnouncement(
        replica=replica,
        address=body["address"],
        leaving=body["leaving"],
        loaded=frozenset(body["loaded"]),
        owned=frozenset(body["owned"]),
        failing=frozenset(body["failing"]),
        stats={int(partition): stats for partition, stats in body["stats"].items()},
    )
