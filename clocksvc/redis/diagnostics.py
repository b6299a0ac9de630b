"""What `clocksvc check` and a starting service read from Redis: its INFO, and which commands the user may not run.

It does not evaluate anything: `clocksvc.check.probe_redis` does.
"""

from dataclasses import dataclass
from typing import Any

from redis import RedisCluster
from redis.exceptions import ResponseError

from clocksvc.redis.connection import RedisConnection
from clocksvc.redis.errors import translated
from clocksvc.redis.keys import key
from clocksvc.redis.scripts import TRIAL


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One Redis, or one master of a cluster. None for what is not known, because the user may not run INFO.

    Attributes:
        node: the address of a cluster's node; otherwise empty.
        name: product and version, such as `Redis 7.2.4` or `Valkey 9.0.0`.
        version: the version of Redis whose commands it speaks.
        role: `master` or `slave`.
        policy: the maxmemory-policy.
        maxmemory: the memory limit in bytes; 0 for no limit.
        used: the memory in use, in bytes.
    """

    node: str
    name: str = "Redis"
    version: str | None = None
    role: str | None = None
    policy: str | None = None
    maxmemory: int = 0
    used: int = 0


def read_facts(connection: RedisConnection) -> list[RedisFacts]:
    """The facts of the Redis, or of every master of the cluster.

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
    """The commands that the user may not run on a clock's keys. All keys that this writes are removed by its script.

    Raises:
        StoreUnavailable: Redis does not answer, or the user may not run a script: the message names the permission.
    """
    with translated():
        # EVAL, not EVALSHA: the test must include the permission to send a script that the server does not have.
        client: Any = connection.client()
        denied: list[str] = client.eval(TRIAL.text, 1, key(prefix, clock, "trial"))
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
