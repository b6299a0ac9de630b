"""What is specific to the Redis store: its keys, its scripts, and the errors of a real server."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError, ResponseError

import clocksvc.redis
from clocksvc.clock.partition import Outcome
from clocksvc.clock.request import Request, RequestKind
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import ClocksvcError, StoreLost, StoreUnavailable
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import scripts
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.errors import translated
from clocksvc.redis.keys import KEYS, key
from clocksvc.redis.store import open_redis_store
from clocksvc.redis_url import parse_redis_url
from tests.interfaces.redis_servers import one_node_cluster
from tests.interfaces.store_examples import (
    BASE,
    CLOCK,
    LEASE_MS,
    MINUTE,
    ORDERS_0,
    ROSTER,
    SINGLE,
    TOKEN,
    chain,
    lead,
    progress,
    raw,
    send,
)
from tests.interfaces.store_implementations import RedisStoreImplementation

pytestmark = pytest.mark.servers

PACKAGE = Path(clocksvc.redis.__file__).parent / "lua"
HEADER_KEY = re.compile(r"^-- KEYS\[(\d+)\] ([a-z-]+) \((\w+)\)", re.MULTILINE)


@pytest.fixture
def own() -> Iterator[ValkeyServer]:
    """A server that a test may reconfigure or kill."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def admin(own: ValkeyServer) -> Iterator[Redis]:
    """A client of that server."""
    client = Redis.from_url(own.url, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def own_store(own: ValkeyServer) -> Iterator[Store]:
    """A store on that server, for a clock with a leader."""
    store = open_redis_store(own.url, CLOCK)
    lead(store, leases, SINGLE)
    yield store
    store.close()


def test_all_keys_of_a_clock_are_in_one_slot() -> None:
    """So one script can use them in a cluster; two clocks can be in two slots."""
    slots = {name: {key_slot(key("clocksvc", name, each.name).encode()) for each in KEYS} for name in ("a", "b")}

    assert {name: len(found) for name, found in slots.items()} == {"a": 1, "b": 1}
    assert slots["a"] != slots["b"]


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_script_header_lists_its_keys(script: scripts.Script) -> None:
    """Its header lists all KEYS in order, with their types, and the script uses each of them."""
    text = (PACKAGE / f"{script.name}.lua").read_text()
    types = {each.name: each.type for each in KEYS}

    found = [(int(number), name, kind) for number, name, kind in HEADER_KEY.findall(text)]

    assert found == [(number, name, types[name]) for number, name in enumerate(script.keys, start=1)]
    body = "\n".join(row for row in text.splitlines() if not row.startswith("--"))
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", body)}
    assert used == {number for number, _, _ in found} or script is scripts.NOW


def test_every_script_file_is_called() -> None:
    """There are no unused files."""
    named = {script.name for script in scripts.ALL} | {used for script in scripts.ALL for used in script.uses}

    assert {path.stem for path in PACKAGE.glob("*.lua")} == named


def test_scripts_are_sent_again_after_the_server_lost_them(own_store: Store, admin: Redis) -> None:
    """After SCRIPT FLUSH, or on another node after a failover, the call succeeds."""
    admin.script_flush()

    assert send(own_store, (ORDERS_0, BASE)) == (Outcome.ACCEPTED,)


def test_partly_lost_roster_is_noticed(on_redis: RedisStoreImplementation) -> None:
    """The count is that of the members, not a stored one."""
    lead(on_redis.store)
    on_redis.raw.zrem(f"{on_redis.prefix}:{{{CLOCK}}}:roster", "orders:1")

    assert on_redis.progress(leases).count == 2


def test_lost_exclusions_are_noticed(on_redis: RedisStoreImplementation) -> None:
    """Evicted exclusions are a loss, so the leader writes the roster again."""
    lead(on_redis.store, Roster(ROSTER.topics, frozenset({ORDERS_0})))
    on_redis.raw.delete(f"{on_redis.prefix}:{{{CLOCK}}}:excluded")

    with pytest.raises(StoreLost):
        on_redis.progress(leases)


@pytest.mark.parametrize("junk", ["", "mine", "9999999999999 0 {}", "9999999999999 2 x", "1 1 []"])
def test_strange_requests_stop_no_leader(on_redis: RedisStoreImplementation, junk: str) -> None:
    """Requests in an unknown format are ignored."""
    lead(on_redis.store)
    asked = Request("r", RequestKind.PAUSE, "ada", 0, "why", on_redis.store.now_ms() + 60_000)
    on_redis.store.submit_request(asked)
    on_redis.raw.hset(f"{on_redis.prefix}:{{{CLOCK}}}:requests", "junk", junk)

    assert on_redis.store.submit_request(replace(asked, id="s"))
    assert on_redis.progress(leases).requests == (asked, replace(asked, id="s"))


def test_rebuild_interrupted_by_a_flush_is_a_loss(on_redis: RedisStoreImplementation) -> None:
    """A stream that lost ticks during its rebuild never replaces the old one."""
    store = on_redis.store
    lead(store, leases)
    store.publish(TOKEN, chain(0, 3, None))
    staged = f"{on_redis.prefix}:{{{CLOCK}}}:ticks-new"
    stop = threading.Event()

    def flush_often() -> None:
        while not stop.is_set():
            on_redis.raw.delete(staged)

    thread = threading.Thread(target=flush_often)
    thread.start()
    try:
        with pytest.raises(StoreLost):
            store.rebuild(TOKEN, chain(0, 9_999, None), BASE + 9_999 * MINUTE)
    finally:
        stop.set()
        thread.join()

    assert store.newest_ticks(9) == chain(0, 3, None)


def test_rebuild_keeps_the_lease(on_redis: RedisStoreImplementation) -> None:
    """Each part of a long rebuild renews the lease."""
    store = on_redis.store
    lead(store, leases)
    progress(leases, TOKEN, 5_000)
    on_redis.raw.pexpire(f"{on_redis.prefix}:{{{CLOCK}}}:lease", 2_000)

    store.rebuild(TOKEN, chain(0, 9, None), BASE + 9 * MINUTE)

    assert on_redis.raw.pttl(f"{on_redis.prefix}:{{{CLOCK}}}:lease") > 3_000


def test_exclusions_far_apart_leave_no_trace(on_redis: RedisStoreImplementation) -> None:
    """A roster without partitions or exclusions leaves no empty keys."""
    lead(on_redis.store, Roster(ROSTER.topics, frozenset({ORDERS_0})))
    on_redis.store.write_roster(TOKEN, Roster({"orders": TopicMetadata("id-o", 0)}), 2)

    assert {name.rpartition(":")[2] for name in on_redis.key_names()} == {"state", "lease"}


def test_report_to_a_clock_that_is_not_there_leaves_nothing(on_redis: RedisStoreImplementation) -> None:
    """A consumer with a mistyped clock must not write to Redis."""
    send(on_redis.store, (ORDERS_0, BASE))

    assert on_redis.key_names() == []


@pytest.mark.parametrize(
    ("configure", "says"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "out of memory"),
        (("REPLICAOF", "127.0.0.1", "1"), "read-only replica"),
        (("CONFIG", "SET", "requirepass", "s3cret"), "credentials"),
    ],
    ids=["OOM", "READONLY", "NOAUTH"],
)
def test_errors_of_the_server_are_translated(
    own: ValkeyServer, own_store: Store, admin: Redis, configure: tuple[str, ...], says: str
) -> None:
    """A rejection by Redis is StoreUnavailable with a plain text and its cause, and nothing is written partly."""
    own_store.close()
    server: Any = admin
    server.execute_command(*configure)
    store = open_redis_store(own.url, CLOCK)

    with pytest.raises(StoreUnavailable, match=says) as raised:
        send(store, (ORDERS_0, BASE))

    assert isinstance(raised.value.__cause__, RedisError)
    store.close()


