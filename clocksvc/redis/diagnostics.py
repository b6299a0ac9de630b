"""Reads from Redis its INFO and which commands the user may not run, for `clocksvc check` and a starting service.

`clocksvc.check.probe_redis` evaluates the results.
"""

from dataclasses import dataclass
from typing import Any

from redis import RedisCluster
from redis.exceptions import ResponseError

from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.errors import translated
from clocksvc.redis.keys import clock_key
from clocksvc.redis.scripts import TRIAL


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One Redis, or one master of a cluster. Attributes are None if the user may not run INFO.

    Attributes:
        node: the address of a cluster's node; otherwise empty.
        name: product and version, such as `Redis 7.2.4` or `Valkey 9.0.0`.
        version: the version of Redis with which it is compatible.
        role: `master` or `slave`.
        policy: the maxmemory-policy.
        maxmemory: the memory limit in bytes; 0 for no limit.
        used: the used memory in bytes.
    """

    node: str
    name: str = "Redis"
    version: str | None = None
    role: str | None = None
    policy: str | None = None
    maxmemory: int = 0
    used: int = 0


def read_facts(connection: RedisConnection) -> list[RedisFacts]:
    """Return the facts about the Redis, or about every master of the cluster.

    Raises:
        StoreUnavailable: Redis does not answer.
    """
    with translated():
        client: Any = connection.client()
        client.ping()
        try:
            if not isinstance(client, RedisCluster):
                return [_facts("", client.info())]
            masters: Any = client.get_primaries
            return [_facts(node.name, client.info(target_nodes=node)) for node in masters()]
        except ResponseError:
            return [RedisFacts("")]


def missing_commands(connection: RedisConnection, prefix: str, clock: str) -> list[str]:
    """Return the commands that the user may not run on a clock's keys. The script removes the key that it writes.

    Raises:
        StoreUnavailable: Redis does not answer, or the user may not run scripts. The message contains the permission
            that is missing.
    """
    with translated():
        # EVAL instead of EVALSHA, because the user also needs the permission to send a new script to the server.
        client: Any = connection.client()
        denied: list[str] = client.eval(TRIAL.text, 1, clock_key(prefix, clock, "trial"))
        return denied


def _facts(node: str, info: dict[str, Any]) -> RedisFacts:
    version = str(info.get("redis_version"))
    valkey = info.get("valkey_version")
    return RedisFacts(
        node,
        f"Valkey {valkey}" if valkey else f"Redis {version}",
        version,
        info.get("role"),
        info.get("maxmemory_policy"),
        int(info.get("maxmemory", 0)),
        int(info.get("used_memory", 0)),
    )
