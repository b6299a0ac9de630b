"""What can be seen of a Redis from outside: for `clocksvc check`. It writes nothing and judges nothing."""

from dataclasses import dataclass
from typing import Any

from redis import RedisCluster
from redis.exceptions import ResponseError

from clocksvc.redis.connection import Connection
from clocksvc.redis.errors import translated


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """One Redis, or one master of a cluster. What it does not tell (no right to INFO) is None.

    Attributes:
        node: its address in a cluster; empty otherwise.
        name: `Redis 7.2.4` or `Valkey 9.0.0`; `version` is that of the Redis whose commands it speaks.
        role: `master` or `slave`.
        maxmemory, used: in bytes; 0 for no limit.
    """

    node: str
    name: str = "Redis"
    version: str | None = None
    role: str | None = None
    policy: str | None = None
    maxmemory: int = 0
    used: int = 0


def read(connection: Connection) -> list[RedisFacts]:
    """Every master's facts.

    Raises:
        StoreUnavailable: no answer.
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