def test_full_memory_leaves_no_half_a_write(own_store: Store, admin: Redis, leases: Leases) -> None:
    """A write that needs memory fails before its first effect."""
    send(own_store, (ORDERS_0, BASE))
    admin.config_set("maxmemory", 1)
    grown = Roster({"orders": TopicMetadata("id-o", 3)})

    for write in (
        lambda: send(own_store, (ORDERS_0, BASE + 1)),
        lambda: own_store.write_roster(TOKEN, grown, 2),
        lambda: own_store.publish(TOKEN, chain(0, 0, None)),
    ):
        with pytest.raises(StoreUnavailable, match="out of memory"):
            write()

    admin.config_set("maxmemory", 0)
    assert [line.raw_ms for line in own_store.partitions(None, 9)] == [BASE]
    assert own_store.newest_ticks(9) == []
    assert own_progress(leases).generation == 1


def test_wrong_password_is_reported_without_it(own: ValkeyServer, admin: Redis) -> None:
    """The message says what to check, without the password."""
    admin.config_set("requirepass", "s3cret")
    store = open_redis_store(own.url.replace("redis://", "redis://:hunter2@"), CLOCK)

    with pytest.raises(StoreUnavailable, match="credentials") as raised:
        store.now_ms()

    assert "hunter2" not in str(raised.value)
    store.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "its own prefix"),
        ("-OOM command not allowed when used memory > 'maxmemory'.", "out of memory"),
        ("-READONLY You can't write against a read only replica.", "read-only replica"),
        ("-NOREPLICAS Not enough good replicas to write.", "lacks replicas"),
        ("-LOADING", "rejects a command"),
    ],
)
def test_errors_of_older_servers_are_translated(answer: str, says: str) -> None:
    """Redis 6.2 wraps the error of a command inside a script in another error."""
    wrapped = f"Error running script (call to f_935f36066807): @user_script:106: {answer}"

    with pytest.raises(StoreUnavailable, match=says) as raised, translated():
        raise ResponseError(wrapped)

    assert isinstance(raised.value.__cause__, ResponseError)


