"""Implements the lease of one log with Redis. Each method calls one script or one command on the keys of the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.leases import Announcement, LeaseReading, RoundReading
from clocksvc.redis import lease_encoding as wire
from clocksvc.redis import scripts
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.encoding import publish_arguments
from clocksvc.redis.errors import translated
from clocksvc.redis.scripts import Argument, Script, Scripts


class RedisLeases:
    """`Leases` of one log. All leaders of a process wait for their notifications with one blocking command."""

    def __init__(self, connection: RedisConnection, prefix: str, log: int) -> None:
        self._connection = connection
        self._scripts = Scripts(prefix, log)
        self._notification = self._scripts.key("notification")
        self._notifications = connection.notifications(self._notification)

    def read_lease(self) -> LeaseReading:
        return wire.read_lease_reading(self._call(scripts.READ_LEASE))

    def acquire(self, token: str, replica: str, ttl_ms: int) -> bool:
        return bool(self._call(scripts.ACQUIRE_LEASE, (token, replica, ttl_ms)))

    def read_mark(self) -> StoreMark | None:
        with translated(), self._connection.calling() as redis:
            return wire.read_mark(redis.get(self._scripts.key("mark")) or "")

    def write_mark(self, token: str, mark: StoreMark) -> None:
        self._call(scripts.WRITE_MARK, (token, wire.mark_argument(mark)))

    def adopt(self, mark: StoreMark) -> bool:
        return bool(self._call(scripts.ADOPT, (wire.mark_argument(mark),)))

    def release(self, token: str) -> None:
        self._notifications.forget(self._notification)
        self._call(scripts.RELEASE_LEASE, (token,))

    def announce(self, announcement: Announcement, ttl_ms: int, configs: Mapping[str, str]) -> bool:
        return bool(self._call(scripts.ANNOUNCE, wire.announcement_arguments(announcement, ttl_ms, configs)))

    def configs(self) -> Mapping[str, str]:
        with translated(), self._connection.calling() as redis:
            found: dict[str, str] = redis.hgetall(self._scripts.key("configs"))
        found.pop("since", None)
        return found

    def read_round(self, token: str, ttl_ms: int, clocks: Sequence[str]) -> RoundReading:
        self._notifications.clear(self._notification)
        answer = self._call(scripts.READ_ROUND, (token, ttl_ms), clocks)
        return wire.read_round_reading(clocks, answer)

    def publish(
        self, token: str, ticks: Mapping[str, Sequence[Tick]], recent_ticks_ms: Mapping[str, int]
    ) -> Mapping[str, int | ChainBroken]:
        arguments: list[Argument] = [token]
        for clock, its_ticks in ticks.items():
            arguments += publish_arguments(clock, its_ticks, recent_ticks_ms[clock])
        now_ms, broken = self._call(scripts.PUBLISH, arguments, tuple(ticks))
        return {clock: ChainBroken(text) if text else int(now_ms) for clock, text in zip(ticks, broken, strict=True)}

    def publish_statuses(self, token: str, updates: Mapping[str, StatusUpdate], ttl_ms: int) -> None:
        arguments = (token, ttl_ms, *wire.status_arguments(updates.values()))
        self._call(scripts.PUBLISH_STATUS, arguments, tuple(updates))

    def wait_for_notification(self, timeout_s: float) -> bool:
        return self._notifications.wait(self._notification, timeout_s)

    def notify(self) -> None:
        self._call(scripts.NOTIFY)

    def _call(self, script: Script, arguments: Iterable[Argument] = (), clocks: Sequence[str] = ()) -> Any:
        with translated(), self._connection.calling() as redis:
            return self._scripts.call(redis, script, arguments, clocks)
