"""Finds groups that have no ordered offsets, such as share groups. Kafka answers as if they had committed nothing."""

from collections.abc import Iterable, Iterator

from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.time import Time
from clocksvc.kafka.admin import Admin

CHECKED_EVERY_S = 60.0
"""How often the kind of a group without offsets is read."""
_AT_ONCE = 10
"""How many groups are checked at once, because each one needs a request to every broker."""

_TIMEOUT_S = 1.0
_NOT_DESCRIBED = "Dead"
"""The state of a group that brokers list, but do not describe as a consumer group."""

UNORDERED = "it is a share group (or of another kind than consumer groups): it commits no offset in order"


class GroupKinds:
    """Remembers the kinds of groups. One thread uses it."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._known: dict[str, tuple[float, str]] = {}

    def unsuitable(self, admin: Admin, groups: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield the groups without ordered offsets, each with the reason.

        Blocks for a second at most if brokers do not answer; up to ten checks are answered one after the other.
        """
        now = self._time.monotonic()
        left = _AT_ONCE
        for group in groups:
            checked_at, why = self._known.get(group, (-CHECKED_EVERY_S, ""))
            if now - checked_at >= CHECKED_EVERY_S and left > 0:
                # Without an answer, each of the others would wait as long.
                left = left - 1 if self._check(admin, group, now) else 0
                why = self._known.get(group, (now, ""))[1]
            if why:
                yield group, why

    def _check(self, admin: Admin, group: str, now: float) -> bool:
        """Read a group's kind. Returns False if there is no answer."""
        try:
            state = admin.group_state(group, _TIMEOUT_S)
        except MetadataUnavailable:
            return False
        self._known[group] = (now, why_unordered(state))
        return True


def why_unordered(state: str | None) -> str:
    """Return why a group with this state has no ordered offsets; "" if it has, or if there is no such group."""
    return UNORDERED if state == _NOT_DESCRIBED else ""
