"""docs/security.md lists exactly the permissions that the Redis users need: each missing one is named in an error."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import probe_redis
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import connection, scripts
from clocksvc.redis.keys import clock_key, log_key
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.settings import Settings
from tests.interfaces.store_examples import CLOCK, LOG, ROSTER, TOKEN, lead
from tests.system.security import redis_operations
from tests.system.security.certificates import Authority
from tests.system.security.document import redis_user
from tests.system.security.secured_redis import SecuredRedis

pytestmark = pytest.mark.servers

LEASE = log_key("clocksvc", LOG, "lease")
SERVICE, REPORTER, WORKER = "The service's user", "The consumers' user", "The heartbeat worker's user"


def removable(heading: str) -> list[str]:
    """The rules that allow a user commands, keys and channels."""
    return [rule for rule in redis_user(heading)[1] if rule[0] in "+~&"]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    """Shared by this module."""
    with SecuredRedis(Authority(tmp_path_factory.mktemp("redis"), "authority")) as secured:
        yield secured


class RestrictedStore:
    """The store as one user, with some of its permissions, on an empty server, without TLS."""

    def __init__(self, redis: SecuredRedis, heading: str, without: str | None = None, idle: bool = False) -> None:
        self.redis = redis
        self.name, rules = redis_user(heading)
        redis.admin.flushall()
        redis.admin.script_flush()
        redis.admin.acl_log_reset()
        redis.allow(self.name, [rule for rule in rules if rule != without])
        self.url = redis.plain_url(self.name)
        with pytest.MonkeyPatch.context() as patch:
            if idle:  # a client sends PING before it uses a connection that was idle for so long
                patch.setattr(connection, "_HEALTH_CHECK_S", 1e-9)
            self.connection = connection.RedisConnection(parse_redis_url(self.url))
            self.server = RedisStoreServer(self.connection, "clocksvc")
            self.store = self.server.store(CLOCK)
            with contextlib.suppress(ClocksvcError):
                self.store.now_ms()

    def close(self) -> None:
        """Close all connections."""
        self.connection.close()

    def prepare(self) -> None:
        """Write what a leader writes, as another user."""
        self.redis.allow("leader", redis_user(SERVICE)[1])
        leader = connection.RedisConnection(parse_redis_url(self.redis.plain_url("leader")))
        server = RedisStoreServer(leader, "clocksvc")
        store = server.store(CLOCK)
        lead(store, server.leases(LOG))
        store.begin(TOKEN, None, restoring=False)
        leader.close()

    def denied(self) -> set[str]:
        """The commands that the server rejected, but for a client's naming itself, which is optional."""
        return {entry["object"] for entry in self.redis.admin.acl_log()} - {"client|setinfo", "client"}


def checked(url: str) -> str:
    """The findings of `clocksvc check` about Redis that are not ok."""
    clock = {CLOCK: {"topics": ["orders"], "group": "g"}}
    settings = Settings.model_validate({"redis": {"url": url}, "clocks": clock})
    found = []
    try:
        for one in probe_redis(settings, SystemTime(), {}):
            found += [] if one.level is Level.OK else [f"{one.text} → {one.to_do}"]
    except ClocksvcError as error:
        found.append(str(error))
    return " | ".join(found)


def named(rule: str) -> str:
    """How an error names a missing rule: a command by its name, a key as a key."""
    return f"'{rule[1:]}'" if rule[0] == "+" else "one of the clock's keys"


def test_a_service_needs_nothing_else(redis: SecuredRedis) -> None:
    """Leader, feed, API and check work, and the server rejects nothing."""
    store = RestrictedStore(redis, SERVICE)

    assert redis_operations.errors(redis_operations.a_service(store.server, SystemTime().now_ms())) == []
    assert checked(store.url) == ""
    assert store.denied() == set()
    store.close()


