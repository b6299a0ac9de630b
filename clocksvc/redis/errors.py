"""Translates redis-py's errors to the errors of the store interface. No message contains a password."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from clocksvc.errors import ClocksvcError, LeaseLost, StoreMismatch, StoreUnavailable

_SCRIPT_ERRORS: dict[str, type[ClocksvcError]] = {
    "LEASELOST": LeaseLost,
    "STOREMISMATCH": StoreMismatch,
}
_CREDENTIALS = "Redis rejects the credentials: check user name and password"
_NO_PERMISSION = "the Redis user lacks a permission (`clocksvc check` lists the missing ones)"
_NO_KEY = "the Redis user lacks a permission on one of the clock's keys (the command ACL LOG shows the key)"
_READ_ONLY = "Redis is a read-only replica: use its master's address, or Sentinel"
_FULL = "Redis is out of memory (maxmemory)"
_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    # Subclasses must be before their base classes.
    (AuthenticationError, _CREDENTIALS),
    (AuthenticationWrongNumberOfArgsError, _CREDENTIALS),
    (AuthorizationError, _CREDENTIALS),
    (NoPermissionError, _NO_PERMISSION),
    (BusyLoadingError, "Redis is loading its data"),
    (ReadOnlyError, _READ_ONLY),
    (OutOfMemoryError, _FULL),
    (MasterDownError, "Redis is a replica that has lost its master"),
    (ClusterDownError, "the Redis cluster is down"),
    (TimeoutError, "Redis does not answer in time"),
    (RedisClusterException, "the Redis cluster can't be reached"),
)
_INSIDE_A_SCRIPT = re.compile(r"@user_script: ?\d+: -?([A-Z]+) ")
"""Before Redis 7, the error of a command inside a script is at the end of another error."""
_HUNG_UP = "Connection closed by server"
_MAYBE_TLS = " (if this always happens: the server may require rediss://, or a client certificate)"
_DENIED_INSIDE_A_SCRIPT = re.compile("ACL failure in script|user executing the script can't")
_DENIED_A_KEY = re.compile("access (a key|one of the keys|at least one of the keys|the '[^']*' key)")
_ANSWERS = {
    "OOM": _FULL,
    "READONLY": _READ_ONLY,
    "BUSY": "Redis is busy running a script",
    "NOAUTH": _CREDENTIALS,
    "WRONGPASS": _CREDENTIALS,
    "MISCONF": "Redis rejects writes because it can't save to disk",
    "NOREPLICAS": "Redis rejects writes because it lacks replicas",
    "WRONGTYPE": "another program has written to this clock's keys: give clocksvc its own prefix",
}


@contextmanager
def translated() -> Iterator[None]:
    """Translate redis-py's errors to clocksvc's errors. `__cause__` is the original error."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise _translate(error) from error


def error_in_result(text: str) -> StoreUnavailable:
    """Return the error for the text of an error that is a part of a script's result."""
    return StoreUnavailable(f"{_meaning(ResponseError(text), text.partition(' ')[0])}: {text}")


def _translate(error: Exception) -> ClocksvcError:
    code, _, text = str(error).partition(" ")
    if isinstance(error, ResponseError) and code in _SCRIPT_ERRORS:
        return _SCRIPT_ERRORS[code](text)
    hint = _MAYBE_TLS if _HUNG_UP in str(error) else ""
    return StoreUnavailable(f"{_meaning(error, code)}: {error}{hint}")


def _meaning(error: Exception, code: str) -> str:
    if isinstance(error, ResponseError) and _DENIED_A_KEY.search(str(error)):
        return _NO_KEY
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning
    if isinstance(error, ResponseError):
        if _DENIED_INSIDE_A_SCRIPT.search(str(error)):
            return _NO_PERMISSION
        inside = _INSIDE_A_SCRIPT.search(str(error))
        return _ANSWERS.get(inside[1] if inside else code, "Redis rejects a command")
    return "Redis can't be reached"
