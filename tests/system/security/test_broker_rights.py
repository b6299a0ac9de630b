"""docs/security.md lists exactly the permissions of Celery's worker and beat for a Redis that is broker and store."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from clocksvc.celery.application import build
from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.store_server import RedisStoreServer
from clocksvc.redis_url import parse_redis_url
from clocksvc.settings import Settings
from tests.interfaces.store_examples import CLOCK, LOG
from tests.system.security import redis_operations
from tests.system.security.broker_operations import first_error
from tests.system.security.certificates import Authority
from tests.system.security.document import redis_user
from tests.system.security.secured_redis import SecuredRedis

pytestmark = [pytest.mark.servers, pytest.mark.filterwarnings("default")]  # Celery leaves connections to the collector

NAME, RULES = redis_user("The heartbeat worker's user")
REMOVABLE = [rule for rule in RULES if rule[0] in "+~&"]
QUIET = {"&/0.clocksvcev/*", "+publish", "+script|exists", "+exists", "+punsubscribe", "+srem", "+zrangebyscore"}
NO_MATTER = {"client|setinfo", "client"}
"""A client names itself; this is optional."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    """Shared by this module."""
    with SecuredRedis(Authority(tmp_path_factory.mktemp("broker"), "authority")) as secured:
        yield secured


def work(redis: SecuredRedis, rules: list[str]) -> tuple[list[str], set[str]]:
    """Run all operations of a worker and a beat with these rules: their errors, and what the server rejected."""
    redis.admin.flushall()
    redis.admin.script_flush()
    redis.admin.zadd("_kombu.binding_deadlines", {"a worker's that is gone": 1})
    redis.admin.acl_log_reset()
    redis.allow(NAME, rules)
    url = redis.plain_url(NAME)
    clock = {CLOCK: {"topics": ["orders"], "group": "g"}}
    said = first_error(build(Settings.model_validate({"redis": {"url": url}, "clocks": clock})))
    with closing(RedisConnection(parse_redis_url(url))) as connection:
        server = RedisStoreServer(connection, "clocksvc")
        troubles = redis_operations.errors(redis_operations.a_worker(server.store(CLOCK), server.leases(LOG)))
    denied = {entry["object"] for entry in redis.admin.acl_log(count=100)} - NO_MATTER
    return [*troubles, *([said] if said else [])], denied


def test_worker_and_beat_need_nothing_else(redis: SecuredRedis) -> None:
    """A task is sent, taken, requeued, lost, restored and done; heartbeats are counted; the server rejects nothing."""
    assert work(redis, RULES) == ([], set())


@pytest.mark.parametrize("rule", REMOVABLE)
def test_worker_and_beat_name_what_they_lack(redis: SecuredRedis, rule: str) -> None:
    """Each permission is needed: without it there is an error, and the server's ACL log names it. Without those for
    cleaning up and for events, only the ACL log does."""
    said, denied = work(redis, [one for one in RULES if one != rule])

    assert rule[1:] in denied if rule[0] == "+" else denied
    assert bool(said) is (rule not in QUIET)
