"""docs/security.md lists exactly what the Redis users need: with it all goes well, and each thing that is taken away is
named by whoever misses it."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clocksvc.check.finding import Level
from clocksvc.check.probe_redis import ask_redis
from clocksvc.errors import ClocksvcError
from clocksvc.interfaces.time import SystemTime
from clocksvc.redis import (
    connection,
    scripts,
)
from clocksvc.redis.store import open_store
from clocksvc.settings import Settings
from tests.interfaces.store_values import (
    BOUNDS,
    CLOCK,
    IDENTITY,
    ROSTER,
    lead,
)
from tests.system.security import rounds
from tests.system.security.certificates import Authority
from tests.system.security.document import redis_user
from tests.system.security.secured_redis import SecuredRedis

pytestmark = pytest.mark.servers

SERVICE, REPORTER, WORKER = "The service's user", "The consumers' user", "The heartbeat worker's user"


def removable(heading: str) -> list[str]:
    """Commands and keys that a user is allowed."""
    return [rule for rule in redis_user(heading)[1] if rule[0] in "+~&"]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    """One for this module."""
    with SecuredRedis(Authority(tmp_path_factory.mktemp("redis"), "authority")) as secured:
        yield secured


class Desk:
    """Where one user's rights are tried: its store, on an empty server, past the TLS, which is not tried here."""

    def __init__(self, redis: SecuredRedis, heading: str, without: str | None = None, idle: bool = False) -> None:
        self.redis = redis
        self.name, rules = redis_user(heading)
        redis.admin.flushall()
        redis.admin.script_flush()
        redis.admin.acl_log_reset()
        redis.allow(self.name, [rule for rule in rules if rule != without])
        self.url = redis.plain_url(self.name)
        with pytest.MonkeyPatch.context() as patch:
            if idle:  # a client asks before it uses a connection that was idle for so long
                patch.setattr(connection, "_HEALTH_CHECK_S", 1e-9)
            self.store = open_store(self.url, CLOCK)
            with contextlib.suppress(ClocksvcError):
                self.store.now_ms()

    def prepare(self) -> None:
        """A leader's store, as another user has left it."""
        self.redis.allow("leader", redis_user(SERVICE)[1])
        store = open_store(self.redis.plain_url("leader"), CLOCK)
        lead(store, ROSTER, BOUNDS, IDENTITY)
        store.rebuild("token-1", [], None)
        store.close()

    def denied(self) -> set[str]:
        """What the server refused, in its own words; a client's naming itself is refused, and no matter."""
        return {entry["object"] for entry in self.redis.admin.acl_log()} - {"client|setinfo", "client"}


def checked(url: str) -> str:
    """What `clocksvc check` finds of Redis that is not right."""
    clock = {CLOCK: {"topics": ["orders"], "group": "g"}}
    settings = Settings.model_validate({"redis": {"url": url}, "clocks": clock})
    said = []
    try:
        for one in ask_redis(settings, SystemTime()):
            said += [] if one.level is Level.OK else [f"{one.text} → {one.to_do}"]
    except ClocksvcError as error:
        said.append(str(error))
    return " | ".join(said)


def named(rule: str) -> str:
    """How a missing rule is named: a command by its name, a key by that it is one."""
    return f"'{rule[1:]}'" if rule[0] == "+" else "one of the clock's keys"


def test_a_service_needs_nothing_else(redis: SecuredRedis) -> None:
    """All that leader, feed, API and check do goes well, and the server refuses nothing."""
    desk = Desk(redis, SERVICE)

    assert rounds.troubles(rounds.a_service(desk.store, SystemTime().now_ms())) == []
    assert checked(desk.url) == ""
    assert desk.denied() == set()
    desk.store.close()


@pytest.mark.parametrize("rule", removable(SERVICE))
def test_a_service_says_what_it_lacks(redis: SecuredRedis, rule: str) -> None:
    """Each permission is needed by something, whose error names it; and check names it too."""
    desk = Desk(redis, SERVICE, without=rule, idle=rule == "+ping")
    said = rounds.troubles(rounds.a_service(desk.store, SystemTime().now_ms()))
    found = checked(desk.url)
    desk.store.close()

    if rule != "+info":  # which only check asks for
        assert any("lacks a permission" in one and named(rule) in one for one in said), said
    assert named(rule).strip("'") in found.lower()


def test_check_tries_every_command_of_every_script() -> None:
    """Not one more, not one less, and docs/security.md has the same."""
    folder = Path(scripts.__file__).parent / "lua"
    others = [path.read_text() for path in folder.glob("*.lua") if path.stem != "trial"]
    called = {name for text in others for name in re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", text)}
    tried = set(re.findall(r"\{'([A-Z]+)', ", (folder / "trial.lua").read_text())) | {"TIME"}
    asked = {"BLPOP", "LPOP", "XREAD"}

    assert tried == called | asked
    listed = {rule[1:].upper() for rule in removable(SERVICE) if rule[0] == "+"}
    assert listed == tried | {"PING", "INFO", "EVAL", "EVALSHA"}


def test_a_reporter_needs_nothing_else(redis: SecuredRedis) -> None:
    """Reports count, and the server refuses nothing."""
    desk = Desk(redis, REPORTER)
    desk.prepare()

    assert rounds.troubles(rounds.a_reporter(desk.store)) == []
    assert desk.denied() == set()
    desk.store.close()


@pytest.mark.parametrize("rule", removable(REPORTER))
def test_a_reporter_says_what_it_lacks(redis: SecuredRedis, rule: str) -> None:
    """Each permission is needed by a report, whose error names it."""
    desk = Desk(redis, REPORTER, without=rule, idle=rule == "+ping")
    desk.prepare()
    redis.admin.script_flush()
    said = rounds.troubles(rounds.a_reporter(desk.store))
    desk.store.close()

    assert any("lacks a permission" in one and named(rule) in one for one in said), said


def test_a_reporter_can_do_nothing_else(redis: SecuredRedis) -> None:
    """It can publish no tick, take no lease, say nothing for a leader and leave no request."""
    desk = Desk(redis, REPORTER)
    desk.prepare()
    before = redis.admin.hgetall("clocksvc:{checkins}:lease")
    rounds.troubles(rounds.a_service(desk.store, SystemTime().now_ms()))
    desk.store.close()

    assert redis.admin.hgetall("clocksvc:{checkins}:lease") == before
    assert redis.admin.xlen("clocksvc:{checkins}:ticks") == 0
    assert redis.admin.exists("clocksvc:{checkins}:verdict", "clocksvc:{checkins}:requests") == 0
