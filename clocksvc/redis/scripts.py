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
from clocksvc.redis.keys import LOG_KEYS, clock_key, log_key

Argument = str | int
_OF_A_LOG = frozenset(key.name for key in LOG_KEYS)


@dataclass(frozen=True)
class Script:
    """One Lua script.

    Attributes:
        name: the name of its file, without `.lua`.
        keys: the names of the script's KEYS in order, as in keys.py. Some belong to the log, some to the clock.
        each: the names of further KEYS of each of several clocks.
        uses: files with shared functions, which are prepended to the script.
        text: the complete text.
        sha: the SHA-1 hash of the text, for EVALSHA.
    """

    name: str
    keys: tuple[str, ...]
    each: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    text: str = field(init=False, repr=False)
    sha: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        text = "\n".join(_read(name) for name in (*self.uses, self.name))
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "sha", hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """Calls scripts on the keys of one log, and of one of its clocks.

    Args:
        clock: the clock; "" if only scripts without a clock's keys are called.
    """

    def __init__(self, prefix: str, log: int, clock: str = "") -> None:
        self._prefix = prefix
        self._log = log
        self._clock = clock

    def key(self, name: str) -> str:
        """Return the complete key of the log or of the clock."""
        if name in _OF_A_LOG:
            return log_key(self._prefix, self._log, name)
        return clock_key(self._prefix, self._clock, name)

    def call(
        self, client: RedisClient, script: Script, arguments: Iterable[Argument] = (), clocks: Iterable[str] = ()
    ) -> Any:
        """Call a script, and return its RESP2 result. Blocks for one request. Raises redis-py's errors.

        Args:
            clocks: the clocks for the keys in `script.each`.
        """
        keys = [
            *(self.key(name) for name in script.keys),
            *(clock_key(self._prefix, clock, name) for clock in clocks for name in script.each),
        ]
        sent: Sequence[Any] = [*keys, *arguments]
        try:
            return client.evalsha(script.sha, len(keys), *sent)
        except NoScriptError:
            return client.eval(script.text, len(keys), *sent)


