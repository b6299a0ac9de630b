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
from clocksvc.clock.logs import LOGS, log_of
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.request import Request, RequestKind
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.dev.valkey_server import ValkeyServer
from clocksvc.errors import ClocksvcError, StoreUnavailable
from clocksvc.interfaces.leases import Announcement, Leases
from clocksvc.interfaces.progress import Report
from clocksvc.interfaces.store import Store
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import scripts
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.errors import translated
from clocksvc.redis.keys import CLOCK_KEYS, LOG_KEYS, clock_key, log_key
from clocksvc.redis.leases import RedisLeases
from clocksvc.redis.notices import open_notices
from clocksvc.redis.store import RedisStore, open_redis_store
from clocksvc.redis_url import parse_redis_url
from tests.interfaces.store_examples import (
    BASE,
    CLOCK,
    GROUP,
    LEASE_MS,
    LOG,
    MINUTE,
    ORDERS_0,
    REPLICA,
    ROSTER,
    SINGLE,
    TOKEN,
    chain,
    lead,
    progress,
    send,
    tick,
)
from tests.interfaces.store_implementations import RedisStoreImplementation
from tests.waiting import eventually

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
def own_leases(own: ValkeyServer) -> Iterator[Leases]:
    """The leases of the clock's log on that server."""
    connection = RedisConnection(parse_redis_url(own.url))
    yield RedisLeases(connection, "clocksvc", LOG)
    connection.close()


@pytest.fixture
def own_store(own: ValkeyServer, own_leases: Leases) -> Iterator[Store]:
    """A store on that server, for a clock with a leader."""
    store = open_redis_store(own.url, CLOCK)
    lead(store, own_leases, SINGLE)
    yield store
    store.close()


def test_all_keys_of_a_log_are_in_one_slot() -> None:
    """Also those of its clocks, so one script can use them in a cluster. Other logs can be in other slots."""
    clocks = [f"clock-{number}" for number in range(200)]
    keys: dict[int, set[str]] = {log: {log_key("p", log, each.name) for each in LOG_KEYS} for log in range(LOGS)}
    for clock in clocks:
        keys[log_of(clock)] |= {clock_key("p", clock, each.name) for each in CLOCK_KEYS}

    slots = {log: {key_slot(key.encode()) for key in named} for log, named in keys.items()}

    assert {len(found) for found in slots.values()} == {1}
    assert len(set.union(*slots.values())) == LOGS


def test_names_of_clocks_and_keys_do_not_clash() -> None:
    """A clock can have the name of a log's key."""
    keys = [log_key("p", log_of(key.name), key.name) for key in LOG_KEYS]
    keys += [clock_key("p", clock.name, key.name) for clock in LOG_KEYS for key in CLOCK_KEYS]

    assert len(keys) == len(set(keys))
    assert len({key.name for key in LOG_KEYS + CLOCK_KEYS}) == len(LOG_KEYS + CLOCK_KEYS)


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_script_header_lists_its_keys(script: scripts.Script) -> None:
    """Its header lists all KEYS in order, with their types, and the script uses each of them."""
    text = (PACKAGE / f"{script.name}.lua").read_text()
    types = {each.name: each.type for each in LOG_KEYS + CLOCK_KEYS}

    found = [(int(number), name, kind) for number, name, kind in HEADER_KEY.findall(text)]

    names = (*script.keys, *script.each)
    assert found == [(number, name, types[name]) for number, name in enumerate(names, start=1)]
    body = "\n".join(row for row in text.splitlines() if not row.startswith("--"))
    used = {int(number) for number in re.findall(r"KEYS\[(\d+)\]", body)}
    assert used == set(range(1, len(script.keys) + 1)) or script is scripts.NOW
    assert f"for i = {len(script.keys) + 1}, #KEYS, {len(script.each)} do" in body or not script.each


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
    lead(on_redis.store, on_redis.leases)
    on_redis.raw.zrem(on_redis.key("roster"), "orders:1")

    assert progress(on_redis.leases).count == 2


