"""A rolling update of the service: replicas that announce and lead with version 1's scripts beside those of today.

`recorded/` holds version 1's scripts as they are sent to Redis: nothing here asks the product how it did things.
"""

from pathlib import Path
from typing import Any

import pytest

from clocksvc.clock.replica import Replica
from tests.interfaces.store_keepers import RedisKeeper
from tests.interfaces.store_values import (
    BASE,
    CLOCK,
    LEASE_MS,
    ORDERS_0,
    SINGLE,
    TOKEN,
    lead,
    send,
)
from tests.waiting import eventually

RECORDED = Path(__file__).parent / "recorded"
ANNOUNCE = (RECORDED / "announce_v1.lua").read_text()
READ_MINIMUM = (RECORDED / "read_minimum_v1.lua").read_text()

pytestmark = pytest.mark.servers


class OldReplica:
    """A replica of version 1 with its scripts."""

    def __init__(self, keeper: RedisKeeper) -> None:
        self._redis: Any = keeper.raw
        self._prefix = f"{keeper.prefix}:{{{CLOCK}}}:"

    def announce(self, digest: str, ttl_ms: int = LEASE_MS) -> int:
        """How many are alive, as it sees it."""
        alive: int = self._redis.eval(ANNOUNCE, 1, f"{self._prefix}replicas", "old", digest, ttl_ms)
        return alive

    def digests(self) -> set[str]:
        """The configurations alive, as it sees them while it leads."""
        names = ("lease", "state", "roster", "excluded", "replicas", "ticks")
        keys = [f"{self._prefix}{name}" for name in names]
        answer: list[str] = self._redis.eval(READ_MINIMUM, len(keys), *keys, TOKEN, LEASE_MS)
        assert str(answer[0]) == str(BASE)
        return {str(digest) for digest in answer[7:]}


@pytest.fixture
def old(on_redis: RedisKeeper) -> OldReplica:
    """Beside a replica of today, which has announced itself; one of the two leads a clock that has been reported."""
    lead(on_redis.store, SINGLE)
    send(on_redis.store, (ORDERS_0, BASE))
    on_redis.store.announce("host:1 x", "same", LEASE_MS, '{"interval": "60s"}')
    return OldReplica(on_redis)


def test_a_leader_of_version_1_sees_todays_replicas(on_redis: RedisKeeper, old: OldReplica) -> None:
    """It goes on, and sees no conflict in what is the same configuration; another one is a conflict to it."""
    assert old.announce("same") == 2
    assert old.digests() == {"same"}

    on_redis.store.announce("host:2 y", "other", LEASE_MS, '{"interval": "300s"}')

    assert old.digests() == {"same", "other"}


def test_replicas_of_version_1_are_heard(on_redis: RedisKeeper, old: OldReplica) -> None:
    """What one of them announces counts, and does not begin the wait for everybody anew, however often it comes."""
    store = on_redis.store
    since_ms = store.read_progress(TOKEN, LEASE_MS).announcements_complete_since_ms
    eventually(lambda: store.now_ms() > (since_ms or 0), what="a millisecond to pass")
    old.announce("older")
    store.announce("host:1 x", "same", LEASE_MS, '{"interval": "60s"}')
    seen = store.read_progress(TOKEN, LEASE_MS)

    assert since_ms is not None
    assert seen.announcements_complete_since_ms == since_ms
    assert seen.digests == {"same", "older"}
    assert {one.holder: one for one in store.replicas()} == {
        "host:1": Replica("host:1", "same", '{"interval": "60s"}'),
        "old": Replica("old", "older", ""),
    }


def test_a_flush_is_noticed_though_version_1_announces_first(on_redis: RedisKeeper, old: OldReplica) -> None:
    """The time in which replicas may go unseen begins with the first announcement of today's version."""
    store = on_redis.store
    on_redis.wipe()
    lead(store, SINGLE)
    old.announce("same")
    assert store.read_progress(TOKEN, LEASE_MS).announcements_complete_since_ms is None
    before_ms = store.now_ms()

    store.announce("host:1 x", "same", LEASE_MS, "{}")

    assert (store.read_progress(TOKEN, LEASE_MS).announcements_complete_since_ms or 0) >= before_ms


def test_nothing_outlives_the_last_replica(on_redis: RedisKeeper, old: OldReplica) -> None:
    """What a configuration stands for goes with the last replica that has it, and everything with the last one."""
    store, raw = on_redis.store, on_redis.raw
    heard = f"{on_redis.prefix}:{{{CLOCK}}}:heard"
    store.announce("host:1 x", "changed", LEASE_MS, "{}")
    assert set(raw.hgetall(heard)) == {"since", "changed"}
    on_redis.audit()

    store.announce("host:1 x", "changed", 0)

    assert raw.exists(heard) == 0
    on_redis.audit()


def test_a_store_whose_clock_was_set_back_keeps_nobody_waiting(on_redis: RedisKeeper, old: OldReplica) -> None:
    """What it heard `since` a time that is now far ahead counts from the next announcement on."""
    store = on_redis.store
    ahead_ms = store.now_ms() + 3_600_000
    on_redis.raw.hset(f"{on_redis.prefix}:{{{CLOCK}}}:heard", "since", str(ahead_ms))

    store.announce("host:1 x", "same", LEASE_MS, "{}")

    seen = store.read_progress(TOKEN, LEASE_MS)
    assert (seen.announcements_complete_since_ms or ahead_ms) <= seen.now_ms