def _read(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


READ_LEASE = Script(
    "read_lease", ("lease", "holder", "replicas", "configs", "mark"), uses=("clock", "live_announcements")
)
ACQUIRE_LEASE = Script("acquire_lease", ("lease", "holder"))
RELEASE_LEASE = Script("release_lease", ("lease", "holder"), uses=("clock",))
WRITE_MARK = Script("write_mark", ("lease", "mark"), uses=("clock",))
ADOPT = Script("adopt", ("mark",))
ANNOUNCE = Script("announce", ("replicas", "configs"), uses=("clock",))
READ_ROUND = Script(
    "read_round",
    ("lease", "replicas", "configs", "mark", "notification"),
    each=(
        *("state", "roster", "excluded", "ticks", "requests", "parameters", "signals"),
        *("reported", "rejected", "counters"),
    ),
    uses=("clock", "live_announcements"),
)
NOTIFY = Script("notify", ("notification",), uses=("clock",))
REPORT = Script(
    "report",
    ("parameters", "roster", "excluded", "reported", "rejected", "ticks", "notification", "counters", "signals"),
    uses=("clock",),
)
CLAIM = Script("claim", ("lease", "state", "roster", "ticks", "notification", "parameters", "signals"), uses=("clock",))
WRITE_ROSTER = Script(
    "write_roster",
    (
        *("lease", "state", "roster", "excluded", "roster-new", "excluded-new", "reported", "rejected"),
        *("ticks", "notification", "parameters", "signals"),
    ),
    uses=("clock",),
)
WRITE_OBSERVATION = Script("write_observation", ("observation", "observed"))
PUBLISH_STATUS = Script("publish_status", ("lease",), each=("status", "holds"), uses=("clock",))
HOLD_HISTORY = Script("hold_history", ("holds", "status"), uses=("clock",))
PUBLISH = Script(
    "publish",
    ("lease", "notification", "notices"),
    each=("ticks", "state", "roster", "signals"),
    uses=("clock", "append", "add_notice"),
)
BEGIN = Script(
    "begin",
    ("lease", "state", "ticks", "ticks-staged", "roster", "notification", "notices", "parameters", "signals"),
    uses=("clock", "add_notice"),
)
STAGE = Script("stage", ("lease", "state", "ticks-staged"), uses=("clock", "append"))
FINISH_RESTORING = Script(
    "finish_restoring", ("lease", "state", "ticks", "ticks-staged", "notices"), uses=("clock", "add_notice")
)
BOUNDS = Script("bounds", ("ticks", "state"))
WRITE_REQUEST_RESULTS = Script("write_request_results", ("lease", "requests", "results"), uses=("clock",))
SUBMIT_REQUEST = Script("submit_request", ("requests", "results", "notification"), uses=("clock",))
CANCEL_REQUEST = Script("cancel_request", ("requests",))
READ_REQUEST_RESULT = Script("read_request_result", ("results",), uses=("clock",))
_OF_A_SNAPSHOT = (
    *("state", "roster", "excluded", "reported", "rejected", "observed"),
    *("ticks", "status", "observation"),
)
SNAPSHOT = Script(
    "snapshot", ("lease", "replicas", *_OF_A_SNAPSHOT), uses=("clock", "partition_lines", "clock_snapshot")
)
READ_CLOCKS = Script(
    "read_clocks",
    ("lease", "replicas"),
    each=(*_OF_A_SNAPSHOT, "counters", "dispatchers", "schedulers", "partition-leases"),
    uses=("clock", "partition_lines", "clock_snapshot", "clock_counters", "live_schedulers", "guarded"),
)
READ_TAILS = Script("read_tails", (), each=("ticks", "state"), uses=("clock", "guarded"))
PARTITIONS = Script(
    "partitions", ("state", "roster", "excluded", "reported", "rejected", "observed"), uses=("clock", "partition_lines")
)
LAGGING_PARTITIONS = Script(
    "lagging_partitions", ("roster", "reported", "rejected", "observed"), uses=("clock", "partition_lines")
)
COUNT_HEARTBEATS = Script("count_heartbeats", ("counters",), uses=("clock",))
COUNT_TASKS = Script("count_tasks", ("counters", "dispatchers"), uses=("clock",))
COUNTERS = Script("counters", ("counters", "dispatchers"), uses=("clock", "clock_counters"))
MARK_TASK_DONE = Script("mark_task_done", ("done-tasks",), uses=("clock",))
IS_TASK_DONE = Script("is_task_done", ("done-tasks", "counters"), uses=("clock",))
NOW = Script("now", ("counters",), uses=("clock",))
ANNOUNCE_SCHEDULER = Script("announce_scheduler", ("schedulers", "partition-leases"), uses=("clock", "live_schedulers"))
ACQUIRE_PARTITION = Script("acquire_partition", ("partition-leases",), uses=("clock", "live_schedulers"))
RELEASE_PARTITIONS = Script("release_partitions", ("schedulers", "partition-leases"), uses=("clock", "live_schedulers"))
READ_SCHEDULERS = Script("read_schedulers", ("schedulers", "partition-leases"), uses=("clock", "live_schedulers"))
TRIAL = Script("trial", ("trial",))

ALL = (
    READ_LEASE,
    ACQUIRE_LEASE,
    RELEASE_LEASE,
    WRITE_MARK,
    ADOPT,
    ANNOUNCE,
    READ_ROUND,
    NOTIFY,
    REPORT,
    CLAIM,
    WRITE_ROSTER,
    WRITE_OBSERVATION,
    PUBLISH_STATUS,
    HOLD_HISTORY,
    PUBLISH,
    BEGIN,
    STAGE,
    FINISH_RESTORING,
    BOUNDS,
    WRITE_REQUEST_RESULTS,
    SUBMIT_REQUEST,
    CANCEL_REQUEST,
    READ_REQUEST_RESULT,
    SNAPSHOT,
    READ_CLOCKS,
    READ_TAILS,
    PARTITIONS,
    LAGGING_PARTITIONS,
    COUNT_HEARTBEATS,
    COUNT_TASKS,
    COUNTERS,
    MARK_TASK_DONE,
    IS_TASK_DONE,
    NOW,
    ANNOUNCE_SCHEDULER,
    ACQUIRE_PARTITION,
    RELEASE_PARTITIONS,
    READ_SCHEDULERS,
    TRIAL,
)
