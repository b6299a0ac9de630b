"""Every Redis key of a clock: what it is, who writes it, and how it ends. There are no others; a test says so.

All keys of a clock share a hash tag, so that in a cluster they live on one node and one script may use them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a clock.

    Attributes:
        name: its last part; the whole key is `{prefix}:{{{clock}}}:{name}`, the clock's name in braces.
        type: as TYPE answers.
        expires: whether it always has a TTL.
        life: how it ends, or what bounds it.
        writer: who writes it.
        meaning: what it holds.
    """

    name: str
    type: str
    expires: bool
    life: str
    writer: str
    meaning: str


KEYS = (
    Key(
        "state",
        "hash",
        False,
        "stays; at most 17 fields",
        "leader; reports write crossed_ms and unknown_seen_ms",
        "marks (cluster_id, format), bounds (group, topics, interval_ms, out_of_orderness_ms, max_future_ms), "
        "started_ms, roster ([[topic, id, partitions], …] in order), generation, excluded_count, "
        "base_ms (what the first tick must name), crossed_ms, unknown_seen_ms, "
        "standing (who excluded and paused, when and why, JSON), "
        "anew (topics made anew: what is reported of their unknown partitions counts from this time in ms on, JSON)",
    ),
    Key(
        "roster",
        "zset",
        False,
        "stays; one member a partition; replaced whole",
        "leader; reports raise scores",
        "the partitions that must report, topic:partition, with their raw timestamp in ms; -inf is unknown",
    ),
    Key(
        "excluded",
        "zset",
        False,
        "stays; one member an excluded partition; replaced whole",
        "leader; reports raise scores",
        "the partitions that an operator took off, as in roster",
    ),
    Key(
        "reported",
        "hash",
        False,
        "stays; one field a partition; those that left the roster are dropped with it",
        "reports",
        "when each partition was last reported, by the store's time in ms",
    ),
    Key(
        "refused",
        "hash",
        False,
        "stays; at most one field a partition; dropped when a report of it counts, or with the roster",
        "reports",
        "why each partition's newest report was refused: an outcome",
    ),
    Key(
        "ticks",
        "stream",
        False,
        "stays; entries emitted longer ago than recent_ticks are trimmed, never the last",
        "leader",
        "recent ticks: id <seconds>-0, p previous in ms or empty, i interval in s, e emitted at in ms, x exclusions",
    ),
    Key(
        "ticks-new",
        "stream",
        True,
        "one minute after the last write, or renamed to ticks",
        "leader",
        "the stream while it is being rebuilt",
    ),
    Key(
        "roster-new",
        "zset",
        False,
        "inside one script: renamed to roster by the script that made it",
        "leader",
        "the roster while it is being replaced",
    ),
    Key(
        "excluded-new",
        "zset",
        False,
        "inside one script: renamed to excluded by the script that made it",
        "leader",
        "the excluded partitions while they are being replaced",
    ),
    Key(
        "lease",
        "hash",
        True,
        "the lease's ttl_ms after it was last renewed",
        "leader",
        "who leads: token, holder, ttl_ms",
    ),
    Key(
        "verdict",
        "string",
        True,
        "as long as the leader says, half a minute",
        "leader",
        "what the leader last said about the clock, JSON",
    ),
    Key(
        "replicas",
        "hash",
        True,
        "with the last announcement; each field carries its own end",
        "every replica",
        "the replicas alive: '<expires ms> <configuration digest>'",
    ),
    Key(
        "heard",
        "hash",
        True,
        "with replicas; one field a configuration of a replica alive, and since",
        "every replica",
        "since: from when on no announcement was lost, in ms; what each configuration digest stands for, JSON",
    ),
    Key(
        "wake",
        "list",
        True,
        "one minute, or taken by the leader; at most one element",
        "reports, replicas",
        "somebody wants the leader's attention",
    ),
    Key(
        "requests",
        "hash",
        True,
        "a minute after the last request's end; at most 64 fields, each until it is answered or withdrawn",
        "every replica; the leader marks and removes",
        "requests to the leader by id: '<expires ms> <1 once a leader has seen it, else 0> <JSON>'",
    ),
    Key(
        "answers",
        "hash",
        True,
        "with the last answer; each field carries its own end",
        "leader",
        "the leader's answers by the request's id: '<expires ms> <JSON>'",
    ),
    Key(
        "counters",
        "hash",
        False,
        "stays; about 15 fields, and one for each dispatcher, namespace, queue and outcome",
        "reports, heartbeat workers, dispatchers, workers that ask for doubles",
        "reports:<outcome>, heartbeats:<outcome>, late_records, heartbeat_success_ms, "
        "tasks:<JSON [dispatcher, namespace, queue, outcome]>, task_duplicates",
    ),
    Key(
        "dispatchers",
        "hash",
        True,
        "with the last field, a week after it was written; each field carries its own end",
        "dispatchers",
        "up to where each dispatcher has sent everything: '<expires ms> <position ms>'",
    ),
    Key(
        "finished",
        "zset",
        True,
        "with the last member, a week after it was written; at most 100,000 members",
        "workers that ask for doubles",
        "the ids of tasks that have been run to their end, with the time in ms until which that is remembered",
    ),
    Key(
        "trial",
        "list",
        False,
        "inside one script: removed by the script that made it",
        "clocksvc check",
        "what permissions are tried on",
    ),
)


def key(prefix: str, clock: str, name: str) -> str:
    """The whole key."""
    return f"{prefix}:{{{clock}}}:{name}"
