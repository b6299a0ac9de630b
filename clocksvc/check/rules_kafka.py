"""Evaluates a Kafka cluster, its consumer groups, the tick log and time. Does no I/O."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from clocksvc.check.finding import MIN_SKEW_MS, Finding, format_skew, ok, problem, warning
from clocksvc.clock.log_owner import Installation, LogOwner, StoreMark, confirm_store, leading_logs, read_owner
from clocksvc.clock.logs import LOGS
from clocksvc.clock.partition import Partition, name_first
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.errors import StoreMismatch
from clocksvc.interfaces.progress import Snapshot
from clocksvc.interfaces.task_routes import unshareable_partitions
from clocksvc.kafka.cluster_facts import ClusterFacts, GroupFacts, LogRecord, TopicFacts
from clocksvc.kafka.tick_log_topic import TickLogTopic, problems, warnings

MIN_VERSION = (3, 9)
MAX_HEARTBEAT_ROUNDS_PER_S = 100
"""The largest average number of rounds of heartbeats a second without a warning. A worker with two processes can send
more."""
MAX_HEARTBEATS_PER_TOPIC = 2
"""The largest number of clocks that write heartbeats to the same topic without a warning."""
SPREAD_MS = 1_000
"""There is no finding if the last heartbeat is due less than this time after the multiple of `every`."""
TICK_LOG_OPERATIONS = ("READ", "WRITE", "DESCRIBE_CONFIGS")
"""Kafka's names of a leader's operations on the tick log. The transactional ids are not tested, because a test would
fence the leaders."""


def evaluate_heartbeats(specs: Iterable[ClockSpec]) -> list[Finding]:
    """Test whether Celery workers can send the heartbeats of all clocks in time. No finding for a few clocks."""
    beats = [spec.heartbeat for spec in specs if spec.heartbeat is not None]
    last_ms = max((one.offset_ms for one in beats), default=0)
    rounds = sum(1_000 / one.every_ms for one in beats)
    part, text = "heartbeats", f"{rounds:,.0f} rounds a second for {len(beats):,} clocks"
    if rounds > MAX_HEARTBEAT_ROUNDS_PER_S:
        text += ", which may be more than Celery workers can send in time"
        to_do = "run more workers (docs/production.md has their CPU), or raise clocks.*.heartbeat.every"
        return [warning(part, text, to_do)]
    if last_ms < SPREAD_MS:
        return []
    return [ok(part, f"{text}, each of them up to {last_ms / 1000:.0f} s after the multiple of its heartbeat.every")]


def evaluate_shared_heartbeats(specs: Iterable[ClockSpec]) -> list[Finding]:
    """Test whether many clocks write heartbeats to the same topic. One finding for all topics.

    The group of each clock reads the heartbeats of all of them, so the number of reads grows with the square of the
    number of clocks.
    """
    writers: dict[str, list[tuple[int, str]]] = {}
    for spec in specs:
        if spec.heartbeat is not None:
            for topic in spec.topics:
                writers.setdefault(topic, []).append((spec.heartbeat.every_ms, spec.name))
    shared = {topic: found for topic, found in writers.items() if len(found) > MAX_HEARTBEATS_PER_TOPIC}
    if not shared:
        return []
    topic, found = max(shared.items(), key=lambda item: len(item[1]))
    text = f"{len(found):,} clocks write heartbeats to topic {topic}, and the group of each one reads all of them"
    if len(shared) > 1:
        text += f"; {len(shared) - 1:,} more topic{'s get' if len(shared) > 2 else ' gets'} those of several clocks"
    to_do = (
        f"leave the heartbeats of one clock on, for {topic} those of {min(found)[1]}, and set clocks.*.heartbeat to "
        "null for the others (docs/sizing.md has the conditions)"
    )
    return [warning("heartbeats", text, to_do)]


def evaluate_cluster(facts: ClusterFacts) -> list[Finding]:
    """Test whether the version of Kafka is new enough."""
    text = f"answers: cluster {facts.cluster_id}, {facts.brokers} broker{'s' * (facts.brokers != 1)}"
    if facts.protocol is None:
        return [ok("kafka", text)]
    release = facts.protocol.partition("-")[0]
    numbers = tuple(int(number) for number in release.split(".")[:2] if number.isdecimal())
    if len(numbers) == 2 and numbers < MIN_VERSION:
        return [problem("kafka", f"{text}, protocol of Kafka {release}", "run Apache Kafka 3.9 or later")]
    return [ok("kafka", f"{text}, protocol of Kafka {release}")]


def evaluate_tick_log(part: str, name: str, facts: TopicFacts | None, brokers: int, keep_ms: int) -> list[Finding]:
    """Test whether the tick log's topic could lose ticks, and whether this user has the permissions of a leader."""
    if facts is None:
        return [ok(part, "does not exist yet: the first leader creates it")]
    topic = _internal_topic(TickLogTopic(name, min_compaction_lag_ms=keep_ms), facts, brokers)
    found = [_missing_operation(part, operation) for operation in facts.lacks(*TICK_LOG_OPERATIONS)]
    found += [problem(part, *_split(text)) for text in problems(topic)]
    found += [warning(part, *_split(text)) for text in warnings(topic, keep_ms)]
    return found or [ok(part, f"exists: {LOGS} partitions, cleanup.policy={topic.cleanup_policy}")]


