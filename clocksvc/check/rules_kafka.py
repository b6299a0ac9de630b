"""What is wrong with a cluster, a consumer group or a tick log, from their facts. Asks nobody."""

from collections.abc import Collection

from clocksvc.check.finding import Finding, ok, problem, warning
from clocksvc.clock.listing import name_first
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec
from clocksvc.interfaces.tick_log_topic import (
    TickLogTopic,
    problems,
    warnings,
)
from clocksvc.kafka.cluster_facts import (
    ClusterFacts,
    GroupFacts,
    TopicFacts,
)

FLOOR = (3, 7)
TICK_LOG_NEEDS = ("READ", "WRITE", "DESCRIBE_CONFIGS")
"""What a leader does with its log, in Kafka's names. Its transactional id can't be tried: that cuts a leader off."""


def judge_cluster(facts: ClusterFacts) -> list[Finding]:
    """Which cluster it is, and whether it is new enough."""
    many = f"{facts.brokers} broker{'s' * (facts.brokers != 1)}"
    text = f"answers: cluster {facts.cluster_id}, {many}"
    if facts.protocol is None:
        return [ok("kafka", text)]
    release = facts.protocol.partition("-")[0]
    numbers = tuple(int(number) for number in release.split(".")[:2] if number.isdecimal())
    if len(numbers) == 2 and numbers < FLOOR:
        return [problem("kafka", f"{text}, protocol of Kafka {release}", "run Apache Kafka 3.7 or later")]
    return [ok("kafka", f"{text}, protocol of Kafka {release}")]


def judge_ticklog(spec: ClockSpec, facts: TopicFacts | None, brokers: int) -> list[Finding]:
    """Whether the tick log keeps what it is given."""
    part = f"tick log {spec.tick_log}"
    if facts is None:
        return [ok(part, "does not exist yet: the clock's first leader creates it", spec.name)]
    shape = _shape(spec.tick_log, facts, brokers)
    found = [_forbidden(part, operation, spec) for operation in facts.lacks(*TICK_LOG_NEEDS)]
    found += [problem(part, *_split(text), spec.name) for text in problems(shape)]
    found += [warning(part, *_split(text), spec.name) for text in warnings(shape)]
    return found or [ok(part, f"exists: one partition, cleanup.policy={shape.cleanup_policy}", spec.name)]


def judge_creation(spec: ClockSpec, refusal: str) -> Finding:
    """A tick log that does not exist, and that this user may not create."""
    text = f"does not exist, and can't be created: {refusal}"
    to_do = "allow this user Create on the topic, or create it as docs/security.md says"
    return problem(f"tick log {spec.tick_log}", text, to_do, spec.name)


def judge_group(spec: ClockSpec, facts: GroupFacts | None, partitions: Collection[Partition]) -> list[Finding]:
    """Whether the group whose progress counts is there and reads these topics."""
    part = f"group {spec.group}"
    if facts is None:
        text = "Kafka does not let this user look at it: whether its consumers run and commit is not known"
        return [warning(part, text, "allow this user Describe on the group; only check needs it", spec.name)]
    if not facts.known:
        similar = f": Kafka knows {', '.join(facts.similar)}" if facts.similar else ""
        to_do = (
            f"start its consumers, or correct clocks.{spec.name}.group{similar}; reports of another group are refused"
        )
        return [warning(part, "Kafka knows no such group: no consumer has joined or committed yet", to_do, spec.name)]
    return [*_members(spec, part, facts, partitions), *_offsets(spec, part, facts, partitions)]


def _members(spec: ClockSpec, part: str, facts: GroupFacts, partitions: Collection[Partition]) -> list[Finding]:
    if facts.members == 0:
        text = "has no members now: nobody reports, and the clock holds (unless consumers assign partitions by hand)"
        return [warning(part, text, "start its consumers", spec.name)]
    elsewhere = {partition.topic for partition in facts.assigned} - set(spec.topics)
    unread = sorted(set(partitions) - facts.assigned)
    members = f"{facts.members} member{'s' * (facts.members != 1)}"
    if partitions and len(unread) == len(partitions):
        reads = f", it reads {', '.join(sorted(elsewhere))}" if elsewhere else ""
        text = f"has {members}, none of which reads {', '.join(spec.topics)}{reads}"
        to_do = f"correct clocks.{spec.name}.group or .topics, or what the consumers subscribe to"
        return [problem(part, text, to_do, spec.name)]
    if unread:
        named = name_first(unread)
        text = f"has {members}, but {len(unread)} of {len(partitions)} partitions are nobody's: {named}"
        return [warning(part, text, "see whether a rebalance is going on; if it stays, restart consumers", spec.name)]
    return [ok(part, f"has {members}, which read all {len(partitions)} partitions", spec.name)]


def _offsets(spec: ClockSpec, part: str, facts: GroupFacts, partitions: Collection[Partition]) -> list[Finding]:
    without = sorted(set(partitions) - set(facts.committed))
    if not without:
        return [ok(part, "has committed offsets for every partition", spec.name)] if partitions else []
    text = f"has committed no offset for {len(without)} of {len(partitions)} partitions: {name_first(without)}"
    to_do = (
        "put records or heartbeats into them, so that their consumers come to report; offsets kept outside Kafka need "
        "nothing"
    )
    return [warning(part, text, to_do, spec.name)]


def _forbidden(part: str, operation: str, spec: ClockSpec) -> Finding:
    name = operation.title().replace("_", "")
    return problem(part, f"this user lacks {name}", f"allow this user {name} on the topic", spec.name)


def _shape(topic: str, facts: TopicFacts, brokers: int) -> TickLogTopic:
    known = TickLogTopic(topic)
    return TickLogTopic(
        topic,
        facts.partitions,
        facts.cleanup_policy or known.cleanup_policy,
        known.timestamp_type if facts.timestamp_type is None else facts.timestamp_type.value,
        known.min_compaction_lag_ms if facts.min_compaction_lag_ms is None else facts.min_compaction_lag_ms,
        facts.replication,
        known.min_insync if facts.min_insync is None else facts.min_insync,
        brokers,
    )


def _split(text: str) -> tuple[str, str]:
    """A sentence of `shape`: what is wrong, then what to do."""
    wrong, _, to_do = text.partition(": ")
    return wrong, to_do or "see the tick log's replicas"
