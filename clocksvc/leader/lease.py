"""The lease elects a leader quickly; it is Kafka's fencing that makes the election sure."""

from contextlib import suppress

from clocksvc.errors import LeaseLost, StoreUnavailable
from clocksvc.leader.parts import LeaderDependencies

LEASE_MS = 3_000
POLL_S = 0.3
GIVE_UP_S = 6.0
"""For so long a leader may get no further (Kafka is out of reach, say) before another one gets its lease."""
BACK_OFF_S = 4.5
"""Longer than a lease, so that another replica gets its turn."""
ANNOUNCE_EVERY_S = 2.0
ANNOUNCE_MS = 6_000
HEARD_AFTER_MS = 3_000
"""After the store lost the announcements, all that are alive are in it again: 2 s, 0.3 s of polling, and a margin."""


class Lease:
    """One process's claim on a clock's lease, under a new token for each term.

    `config_digest` is what this replica announces: its configuration's, worked out once.
    """

    def __init__(self, parts: LeaderDependencies, holder: str) -> None:
        self._parts = parts
        self._holder = holder
        self.config_digest, self._meaning = parts.spec.digest(), parts.spec.config_json()
        self._replica = f"{holder} {parts.new_id()}"
        self._announced_at = float("-inf")
        self._stuck_since: float | None = None
        self._not_before = float("-inf")
        self.token: str | None = None

    def take(self) -> str | None:
        """The token of a new term, or None while somebody else leads or this process steps back."""
        self.announce()
        if self._parts.time.monotonic() < self._not_before:
            return None
        token = self._parts.new_id()
        if not self._parts.store.acquire_lease(token, self._holder, LEASE_MS):
            return None
        self.token = token
        return token

    def keep(self) -> None:
        """Renew the lease while something else is waited for.

        Raises:
            LeaseLost: somebody else holds it now.
            StoreUnavailable: the store does not answer.
        """
        self.announce()
        if self.token is None or not self._parts.store.acquire_lease(self.token, self._holder, LEASE_MS):
            raise LeaseLost

    def give_up(self, back_off_s: float = 0.0) -> None:
        """Give the lease back, and do not ask for it again for a while."""
        token, self.token = self.token, None
        self._announced_at = float("-inf")
        self._not_before = self._parts.time.monotonic() + back_off_s
        self._stuck_since = None
        if token is not None:
            with suppress(StoreUnavailable):  # it expires by itself
                self._parts.store.release_lease(token)

    def announce(self) -> None:
        """Say every few seconds that a replica with this configuration is alive."""
        now = self._parts.time.monotonic()
        if now - self._announced_at >= ANNOUNCE_EVERY_S:
            self._parts.store.announce(self._replica, self.config_digest, ANNOUNCE_MS, self._meaning)
            self._announced_at = now

    def leave(self) -> None:
        """Give everything back: this process ends."""
        self.give_up()
        with suppress(StoreUnavailable):  # it expires by itself
            self._parts.store.announce(self._replica, self.config_digest, 0)

    def work_begins(self) -> None:
        """A step begins."""
        if self._stuck_since is None:
            self._stuck_since = self._parts.time.monotonic()

    def work_is_done(self) -> None:
        """The step is done: there is progress."""
        self._stuck_since = None

    def is_stuck(self) -> bool:
        """Whether there has been no progress for so long that the lease must go to another, who may get further."""
        return self._stuck_since is not None and self._parts.time.monotonic() - self._stuck_since >= GIVE_UP_S
