"""Lists all Redis keys: type, writer, lifetime and meaning. A test checks that the list is complete.

All keys of a log and of its clocks have the same hash tag, the number of the log. In a cluster they are therefore on
one node, and one script may use them.
"""

from dataclasses import dataclass

from clocksvc.clock.logs import log_of


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a log or of a clock.

    Attributes:
        name: the last part of the key. The complete key is `{prefix}:{{{log}}}:{name}` for a log and
            `{prefix}:{{{log}}}:{clock}:{name}` for a clock: the number of the log is in braces.
        type: the type, as the command TYPE returns it.
        expires: True if the key always has a TTL.
        lifetime: when the key is removed, or what limits its size.
        writer: the parts of clocksvc that write the key.
        meaning: the contents of the key.
    """

    name: str
    type: str
    expires: bool
    lifetime: str
    writer: str
    meaning: str


LOG_KEYS = (
    Key(
        "lease",
        "hash",
        True,
        "the lease's TTL after it was last renewed",
        "leader",
        "the leader: token, replica",
    ),
    Key(
        "holder",
        "string",
        False,
        "until the lease is released",
        "leader",
        "the replica that acquired the lease last. Without a lease, it did not release the lease",
    ),
    Key(
        "replicas",
        "hash",
        True,
        "with the last announcement; each field has its own expiry",
        "every replica",
        "the live replicas: '<expires ms> <announcement, JSON>'",
    ),
    Key(
        "configs",
        "hash",
        True,
        "with replicas; one field for each configuration of a live replica, and since",
        "every replica",
        "since: no announcement was lost after this time, in ms; the configuration of each digest, JSON",
    ),
    Key(
        "mark",
        "string",
        False,
        "stays",
        "leader; clocksvc init --adopt-tick-log",
        "the mark of the tick log's log to which all these keys belong: '<id of this store>', or, until a leader has "
        "led the log with it, '<id of this store> <id of the store that it replaces>'",
    ),
    Key(
        "notification",
        "list",
        False,
        "until the leader pops it or does a round; at most one element",
        "reports, replicas",
        "the notification that the leader waits for",
    ),
    Key(
        "notices",
        "stream",
        False,
        "stays; about 1,000 entries",
        "leader",
        "notices for readers: id <consecutive number>-0, c clock with new ticks",
    ),
)

CLOCK_KEYS = (
    Key(
        "state",
        "hash",
        False,
        "stays; at most 20 fields",
        "leader",
        "claimed_by (the token of the last claim), identity (cluster_id, format), "
        "parameters (group, topics, interval_ms, out_of_orderness_ms, max_future_ms, max_drift_ms), "
        "started_ms, roster ([[topic, id, partitions], …] in order), roster_group, generation, excluded_count, "
        "stream (1 once a leader has begun the stream of ticks), base_ms (the time that the first tick of the stream "
        "follows), restoring (1 while older ticks are missing), staged_count, "
        "overrides (operator overrides, JSON), "
        "recreated (recreated topics, JSON: lower timestamps in ms of their unknown partitions are ignored)",
    ),
    Key(
        "parameters",
        "string",
        False,
        "stays",
        "leader",
        "a copy of the fields of state that reports need, JSON. A string, because consumers may write hashes",
    ),
    Key(
        "signals",
        "hash",
        False,
        "stays; at most 6 fields",
        "reports; the leader writes leader_seen_ms and removes boundary_crossed_at_ms",
        "what reports tell the leader: boundary_crossed_at_ms, unknown_seen_ms, create_time_seen_ms, foreign_group and "
        "foreign_topic (time in ms and name of the newest report of another group, or on another topic); "
        "leader_seen_ms (when the leader began a round, only with max_drift)",
    ),
    Key(
        "roster",
        "zset",
        False,
        "stays; one member for each partition; replaced at once",
        "leader; reports raise scores",
        "the partitions that must report, topic:partition, with their raw timestamp in ms; -inf is unknown",
    ),
    Key(
        "excluded",
        "zset",
        False,
        "stays; one member for each excluded partition; replaced at once",
        "leader; reports raise scores",
        "the partitions that an operator excluded, as in roster",
    ),
    Key(
        "reported",
        "hash",
        False,
        "stays; one field for each partition; dropped when the partition leaves the roster",
        "reports",
        "when each partition was last reported, by the server's time in ms",
    ),
    Key(
        "rejected",
        "hash",
        False,
        "stays; at most one field for each partition; dropped when a report is accepted, or with the roster",
        "reports",
        "why each partition's last report was rejected: an outcome",
    ),
    Key(
        "observation",
        "string",
        False,
        "stays; replaced with each poll",
        "the observer of committed offsets",
        "what the observer knows of the clock and of its upstream clocks, JSON",
    ),
    Key(
        "observed",
        "hash",
        False,
        "stays; one field for each partition; replaced with each poll",
        "the observer of committed offsets",
        "what the observer knows of each partition: '<committed offset> <end offset> <why it waits>', with - for an "
        "offset that is not known",
    ),
    Key(
        "ticks",
        "stream",
        False,
        "stays; ticks emitted longer ago than recent_ticks are removed, never the last",
        "leader",
        "recent ticks: id <seconds>-0, p previous in ms or empty, i interval in s, e emitted at in ms, x exclusions",
    ),
    Key(
        "ticks-staged",
        "stream",
        True,
        "a day after the last write, or renamed to ticks",
        "leader",
        "older ticks while they are being restored, which readers don't see",
    ),
    Key(
        "roster-new",
        "zset",
        False,
        "inside one script: renamed to roster by the script that created it",
        "leader",
        "the roster while it is being replaced",
    ),
    Key(
        "excluded-new",
        "zset",
        False,
        "inside one script: renamed to excluded by the script that created it",
        "leader",
        "the excluded partitions while they are being replaced",
    ),
    Key(
        "status",
        "string",
        True,
        "half a minute, set by the leader",
        "leader",
        "the leader's last status of the clock, JSON",
    ),
    Key(
        "holds",
        "zset",
        False,
        "stays; changes older than a week are removed, and the oldest ones of more than 500",
        "leader",
        "the history of holds: '<began ms> <until ms> <reason, or - without a hold> <hold, JSON>'",
    ),
    Key(
        "requests",
        "hash",
        True,
        "a minute after the last request expires; at most 64 fields, each until it has a result or is cancelled",
        "every replica; the leader marks and removes requests",
        "requests to the leader by id: '<expires ms> <1 if a leader has read it, else 0> <JSON>'",
    ),
    Key(
        "results",
        "hash",
        True,
        "with the last result; each field has its own expiry",
        "leader",
        "the leader's results by request id: '<expires ms> <JSON>'",
    ),
    Key(
        "counters",
        "hash",
        False,
        "stays; about 15 fields, and one for each dispatcher, namespace, queue and outcome",
        "reports, heartbeat workers, dispatchers, workers that check for duplicates",
        "reports:<outcome>, heartbeats:<outcome>, late_records, heartbeat_success_ms, "
        "tasks:<JSON [dispatcher, namespace, queue, outcome]>, task_duplicates",
    ),
    Key(
        "dispatchers",
        "hash",
        True,
        "with the last field, a week after it was written; each field has its own expiry",
        "dispatchers",
        "the checkpoint of each dispatcher: '<expires ms> <checkpoint ms>'",
    ),
    Key(
        "done-tasks",
        "zset",
        True,
        "with the last member, a week after it was written; at most 100,000 members",
        "workers that check for duplicates",
        "the ids of completed tasks, with the end of their retention in ms",
    ),
    Key(
        "schedulers",
        "hash",
        True,
        "with the last announcement; each field has its own expiry",
        "every scheduler",
        "the live replicas of the scheduler: '<expires ms> <announcement, JSON>'; since: no announcement was lost "
        "after this time, in ms",
    ),
    Key(
        "partition-leases",
        "hash",
        True,
        "a minute after the last write; each field has its own expiry",
        "every scheduler",
        "the leases on the partitions of schedules, by number: '<expires ms> <token> <JSON [replica, address]>'",
    ),
    Key(
        "trial",
        "list",
        False,
        "inside one script: removed by the script that created it",
        "clocksvc check",
        "a key for the test of permissions",
    ),
)


def log_key(prefix: str, log: int, name: str) -> str:
    """Return the complete key of a log."""
    return f"{prefix}:{{{log}}}:{name}"


def clock_key(prefix: str, clock: str, name: str) -> str:
    """Return the complete key of a clock."""
    return f"{prefix}:{{{log_of(clock)}}}:{clock}:{name}"