def evaluate_checkpoint_topic(name: str, facts: TopicFacts | None, brokers: int) -> list[Finding]:
    """Test whether the checkpoint topic could lose checkpoints. A dispatcher creates the topic if it is missing."""
    if facts is None:
        return []
    topic = _internal_topic(TickLogTopic(name, kind="checkpoint topic"), facts, brokers)
    return [problem(topic.kind + f" {name}", *_split(text)) for text in problems(topic)]


def evaluate_task_topic(name: str, facts: TopicFacts | None, replicas: int) -> list[Finding]:
    """Test whether tasks can be sent to a topic of the task platform, and whether its taskbrokers can share it.

    A missing permission is a warning, because another user than that of the dispatchers may run the check.
    """
    part = f"task topic {name}"
    if facts is None:
        text = "Kafka does not list it, or this user may not describe it: tasks for it wait"
        return [problem(part, text, f"create it; its number of partitions must be a multiple of {replicas}")]
    found = []
    if reason := unshareable_partitions(name, facts.partitions, replicas):
        to_do = f"add partitions, or correct taskbroker.replicas.{name}; until then tasks for the topic wait"
        found.append(problem(part, reason, to_do))
    if "compact" in (facts.cleanup_policy or ""):
        text = "is compacted, so Kafka rejects tasks, because they have no key"
        found.append(problem(part, text, "set its cleanup.policy to delete"))
    if facts.lacks("WRITE"):
        text = "this user lacks Write, which dispatchers need"
        found.append(warning(part, text, "allow the user of `celery -A clocksvc beat` Write on the topic"))
    count = f"{facts.partitions} partition{'s' * (facts.partitions != 1)}"
    return found or [ok(part, f"exists: {count} for {replicas} taskbroker{'s' * (replicas != 1)}")]


def tick_log_not_creatable(part: str, reason: str) -> Finding:
    """Return the problem that the tick log does not exist and this user may not create it."""
    text = f"does not exist, and can't be created: {reason}"
    return problem(part, text, "allow this user Create on the topic, or create it as docs/security.md describes")