def test_foreign_keys_with_our_names_are_reported(on_redis: RedisStoreImplementation) -> None:
    """A key of another type, from another program, is an error with a plain text."""
    on_redis.raw.set(f"{on_redis.prefix}:{{{CLOCK}}}:state", "mine")

    with pytest.raises(StoreUnavailable, match="its own prefix"):
        on_redis.store.snapshot()
    on_redis.wipe()


def test_killed_server_ends_a_wait(own: ValkeyServer, own_store: Store) -> None:
    """A waiting follower fails within seconds, and a later call works when the server is back."""
    raised: list[Exception] = []

    def follow() -> None:
        try:
            own_store.follow(0, 60.0)
        except ClocksvcError as error:
            raised.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    thread.join(0.05)
    own.kill()
    thread.join(10.0)
    assert [type(error) for error in raised] == [StoreUnavailable]

    own.start()
    own.wait_ready()
    lead(own_store, SINGLE)
    assert send(own_store, (ORDERS_0, BASE)) == (Outcome.ACCEPTED,)


def test_server_that_hangs_fails_in_seconds(own_store: Store, admin: Redis) -> None:
    """It fails after the timeout, without a retry."""
    monotonic = SystemTime().monotonic
    own_store.now_ms()
    admin.client_pause(6_000)
    begun = monotonic()

    with pytest.raises(StoreUnavailable, match="in time"):
        own_store.now_ms()

    assert monotonic() - begun < 4.0


def test_a_cluster_keeps_a_clock() -> None:
    """All operations of a clock on a cluster's node, with a cluster client."""
    with one_node_cluster() as node:
        store = open_redis_store(node.url.replace("redis://", "redis+cluster://"), CLOCK)
        lead(store, leases, SINGLE)
        send(store, (ORDERS_0, BASE))
        assert leases.wait_for_notification(1.0)
        store.publish(TOKEN, chain(0, 2, None))
        store.rebuild(TOKEN, chain(0, 3, None), BASE + 3 * MINUTE)

        assert raw(store, ORDERS_0) == BASE
        assert store.follow(BASE, 1.0) == chain(1, 3, 0)
        assert (store.first_tick(), store.last_tick()) == (chain(0, 0, None)[0], chain(3, 3, 2)[0])
        assert store.counters().reports == {"accepted": 1}
        assert store.now_ms() > BASE
        store.close()


def test_a_cluster_that_is_down_fails_when_it_is_used(own: ValkeyServer) -> None:
    """Creating the connection does not block; using it raises StoreUnavailable."""
    own.kill()
    connection = RedisConnection(parse_redis_url(own.url.replace("redis://", "redis+cluster://")))
    store = open_redis_store(own.url.replace("redis://", "redis+cluster://"), CLOCK)

    with pytest.raises(StoreUnavailable):
        store.snapshot()
    store.close()
    connection.close()


def test_announced_configurations_are_deleted_with_their_last_replica(on_redis: RedisStoreImplementation) -> None:
    """And everything with the last replica."""
    lead(on_redis.store, SINGLE)
    heard = f"{on_redis.prefix}:{{{CLOCK}}}:heard"
    on_redis.leases.announce("host:1 x", "changed", LEASE_MS, "{}")
    assert set(on_redis.raw.hgetall(heard)) == {"since", "changed"}
    on_redis.audit()

    on_redis.leases.announce("host:1 x", "changed", 0)

    assert on_redis.raw.exists(heard) == 0
    on_redis.audit()


def test_announcements_count_again_after_the_servers_clock_was_set_back(on_redis: RedisStoreImplementation) -> None:
    """A time in the future would keep the leader waiting until then."""
    store = on_redis.store
    lead(store, leases, SINGLE)
    leases.announce("host:1 x", "same", LEASE_MS, "{}")
    ahead_ms = store.now_ms() + 3_600_000
    on_redis.raw.hset(f"{on_redis.prefix}:{{{CLOCK}}}:heard", "since", str(ahead_ms))

    leases.announce("host:1 x", "same", LEASE_MS, "{}")

    seen = progress(leases)
    assert (seen.announcements_complete_since_ms or ahead_ms) <= seen.now_ms