def test_lost_exclusions_are_noticed(on_redis: RedisStoreImplementation) -> None:
    """Evicted exclusions are a loss, so the leader writes the roster again."""
    lead(on_redis.store, on_redis.leases, Roster(ROSTER.topics, frozenset({ORDERS_0})))
    on_redis.raw.delete(on_redis.key("excluded"))

    assert on_redis.leases.read_round(TOKEN, LEASE_MS, [CLOCK]).progress == {CLOCK: None}


@pytest.mark.parametrize("junk", ["", "mine", "9999999999999 0 {}", "9999999999999 2 x", "1 1 []"])
def test_strange_requests_stop_no_leader(on_redis: RedisStoreImplementation, junk: str) -> None:
    """Requests in an unknown format are ignored."""
    lead(on_redis.store, on_redis.leases)
    asked = Request("r", RequestKind.PAUSE, "ada", 0, "why", on_redis.store.now_ms() + 60_000)
    on_redis.store.submit_request(asked)
    on_redis.raw.hset(on_redis.key("requests"), "junk", junk)

    assert on_redis.store.submit_request(replace(asked, id="s"))
    assert progress(on_redis.leases).requests == (asked, replace(asked, id="s"))


@pytest.mark.parametrize("lost", ["all", "some"])
def test_staged_ticks_that_were_lost_are_not_used(on_redis: RedisStoreImplementation, lost: str) -> None:
    """Evicted or expired before the stream was replaced: the number of staged ticks differs."""
    store = on_redis.store
    lead(store, on_redis.leases)
    store.begin(TOKEN, BASE + 3 * MINUTE, restoring=True)
    store.stage(TOKEN, chain(0, 1, None), first=True)
    if lost == "some":
        on_redis.raw.delete(on_redis.key("ticks-staged"))
    store.stage(TOKEN, chain(2, 3, 1), first=False)
    if lost == "all":
        on_redis.raw.delete(on_redis.key("ticks-staged"))

    assert not store.finish_restoring(TOKEN)
    assert store.newest_ticks(9) == []


def test_notices_are_trimmed(on_redis: RedisStoreImplementation) -> None:
    """About a thousand of each log are kept. A reader that was away for longer learns that it missed some."""
    store, reader = on_redis.store, on_redis.server.notices([CLOCK])
    lead(store, on_redis.leases)
    assert (reader.read(0), reader.read(0)) == (None, [])

    for minute in range(1_500):
        store.publish(TOKEN, [tick(minute, minute - 1 if minute else None)])

    assert 1_000 <= on_redis.raw.xlen(on_redis.log_key("notices")) < 1_200
    assert (reader.read(0), reader.read(0)) == (None, [])


def test_exclusions_far_apart_leave_no_trace(on_redis: RedisStoreImplementation) -> None:
    """A roster without partitions or exclusions leaves no empty keys."""
    lead(on_redis.store, on_redis.leases, Roster(ROSTER.topics, frozenset({ORDERS_0})))
    on_redis.store.write_roster(TOKEN, Roster({"orders": TopicMetadata("id-o", 0)}), 2)

    assert {name.rpartition(":")[2] for name in on_redis.key_names()} == {"state", "parameters", "lease", "holder"}


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


def test_full_memory_leaves_no_half_a_write(own_store: Store, own_leases: Leases, admin: Redis) -> None:
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
    assert progress(own_leases).generation == 1


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
    on_redis.raw.set(on_redis.key("state"), "mine")

    with pytest.raises(StoreUnavailable, match="its own prefix"):
        on_redis.store.snapshot()
    on_redis.wipe()