def evaluate_owner(
    part: str,
    installation: Installation,
    marks: Mapping[int, StoreMark | None] | None,
    records: Iterable[LogRecord],
) -> list[Finding]:
    """Test whether the tick log belongs to this installation and its Redis.

    Args:
        marks: the marks of the logs in Redis, by log; None if they can't be read. Then only the prefix is tested.
        records: the newest records of all logs, in order of offset within a log. A second installation can have its
            clocks in other logs.
    """
    owners: dict[int, LogOwner] = {}
    for record in records:
        owner = read_owner(record.message)
        if owner is not None:
            owners[record.log] = owner
    leads = [] if marks is None else leading_logs(marks, owners)
    for log, owner in sorted(owners.items()):
        prefix = owner.installation.prefix
        if prefix != installation.prefix:
            text = (
                f"log {log} belongs to another installation: redis.prefix is {installation.prefix!r} here, but "
                f"{prefix!r} there"
            )
            to_do = (
                "set tick_log.topic to a topic of this installation alone, or redis.prefix to that of the installation"
            )
            return [problem(part, text, to_do)]
        try:
            if marks is not None:
                confirm_store(log, installation, marks.get(log), owner, leads=leads)
        except StoreMismatch as error:
            return [problem(part, *_split(str(error)))]
    return [ok(part, "belongs to this installation")] if owners else []


def evaluate_group(spec: ClockSpec, facts: GroupFacts | None, partitions: Collection[Partition]) -> list[Finding]:
    """Test whether the clock's consumer group exists and reads these partitions.

    Args:
        facts: None if this user may not describe the group.
    """
    part = f"group {spec.group}"
    if facts is None:
        text = "this user may not describe it, so check can't find out whether its consumers run and commit"
        only = "" if spec.source is Source.COMMITTED else "; only check needs it"
        return [warning(part, text, f"allow this user Describe on the group{only}", spec.name)]
    if facts.unordered:
        text = (
            "is a share group, or of another kind than consumer groups: its progress has no order, so no clock fits it"
        )
        return [problem(part, text, f"set clocks.{spec.name}.group to a consumer group", spec.name)]
    if not facts.known:
        similar = f" (Kafka has {', '.join(facts.similar)})" if facts.similar else ""
        only = "only offsets of this group count"
        others = only if spec.source is Source.COMMITTED else "reports of other groups are rejected"
        to_do = f"start its consumers, or correct clocks.{spec.name}.group{similar}; {others}"
        return [warning(part, "does not exist in Kafka: no consumer has joined or committed yet", to_do, spec.name)]
    members = _members(spec, part, facts, partitions)
    return members if spec.source is Source.COMMITTED else [*members, *_offsets(spec, part, facts, partitions)]


def evaluate_reports(spec: ClockSpec, facts: GroupFacts, snapshot: Snapshot) -> list[Finding]:
    """Compare what the group's consumers commit in Kafka with what their Reporters report to the store.

    There is no finding before the clock's first leader, because reports do not count before.
    """
    part = f"group {spec.group}"
    if snapshot.parameters is None or spec.source is Source.COMMITTED:
        return []
    committed = any(partition.topic in spec.topics for partition in facts.committed)
    if facts.members and committed and not snapshot.known and snapshot.unknown:
        text = "has committed offsets, but no partition is reported"
        to_do = (
            "compare URL, database, prefix, clock name and group of its Reporter with this configuration (its log has: "
            f"clock … is unknown). If it has no Reporter, add one for clock {spec.name}"
        )
        return [problem(part, text, to_do, spec.name)]
    if not facts.known and snapshot.known:
        text = "is reported, but Kafka does not know it"
        to_do = (
            "compare group.id of the consumers with group= of their Reporter. If the consumers store their offsets "
            "outside Kafka, no action is needed"
        )
        return [warning(part, text, to_do, spec.name)]
    return []


