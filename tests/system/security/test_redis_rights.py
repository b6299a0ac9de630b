"""docs/security.md lists exactly the permissions that the Redis users need: each missing one is named in an error."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import probe_redis
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import connection, scripts
from clocksvc.redis.keys import clock_key, log_key
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.settings import Settings
from tests.interfaces.store_examples import CLOCK, LOG, TOKEN, lead
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
        for one in probe_redis(settings, SystemTime()):
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
    called = {name for text in others for name in re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", text)}
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
