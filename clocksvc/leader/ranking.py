"""Which replica should lead a log: a pure function of what the replicas announce.

Each log prefers replicas by rendezvous hashing over the ready ones, so the logs are shared among the replicas, and a
replica that comes or goes moves only its own logs. A replica that knows fewer clocks of the log than another one ranks
after it, so a rolling change of the configuration moves logs in one direction only.
"""

from collections.abc import Collection, Mapping, Sequence

from clocksvc.interfaces.leases import Announcement
from clocksvc.runtime.rendezvous import preference

RANK_DELAY_S = 1.0
"""How long a replica of rank k waits for each of the k better ones before it acquires a free lease."""
HAND_OVER_AFTER_MS = 10_000
"""A leader hands its log over only to a replica that has been ready for this long."""
HAND_OVER_EVERY_MS = 1_000
"""The time between the hand-overs of two consecutive logs. A replica uses its whole processor until all clocks of a new
log tick, so clocks would hold longer if several logs were handed over together."""


def claim_delay_s(log: int, replica: str, announcements: Collection[Announcement], expired_holder: str | None) -> float:
    """Return how long a replica waits before it acquires a lease that is free.

    Ready replicas come first, then replicas that are not ready. The replica whose lease expired without a release is
    the last one, so no other replica waits for it.
    """
    expired = [one for one in announcements if one.replica == expired_holder]
    ready = [one for one in announcements if one.ready_ms is not None and one not in expired]
    others = [one for one in announcements if one.ready_ms is None and one not in expired]
    order = [one.replica for one in (*_ranked(log, ready), *_ranked(log, others), *expired)]
    return RANK_DELAY_S * (order.index(replica) if replica in order else len(order))


def successor(
    log: int, replica: str, announcements: Collection[Announcement], ready_before: Mapping[str, int | None]
) -> str | None:
    """Return the replica to which the leader `replica` hands the log over; None if it keeps the log.

    The successor ranks before the leader, has been ready for 10 s, and knows all clocks that the leader knows. If it
    knows no other ones, nothing waits for the hand-over, so the logs follow one another.

    Args:
        ready_before: `ready_ms` of each replica at the beginning of the leader's term. A replica that has not announced
            itself since then may be dead. If the store's clock was set back, its announcement stays for a long time.
    """
    own = next((one for one in announcements if one.replica == replica), None)
    if own is None:
        return None
    candidates = [
        one
        for one in announcements
        if one.replica != replica
        and one.ready_ms is not None
        and one.ready_ms >= _hand_over_after_ms(log, own, one)
        and one.ready_ms != ready_before.get(one.replica)
        and set(one.digests) >= set(own.digests)
    ]
    best = _ranked(log, [own, *candidates])[0].replica
    return None if best == replica else best


def _hand_over_after_ms(log: int, own: Announcement, successor: Announcement) -> int:
    adds_clocks = set(successor.digests) > set(own.digests)
    return HAND_OVER_AFTER_MS + (0 if adds_clocks else log * HAND_OVER_EVERY_MS)


def _ranked(log: int, announcements: Sequence[Announcement]) -> list[Announcement]:
    def rank(one: Announcement) -> tuple[int, bytes]:
        outdone = sum(set(other.digests) > set(one.digests) for other in announcements)
        return outdone, preference(str(log), one.replica)

    return sorted(announcements, key=rank)
