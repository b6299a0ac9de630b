"""The lease of one log in memory."""

from collections.abc import Mapping, Sequence

from clocksvc.clock.log_owner import StoreMark
from clocksvc.clock.tick import Tick
from clocksvc.errors import ChainBroken
from clocksvc.interfaces.hold_history import StatusUpdate
from clocksvc.interfaces.leases import Announcement, LeaseReading, RoundReading
from clocksvc.memory.hold_history import add_changes
from clocksvc.memory.store import MemoryStore
from clocksvc.memory.store_access import StoreAccess, StoredLease


class MemoryLeases:
    """`Leases` of one log. Safe to use from several threads.

    All replicas count as announced from the beginning, so leaders don't wait for announcements.
    """

    def __init__(self, access: StoreAccess, log: int) -> None:
        self._access = access
        self._log = log
        self._time = access.time

    def read_lease(self) -> LeaseReading:
        with self._access.answering() as content:
            log, now_ms = content.log(self._log), self._time.now_ms()
            lease = log.leader(now_ms)
            return LeaseReading(
                now_ms=now_ms,
                holder=None if lease is None else lease.replica,
                expired_holder=log.unreleased if lease is None else None,
                announcements=log.live(now_ms),
                announcements_complete_since_ms=log.announcements_complete_since_ms,
                mark=log.mark,
            )

    def acquire(self, token: str, replica: str, ttl_ms: int) -> bool:
        with self._access.answering() as content:
            log, now_ms = content.log(self._log), self._time.now_ms()
            lease = log.leader(now_ms)
            if lease is not None and lease.token != token:
                return False
            log.lease, log.unreleased = StoredLease(token, replica, now_ms + ttl_ms), replica
            return True

    def read_mark(self) -> StoreMark | None:
        with self._access.answering() as content:
            return content.log(self._log).mark

    def write_mark(self, token: str, mark: StoreMark) -> None:
        with self._access.leading(self._log, token) as content:
            content.log(self._log).mark = mark

    def adopt(self, mark: StoreMark) -> bool:
        with self._access.answering() as content:
            log = content.log(self._log)
            log.mark = log.mark or mark
            return log.mark == mark

    def release(self, token: str) -> None:
        with self._access.answering() as content:
            log = content.log(self._log)
            lease = log.leader(self._time.now_ms())
            if lease is not None and lease.token == token:
                log.lease = log.unreleased = None

    def announce(self, announcement: Announcement, ttl_ms: int, configs: Mapping[str, str]) -> bool:
        with self._access.answering() as content:
            log, now_ms = content.log(self._log), self._time.now_ms()
            if ttl_ms > 0:
                return log.announce(announcement, now_ms + ttl_ms, configs, now_ms)
            log.withdraw(announcement.replica, now_ms)
            return True

    def configs(self) -> Mapping[str, str]:
        with self._access.answering() as content:
            return dict(content.log(self._log).configs)

    def read_round(self, token: str, ttl_ms: int, clocks: Sequence[str]) -> RoundReading:
        with self._access.leading(self._log, token) as content:
            log, now_ms = content.log(self._log), self._time.now_ms()
            assert log.lease is not None
            left_ms = log.lease.expires_ms - now_ms
            log.lease = StoredLease(token, log.lease.replica, now_ms + ttl_ms)
            log.notified = False
            return RoundReading(
                now_ms=now_ms,
                announcements=log.live(now_ms),
                announcements_complete_since_ms=log.announcements_complete_since_ms,
                mark=log.mark,
                lease_left_ms=left_ms,
                progress={clock: content.clock(clock).read_progress(token, now_ms) for clock in clocks},
            )

    def publish(
        self, token: str, ticks: Mapping[str, Sequence[Tick]], recent_ticks_ms: Mapping[str, int]
    ) -> Mapping[str, int | ChainBroken]:
        published: dict[str, int | ChainBroken] = {}
        with self._access.leading(self._log, token):
            for clock, its_ticks in ticks.items():
                try:
                    published[clock] = MemoryStore(self._access, clock, recent_ticks_ms[clock]).publish(
                        token, its_ticks
                    )
                except ChainBroken as error:
                    published[clock] = error
        return published

    def publish_statuses(self, token: str, updates: Mapping[str, StatusUpdate], ttl_ms: int) -> None:
        with self._access.leading(self._log, token) as content:
            now_ms = self._time.now_ms()
            for name, update in updates.items():
                clock = content.clock(name)
                clock.leader_status = (update.status, now_ms + ttl_ms)
                clock.holds = add_changes(clock.holds, update.changes, update.gap, ttl_ms, now_ms)

    def wait_for_notification(self, timeout_s: float) -> bool:
        self._access.wait(lambda content: content.log(self._log).notified, timeout_s)
        with self._access.answering() as content:
            log = content.log(self._log)
            notified, log.notified = log.notified, False
            return notified

    def notify(self) -> None:
        self._access.notify(self._log)