@pytest.mark.parametrize("rule", removable(SERVICE))
def test_a_service_names_what_it_lacks(redis: SecuredRedis, rule: str) -> None:
    """Each permission is needed: an error names it, and `check` does."""
    store = RestrictedStore(redis, SERVICE, without=rule, idle=rule == "+ping")
    said = redis_operations.errors(redis_operations.a_service(store.server, SystemTime().now_ms()))
    found = checked(store.url)
    store.close()

    if rule != "+info":  # only check needs it
        assert any("lacks a permission" in one and named(rule) in one for one in said), said
    assert named(rule).strip("'") in found.lower()


def test_check_tries_every_command_of_every_script() -> None:
    """The same commands are in the scripts, in what `check` tries, and in docs/security.md."""
    folder = Path(scripts.__file__).parent / "lua"
    others = [path.read_text() for path in folder.glob("*.lua") if path.stem != "trial"]
    called = {name for text in others for name in re.findall(r"\bp?call\(\s*'([A-Z]+)'", text)}
    tried = set(re.findall(r"\{'([A-Z]+)', ", (folder / "trial.lua").read_text())) | {"TIME"}
    asked = {"BLPOP", "LPOP", "XREAD"}

    assert tried == called | asked
    listed = {rule[1:].upper() for rule in removable(SERVICE) if rule[0] == "+"}
    assert listed == tried | {"PING", "INFO", "EVAL", "EVALSHA"}


def test_a_reporter_needs_nothing_else(redis: SecuredRedis) -> None:
    """Reports are accepted, and the server rejects nothing."""
    store = RestrictedStore(redis, REPORTER)
    store.prepare()

    assert redis_operations.errors(redis_operations.a_reporter(store.store)) == []
    assert store.denied() == set()
    store.close()


@pytest.mark.parametrize("rule", removable(REPORTER))
def test_a_reporter_names_what_it_lacks(redis: SecuredRedis, rule: str) -> None:
    """Each permission is needed by a report, whose error names it."""
    store = RestrictedStore(redis, REPORTER, without=rule, idle=rule == "+ping")
    store.prepare()
    redis.admin.script_flush()
    said = redis_operations.errors(redis_operations.a_reporter(store.store))
    store.close()

    assert any("lacks a permission" in one and named(rule) in one for one in said), said


def test_a_reporter_can_do_nothing_else(redis: SecuredRedis) -> None:
    """It can't publish a tick, take a lease, publish a status, write the history of holds or submit a request."""
    store = RestrictedStore(redis, REPORTER)
    store.prepare()
    before = redis.admin.hgetall(LEASE)
    redis_operations.errors(redis_operations.a_service(store.server, SystemTime().now_ms()))
    store.close()

    assert redis.admin.hgetall(LEASE) == before
    assert redis.admin.xlen(clock_key("clocksvc", CLOCK, "ticks")) == 0
    assert redis.admin.exists(*(clock_key("clocksvc", CLOCK, name) for name in ("status", "holds", "requests"))) == 0


FORGED = '{"exclusions": [], "pause": {"by": "\\u001b[2Jops", "at": "2026-11-22T12:00:00Z", "reason": "forged"}}'
FORGERIES: dict[str, tuple[str, ...]] = {
    "overrides": ("HSET", "state", "overrides", FORGED),
    "the roster's topics": ("HSET", "state", "roster", '[["orders", "id-o", 100000000]]'),
    "where the stream begins": ("HSET", "state", "base_ms", "9999999999999"),
    "the number of exclusions": ("HSET", "state", "excluded_count", "1"),
    "a lost claim": ("HDEL", "state", "claimed_by"),
    "parameters": ("SET", "parameters", "[]"),
    "parameters as a hash": ("HSET", "parameters", "group", "forged"),
    "parameters that expire": ("PEXPIRE", "parameters", "1"),
    "ticks that expire": ("PEXPIRE", "ticks", "1"),
    "ticks that are deleted": ("DEL", "ticks"),
    "a tick": ("XADD", "ticks", "1-0", "p", ""),
    "a hold": ("ZADD", "holds", "1", "1 2 paused {}"),
    "a status": ("SET", "status", "{}"),
    "a request": ("HSET", "requests", "r", "9999999999999 0 {}"),
}
RUN = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"


