"""Whether the clocks of this machine, of the store and of the brokers agree. Asks nobody."""

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.clock.spec import SECOND_MS

SMALL_MS = SECOND_MS
"""Less is not worth a word: ticks come by so much later."""


def judge_store(ahead_ms: int, max_future_ms: int) -> Finding:
    """The store's clock against this machine's.

    Args:
        ahead_ms: how far the store's clock is ahead; negative where it is behind.
        max_future_ms: the least of all clocks: a store so far behind refuses good reports.
    """
    part = "clock skew"
    text = f"the store's clock is {_skew(ahead_ms)} this machine's"
    to_do = "let both machines keep their time with NTP"
    if abs(ahead_ms) < SMALL_MS:
        return ok(part, "the store's clock and this machine's agree within a second")
    if ahead_ms <= -max_future_ms:
        return problem(part, f"{text}: by its clock reports are too far ahead, and it refuses them", to_do)
    return warning(part, f"{text}: ticks wait for the slower of the two", to_do)


def judge_brokers(clock: str, stamp_ms: int | None, emitted_ms: int | None, now_ms: int) -> Finding:
    """The brokers' clock against the leader's and this machine's, from the tick log's last tick. No record is written
    to find out, so a broker that is behind this machine shows only against its leader.

    Args:
        stamp_ms: when the broker appended it, by its clock; None where it doesn't stamp, or nothing is there.
        emitted_ms: when the leader made it, by the leader's clock.
    """
    part = "clock skew"
    to_do = "let the brokers and the replicas of clocksvc keep their time with NTP"
    if stamp_ms is None or emitted_ms is None:
        text = "the brokers' clock can't be known without writing: no tick is in the log that they have stamped"
        return ok(part, text, clock)
    if stamp_ms - now_ms >= SMALL_MS:
        return warning(part, f"the brokers' clock is {_skew(stamp_ms - now_ms)} this machine's, or more", to_do, clock)
    ahead_ms = stamp_ms - emitted_ms
    if abs(ahead_ms) < SMALL_MS:
        return ok(part, "the brokers' clock and the leader's agreed within a second at the last tick", clock)
    slow = ", if the commit was not that slow" if ahead_ms > 0 else ""
    return warning(part, f"the brokers' clock was {_skew(ahead_ms)} the leader's at the last tick{slow}", to_do, clock)


def _skew(ahead_ms: int) -> str:
    return f"{abs(ahead_ms) / SECOND_MS:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