def test_killed_server_ends_a_wait(own: ValkeyServer, own_store: Store, own_leases: Leases) -> None:
    """A waiting leader fails within seconds, and a later call works when the server is back."""
    raised: list[Exception] = []

    def wait() -> None:
        try:
            own_leases.wait_for_notification(60.0)
        except ClocksvcError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.05)
    own.kill()
    thread.join(10.0)
    assert [type(error) for error in raised] == [StoreUnavailable]

    own.start()
    own.wait_ready()
    lead(own_store, own_leases, SINGLE)
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


def test_a_cluster_that_is_down_fails_when_it_is_used(own: ValkeyServer) -> None:
    """Creating the connection does not block; using it raises StoreUnavailable."""
    own.kill()
    connection = RedisConnection(parse_redis_url(own.url.replace("redis://", "redis+cluster://")))
    store = open_redis_store(own.url.replace("redis://", "redis+cluster://"), CLOCK)

    with pytest.raises(StoreUnavailable):
        store.snapshot()
    store.close()
    connection.close()


def test_notices_may_be_missed_while_the_server_hangs(own: ValkeyServer, own_store: Store, admin: Redis) -> None:
    """After an error, the first read that succeeds returns None, although the server has lost nothing."""
    connection = RedisConnection(parse_redis_url(own.url))
    reader = open_notices(connection, "clocksvc", [CLOCK])
    assert (reader.read(0), reader.read(0)) == (None, [])
    admin.client_pause(2_500)

    with pytest.raises(StoreUnavailable, match="in time"):
        reader.read(0)

    eventually(lambda: own_store.now_ms() > 0, what="the server to answer again")
    assert (reader.read(0), reader.read(0)) == (None, [])
    connection.close()


def test_announced_configurations_are_deleted_with_their_last_replica(on_redis: RedisStoreImplementation) -> None:
    """And everything with the last replica."""
    key, announcement = on_redis.log_key("configs"), Announcement(REPLICA, {CLOCK: "changed"}, 0)
    on_redis.leases.announce(announcement, LEASE_MS, {"changed": "{}"})
    assert set(on_redis.raw.hgetall(key)) == {"since", "changed"}
    on_redis.audit()

    on_redis.leases.announce(announcement, 0, {})

    assert on_redis.key_names() == []


def test_announcements_count_again_after_the_servers_clock_was_set_back(on_redis: RedisStoreImplementation) -> None:
    """A time in the future would keep the leader waiting until then."""
    leases, announcement = on_redis.leases, Announcement(REPLICA, {}, None)
    leases.announce(announcement, LEASE_MS, {})
    ahead_ms = on_redis.store.now_ms() + 3_600_000
    on_redis.raw.hset(on_redis.log_key("configs"), "since", str(ahead_ms))

    leases.announce(announcement, LEASE_MS, {})

    seen = leases.read_lease()
    assert (seen.announcements_complete_since_ms or ahead_ms) <= seen.now_ms


def test_a_round_of_many_clocks_is_fast(own: ValkeyServer, own_leases: Leases) -> None:
    """A round of 150 clocks with 100 partitions each takes one script of a few milliseconds."""
    clocks = [name for number in range(4_000) if log_of(name := f"clock-{number}") == LOG][:150]
    connection = RedisConnection(parse_redis_url(own.url))
    for name in clocks:
        store = RedisStore(connection, "clocksvc", name)
        lead(store, own_leases, Roster({"orders": TopicMetadata("id-o", 100)}))
        store.report(Report(GROUP, tuple(PartitionTimestamp(Partition("orders", n), BASE) for n in range(100))))
        store.publish(TOKEN, [replace(tick(0, None), clock=name)])
    monotonic, took_s = SystemTime().monotonic, []
    for _ in range(50):
        began = monotonic()
        reading = own_leases.read_round(TOKEN, LEASE_MS, clocks)
        took_s.append(monotonic() - began)
    connection.close()

    assert {one.lowest_ms if one else None for one in reading.progress.values()} == {BASE}
    assert len(reading.progress) == 150
    assert min(took_s) < 0.02  # about 2 ms on an idle machine