def evaluate_broker_time(appended_ms: int | None, emitted_ms: int | None, now_ms: int) -> Finding:
    """Compare the broker's time in the newest tick of the tick log with the leader's and this machine's time.

    The check writes no record. Therefore it can detect a broker whose time is behind only by comparison with the
    leader's time.

    Args:
        appended_ms: the broker's time when it appended the tick; None if there is no tick, or if the topic does not
            have LogAppendTime.
        emitted_ms: the leader's time when it emitted the tick; None if there is no tick.
    """
    part = "clock skew"
    to_do = "synchronize the clocks of brokers and replicas of clocksvc with NTP"
    if appended_ms is None or emitted_ms is None:
        text = "the brokers' clock can't be compared: the tick log has no tick with a broker's timestamp yet"
        return ok(part, text)
    if appended_ms - now_ms >= MIN_SKEW_MS:
        text = f"the brokers' clock is {format_skew(appended_ms - now_ms)} this machine's, or more"
        return warning(part, text, to_do)
    ahead_ms = appended_ms - emitted_ms
    if abs(ahead_ms) < MIN_SKEW_MS:
        text = "the brokers' clock and the leader's clock differed by less than a second at the last tick"
        return ok(part, text)
    slow = ", unless the commit took that long" if ahead_ms > 0 else ""
    text = f"the brokers' clock was {format_skew(ahead_ms)} the leader's at the last tick{slow}"
    return warning(part, text, to_do)


def _members(spec: ClockSpec, part: str, facts: GroupFacts, partitions: Collection[Partition]) -> list[Finding]:
    if facts.members == 0:
        effect = "no consumer reports and the clock holds"
        if spec.source is Source.COMMITTED:
            effect = "nothing new is committed, and the clock waits for each record"
        text = f"has no members now, so {effect} (unless consumers assign partitions themselves)"
        return [warning(part, text, "start its consumers", spec.name)]
    elsewhere = {partition.topic for partition in facts.assigned} - set(spec.topics)
    unread = sorted(set(partitions) - facts.assigned)
    members = f"{facts.members} member{'s' * (facts.members != 1)}"
    if partitions and len(unread) == len(partitions):
        reads = f"; the group reads {', '.join(sorted(elsewhere))}" if elsewhere else ""
        text = f"has {members}, none of which reads {', '.join(spec.topics)}{reads}"
        to_do = f"correct clocks.{spec.name}.group or .topics, or the topics that the consumers subscribe to"
        return [problem(part, text, to_do, spec.name)]
    if unread:
        text = (
            f"has {members}, but {len(unread)} of {len(partitions)} partitions are not assigned: {name_first(unread)}"
        )
        to_do = "check whether the group rebalances; if partitions remain unassigned, restart the consumers"
        return [warning(part, text, to_do, spec.name)]
    return [ok(part, f"has {members}, which read all {len(partitions)} partitions", spec.name)]


def _offsets(spec: ClockSpec, part: str, facts: GroupFacts, partitions: Collection[Partition]) -> list[Finding]:
    without = sorted(set(partitions) - set(facts.committed))
    if not without:
        return [ok(part, "has committed offsets for every partition", spec.name)] if partitions else []
    text = f"has committed no offset for {len(without)} of {len(partitions)} partitions: {name_first(without)}"
    to_do = (
        "write records or heartbeats to these partitions, so that their consumers report; if the consumers store their "
        "offsets outside Kafka, no action is needed"
    )
    return [warning(part, text, to_do, spec.name)]


def _missing_operation(part: str, operation: str) -> Finding:
    name = operation.title().replace("_", "")
    return problem(part, f"this user lacks {name}", f"allow this user {name} on the topic")


def _internal_topic(wanted: TickLogTopic, facts: TopicFacts, brokers: int) -> TickLogTopic:
    """Return the topic with its facts. A setting that Kafka does not list gets the wanted value."""
    known = {
        "cleanup_policy": facts.cleanup_policy,
        "timestamp_type": None if facts.timestamp_type is None else facts.timestamp_type.value,
        "min_compaction_lag_ms": facts.min_compaction_lag_ms,
        "max_message_bytes": facts.max_message_bytes,
        "min_insync": facts.min_insync,
    }
    listed: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    return replace(wanted, partitions=facts.partitions, replication=facts.replication, brokers=brokers, **listed)


def _split(text: str) -> tuple[str, str]:
    """Return the two parts of a text from `problems` or `warnings`: what is wrong, and what to do."""
    wrong, _, to_do = text.partition(": ")
    return wrong, to_do or "check the tick log's replicas"