@pytest.fixture
def attacked(redis: SecuredRedis) -> Iterator[RestrictedStore]:
    """A clock with a tick, and the consumers' user."""
    store = RestrictedStore(redis, REPORTER)
    store.prepare()
    redis.admin.xadd(clock_key("clocksvc", CLOCK, "ticks"), {"p": "", "i": 60, "e": 1}, id="60-0")
    yield store
    store.close()


@pytest.mark.parametrize("name", FORGERIES)
def test_a_reporter_can_not_forge(redis: SecuredRedis, attacked: RestrictedStore, name: str) -> None:
    """What operators and ticks depend on is out of reach of the consumers' user, directly and by a script."""
    command, key, *arguments = FORGERIES[name]
    client: Any = attacked.connection.client()
    target = clock_key("clocksvc", CLOCK, key)
    keys = sorted(redis.admin.keys())
    before = [redis.admin.dump(one) for one in keys]

    with pytest.raises(ResponseError):
        client.execute_command(command, target, *arguments)
    with pytest.raises(ResponseError):
        client.eval(RUN, 1, target, command, *arguments)

    assert sorted(redis.admin.keys()) == keys
    assert [redis.admin.dump(one) for one in keys] == before
    assert redis.admin.pttl(target) < 0


def test_a_reporter_stops_no_other_clock(redis: SecuredRedis, attacked: RestrictedStore) -> None:
    """It can create missing keys with a wrong type. The leader deletes them, and every clock of the log goes on."""
    redis.allow("leader", redis_user(SERVICE)[1])
    leader = connection.RedisConnection(parse_redis_url(redis.plain_url("leader")))
    server = RedisStoreServer(leader, "clocksvc")
    leases = server.leases(LOG)
    client: Any = attacked.connection.client()
    redis.admin.delete(log_key("clocksvc", LOG, "notification"))
    client.hset(log_key("clocksvc", LOG, "notification"), "a", "b")
    for name in ("excluded", "signals"):
        redis.admin.delete(clock_key("clocksvc", CLOCK, name))
        client.rpush(clock_key("clocksvc", CLOCK, name), "wrong")
    for name in ("reported", "rejected"):
        client.rpush(clock_key("clocksvc", CLOCK, name), "wrong")

    assert leases.wait_for_notification(0) is False
    assert leases.wait_for_notification(0.01) is False
    progress = leases.read_round(TOKEN, 60_000, [CLOCK]).progress[CLOCK]
    server.store(CLOCK).write_roster(TOKEN, ROSTER, 2)
    read = server.store(CLOCK).partitions(None, 10)
    leader.close()

    assert progress is not None
    assert len(read) == progress.count


WRITTEN_BY_REPORTS = ("parameters", "signals", "roster", "excluded", "reported", "rejected", "ticks", "counters")


def test_a_reporter_that_is_faster_than_the_first_leader_stops_no_clock(redis: SecuredRedis) -> None:
    """On an empty store it can create all of its keys with a wrong type. The first leader deletes them."""
    store = RestrictedStore(redis, REPORTER)
    redis.allow("leader", redis_user(SERVICE)[1])
    leader = connection.RedisConnection(parse_redis_url(redis.plain_url("leader")))
    server = RedisStoreServer(leader, "clocksvc")
    leases, led = server.leases(LOG), server.store(CLOCK)
    client: Any = store.connection.client()
    for name in WRITTEN_BY_REPORTS:
        client.rpush(clock_key("clocksvc", CLOCK, name), "wrong")

    assert leases.acquire(TOKEN, "replica", 60_000)
    assert leases.read_round(TOKEN, 60_000, [CLOCK]).progress[CLOCK] is None
    lead(led, leases)
    led.begin(TOKEN, None, restoring=False)
    assert leases.read_round(TOKEN, 60_000, [CLOCK]).progress[CLOCK] is not None
    assert redis_operations.errors(redis_operations.a_reporter(store.store)) == []
    leader.close()
    store.close()


