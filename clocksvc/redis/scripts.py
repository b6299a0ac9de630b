"""The Lua scripts: their keys, their texts, and how they are called.

A call uses EVALSHA. If the server does not have the script, it uses EVAL. redis-py's `register_script` has two
disadvantages: instead of EVAL it sends SCRIPT LOAD to every master of a cluster, so a call fails if one master is down;
and every user needs the permission `script|load`. Scripts are never called in a pipeline, where the error of a missing
script would come too late.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from clocksvc.redis.connection import RedisClient
from clocksvc.redis.keys import key

Argument = str | int


@dataclass(frozen=True)
class Script:
    """One Lua script.

    Attributes:
        name: the name of its file, without `.lua`.
        keys: the names of the script's KEYS in order, as in keys.py.
        uses: files with shared functions, which are prepended to the script.
        text: the complete text.
        sha: the SHA-1 hash of the text, for EVALSHA.
    """

    name: str
    keys: tuple[str, ...]
    uses: tuple[str, ...] = ()
    text: str = field(init=False, repr=False)
    sha: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        text = "\n".join(_read(name) for name in (*self.uses, self.name))
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "sha", hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """Calls scripts on the keys of one clock."""

    def __init__(self, prefix: str, clock: str) -> None:
        self._keys = {script: [key(prefix, clock, name) for name in script.keys] for script in ALL}

    def call(self, client: RedisClient, script: Script, arguments: Iterable[Argument] = ()) -> Any:
        """Call a script, and return its RESP2 result. Blocks for one request. Raises redis-py's errors."""
        keys = self._keys[script]
        sent: Sequence[Any] = [*keys, *arguments]
        try:
            return client.evalsha(script.sha, len(keys), *sent)
        except NoScriptError:
            return client.eval(script.text, len(keys), *sent)


def _read(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


REPORT = Script(
    "report",
    ("state", "roster", "excluded", "reported", "refused", "ticks", "wake", "counters"),
    uses=("clock",),
)
ACQUIRE_LEASE = Script("acquire_lease", ("lease",))
RELEASE_LEASE = Script("release_lease", ("lease",), uses=("clock",))
ANNOUNCE = Script("announce", ("replicas", "heard"), uses=("clock",))
REPLICAS = Script("replicas", ("replicas", "heard"), uses=("clock",))
CLAIM = Script("claim", ("lease", "state"), uses=("clock",))
WRITE_ROSTER = Script(
    "write_roster",
    ("lease", "state", "roster", "excluded", "roster-new", "excluded-new", "reported", "refused"),
    uses=("clock",),
)
READ_PROGRESS = Script(
    "read_progress",
    ("lease", "state", "roster", "excluded", "replicas", "ticks", "requests", "heard"),
    uses=("clock",),
)
WRITE_REQUEST_RESULTS = Script("write_request_results", ("lease", "requests", "answers"), uses=("clock",))
SUBMIT_REQUEST = Script("submit_request", ("requests", "answers", "wake"), uses=("clock",))
CANCEL_REQUEST = Script("cancel_request", ("requests",))
READ_REQUEST_RESULT = Script("read_request_result", ("answers",), uses=("clock",))
PUBLISH = Script("publish", ("lease", "ticks", "state", "roster", "wake"), uses=("clock", "append"))
STAGE_REBUILD = Script("stage_rebuild", ("lease", "ticks-new"), uses=("clock", "append"))
SWAP_REBUILD = Script("swap_rebuild", ("lease", "ticks-new", "ticks", "state", "roster", "wake"), uses=("clock",))
PUBLISH_STATUS = Script("publish_status", ("lease", "verdict"), uses=("clock",))
NOTIFY = Script("notify", ("wake",), uses=("clock",))
SNAPSHOT = Script(
    "snapshot",
    ("state", "roster", "excluded", "reported", "refused", "ticks", "lease", "verdict"),
    uses=("clock", "partition_lines"),
)
PARTITIONS = Script("partitions", ("state", "roster", "excluded", "reported", "refused"), uses=("partition_lines",))
LAGGING_PARTITIONS = Script("lagging_partitions", ("roster", "reported", "refused"), uses=("partition_lines",))
COUNT_HEARTBEATS = Script("count_heartbeats", ("counters",), uses=("clock",))
COUNT_TASKS = Script("count_tasks", ("counters", "dispatchers"), uses=("clock",))
COUNTERS = Script("counters", ("counters", "dispatchers"), uses=("clock",))
MARK_TASK_DONE = Script("mark_task_done", ("finished",), uses=("clock",))
IS_TASK_DONE = Script("is_task_done", ("finished", "counters"), uses=("clock",))
NOW = Script("now", ("state",), uses=("clock",))
TRIAL = Script("trial", ("trial",))

ALL = (
    REPORT,
    ACQUIRE_LEASE,
    RELEASE_LEASE,
    ANNOUNCE,
    REPLICAS,
    CLAIM,
    WRITE_ROSTER,
    READ_PROGRESS,
    WRITE_REQUEST_RESULTS,
    SUBMIT_REQUEST,
    CANCEL_REQUEST,
    READ_REQUEST_RESULT,
    PUBLISH,
    STAGE_REBUILD,
    SWAP_REBUILD,
    PUBLISH_STATUS,
    NOTIFY,
    SNAPSHOT,
    PARTITIONS,
    LAGGING_PARTITIONS,
    COUNT_HEARTBEATS,
    COUNT_TASKS,
    COUNTERS,
    MARK_TASK_DONE,
    IS_TASK_DONE,
    NOW,
    TRIAL,
)