def test_readers_survive_keys_of_a_wrong_type(redis: SecuredRedis, attacked: RestrictedStore) -> None:
    """They delete such a key themselves, because an error would end the round of all clocks of the log."""
    redis.allow("leader", redis_user(SERVICE)[1])
    leader = connection.RedisConnection(parse_redis_url(redis.plain_url("leader")))
    store = RedisStoreServer(leader, "clocksvc").store(CLOCK)
    client: Any = attacked.connection.client()
    for read in (lambda: store.lagging_partitions(2**60, 10), store.snapshot, lambda: store.partitions(None, 10)):
        for name in ("reported", "rejected"):
            client.rpush(clock_key("clocksvc", CLOCK, name), "wrong")
        read()
    client.rpush(clock_key("clocksvc", CLOCK, "counters"), "wrong")

    assert store.counters().reports == {}
    leader.close()


@pytest.mark.parametrize("forged", ["junk", "9223372036854775807", "inf", "-inf", "nan", "1e300"])
def test_no_counter_ends_the_reports(redis: SecuredRedis, attacked: RestrictedStore, forged: str) -> None:
    """A reporter can write anything into the counters. The reports of all others are answered."""
    client: Any = attacked.connection.client()
    client.hset(clock_key("clocksvc", CLOCK, "counters"), mapping={"reports:accepted": forged, "late_records": forged})

    assert redis_operations.errors(redis_operations.a_reporter(attacked.store)) == []


def test_what_a_reporter_can_forge_is_read_without_errors(redis: SecuredRedis, attacked: RestrictedStore) -> None:
    """Senseless values in the keys that it can write are left out, so that no reader and no leader fails."""
    client: Any = attacked.connection.client()
    junk = "\x1b[31m\u202ejunk"
    key = {
        name: clock_key("clocksvc", CLOCK, name) for name in ("roster", "reported", "rejected", "signals", "counters")
    }
    client.zadd(key["roster"], {junk: 5, "orders:0": float("inf"), "orders:1": -1e300})
    for name in ("reported", "rejected"):
        client.hset(key[name], mapping={"orders:0": junk, "orders:1": "9" * 500, junk: junk})
    client.hset(key["signals"], mapping=dict.fromkeys(("boundary_crossed_at_ms", "unknown_seen_ms"), junk))
    client.hset(key["signals"], mapping={"foreign_group": f"5 {junk}", "foreign_topic": junk})
    counters = {
        "reports:accepted": junk,
        f"reports:{junk}": "1",
        "tasks:[1]": "1",
        "tasks:{": "1",
        "late_records": junk,
    }
    client.hset(key["counters"], mapping=counters | {"heartbeats:sent": "-1", "heartbeat_success_ms": "9" * 18})
    redis.allow("leader", redis_user(SERVICE)[1])
    leader = connection.RedisConnection(parse_redis_url(redis.plain_url("leader")))
    server = RedisStoreServer(leader, "clocksvc")
    store = server.store(CLOCK)

    found = {str(one.partition): one for one in store.lagging_partitions(2**60, 10)}
    reading = server.leases(LOG).read_round(TOKEN, 60_000, [CLOCK]).progress[CLOCK]
    foreign, counted, seen = store.foreign_reports(), store.counters(), store.snapshot()
    leader.close()

    assert junk not in found
    assert all(one.raw_ms is None or 0 <= one.raw_ms < 2**48 for one in (*found.values(), *seen.slowest))
    assert reading is not None
    assert (reading.boundary_crossed_at_ms, reading.unknown_seen_ms) == (None, 0)
    assert foreign.group == "?[31m?junk"
    assert (counted.reports, counted.late_records, counted.heartbeat_success_ms, counted.tasks) == ({}, 0, None, {})
