"""The rules of `clocksvc check`: facts in a table, with the level and some words of the finding."""

from dataclasses import replace

import pytest
import urllib3

from clocksvc.check import probe_redis, probe_service, rules_kafka, rules_topic
from clocksvc.check.finding import Finding, Level, format_duration, ok, problem, warning, worst
from clocksvc.check.rules_topic import OutOfOrderness, measure
from clocksvc.clock.log_owner import Installation, LogOwner, StoreMark
from clocksvc.clock.log_record import Message
from clocksvc.clock.log_state import snapshot_messages
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, HeartbeatSpec, spread_heartbeats
from clocksvc.interfaces.progress import ClockParameters, Snapshot
from clocksvc.interfaces.topics import TimestampType
from clocksvc.kafka.cluster_facts import ClusterFacts, GroupFacts, LogRecord, TopicFacts
from clocksvc.redis.diagnostics import RedisFacts
from clocksvc.settings import settings_from
from tests.unit.api.clock_fixture import ClockFixture
from tests.unit.api.running_service import serving

pytestmark = pytest.mark.core

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM
SPEC = ClockSpec("checkins", ("ingest",), "consumers", heartbeat=HeartbeatSpec())
PARTITIONS = [Partition("ingest", number) for number in range(3)]
CREATE, APPEND = TimestampType.CREATE_TIME, TimestampType.LOG_APPEND_TIME
NOW_MS = 1_795_348_800_000
HOUR_MS = 3_600_000


def texts_of(findings: list[Finding], level: Level) -> str:
    """The texts of all findings of a level, with their advice."""
    return " | ".join(f"{one.text} → {one.to_do}" for one in findings if one.level is level)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (RedisFacts("", "Redis 6.2.0", "6.2.0", "master", "noeviction"), OK, "noeviction"),
        (RedisFacts("", "Valkey 9.0.1", "7.2.4", "master", "noeviction"), OK, "Valkey 9.0.1"),
        (RedisFacts("", "Redis 6.0.16", "6.0.16", "master", "noeviction"), PROBLEM, "6.2 or later"),
        (RedisFacts("", "Redis 5.0", "5.0", "master", "noeviction"), PROBLEM, "6.2 or later"),
        (RedisFacts("", "Redis 10.0.1", "10.0.1", "master", "noeviction"), OK, "noeviction"),
        (RedisFacts("", "Redis 7.4.0", "7.4.0", "slave", "noeviction"), PROBLEM, "the master's address"),
        (RedisFacts("", "Redis 7.4.0", "7.4.0", "master", "allkeys-lru", 1000, 10), WARNING, "evict rosters"),
        (RedisFacts("", "Redis 7.4.0", "7.4.0", "master", "volatile-ttl", 1000, 10), WARNING, "evict leases"),
        (RedisFacts("", "Redis 7.4.0", "7.4.0", "master", "allkeys-lfu"), WARNING, "no maxmemory"),
        (RedisFacts("", "Redis 7.4.0", "7.4.0", "master", "noeviction", 1000, 900), WARNING, "90% of maxmemory"),
        (RedisFacts("", "Redis 7.4.0", "7.4.0", "master", "noeviction", 1000, 100), OK, "noeviction"),
        (RedisFacts(""), WARNING, "+info"),
    ],
)
def test_redis(facts: RedisFacts, level: Level, words: str) -> None:
    """Old versions and replicas do not work; eviction policies can lose state."""
    findings = probe_redis.evaluate_server(facts)

    assert worst(findings) is level
    assert words in texts_of(findings, level)


@pytest.mark.parametrize(
    ("protocol", "level"),
    [(None, OK), ("3.9-IV0", OK), ("3.8-IV0", PROBLEM), ("2.8", PROBLEM), ("3.10", OK), ("odd", OK)],
)
def test_kafka_version(protocol: str | None, level: Level) -> None:
    """Brokers from 4.0 on have no such setting, and are new enough."""
    assert worst(rules_kafka.evaluate_cluster(ClusterFacts("abc", 3, protocol))) is level


GOOD_TOPIC = TopicFacts(3, "id-1", APPEND, 60_000, 7 * 24 * HOUR_MS, "delete")


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (GOOD_TOPIC, OK, "LogAppendTime"),
        (None, PROBLEM, "create it"),
        (replace(GOOD_TOPIC, timestamp_type=None), WARNING, "DescribeConfigs"),
        (replace(GOOD_TOPIC, timestamp_type=CREATE), OK, "CreateTime"),
        (replace(GOOD_TOPIC, timestamp_type=CREATE, after_max_ms=HOUR_MS), WARNING, "after.max.ms=60000"),
        (replace(GOOD_TOPIC, timestamp_type=CREATE, after_max_ms=2**63 - 1), WARNING, "any time ahead"),
        (replace(GOOD_TOPIC, timestamp_type=CREATE, after_max_ms=None), OK, "CreateTime"),
        (replace(GOOD_TOPIC, after_max_ms=2**63 - 1), OK, "LogAppendTime"),
        (replace(GOOD_TOPIC, retention_ms=60_000), WARNING, "retention.ms is 1m"),
        (replace(GOOD_TOPIC, retention_ms=-1), OK, "3 partitions"),
        (replace(GOOD_TOPIC, cleanup_policy="compact"), PROBLEM, "heartbeat.key"),
        (replace(GOOD_TOPIC, cleanup_policy="compact", retention_ms=60_000), PROBLEM, "heartbeat.key"),
        (replace(GOOD_TOPIC, partitions=1), OK, "1 partition"),
        (replace(GOOD_TOPIC, id=""), PROBLEM, "accept this with kafka.topic_ids: off"),
    ],
)
def test_watched_topic(facts: TopicFacts | None, level: Level, words: str) -> None:
    """Existence, id, timestamp type, limit of timestamps, retention, and whether Kafka accepts heartbeats."""
    findings = rules_topic.evaluate_topic(SPEC, "ingest", facts)

    assert worst(findings) is level
    assert words in texts_of(findings, level)


@pytest.mark.parametrize(
    ("topic_id", "level", "words"), [("", OK, "ticks can be early"), ("id-1", WARNING, "remove kafka.topic_ids")]
)
def test_topics_without_ids_can_be_accepted(topic_id: str, level: Level, words: str) -> None:
    """The finding states which guarantee is lost. If the brokers give ids, the setting should be removed."""
    spec = replace(SPEC, require_topic_ids=False)
    findings = rules_topic.evaluate_topic(spec, "ingest", replace(GOOD_TOPIC, id=topic_id))

    assert worst(findings) is level
    assert words in texts_of(findings, level)


@pytest.mark.parametrize("heartbeat", [None, HeartbeatSpec(key=b"clocksvc")])
def test_compacted_topic_with_a_key_or_without_heartbeats(heartbeat: HeartbeatSpec | None) -> None:
    """Kafka rejects no record, because none without a key is sent."""
    spec = replace(SPEC, heartbeat=heartbeat)

    assert worst(rules_topic.evaluate_topic(spec, "ingest", replace(GOOD_TOPIC, cleanup_policy="compact"))) is OK


@pytest.mark.parametrize(
    ("timestamps", "level", "words"),
    [
        ([], OK, "no records"),
        ([NOW_MS, NOW_MS + 1, NOW_MS], OK, "the maximum is 0.001s"),
        ([NOW_MS] * 100, OK, "1s would be, too"),
        ([NOW_MS] * 99, OK, "max_out_of_orderness 10s is sufficient"),
        ([NOW_MS + 12_000, NOW_MS], WARNING, "max_out_of_orderness to 15s or more"),
        ([-1, NOW_MS], PROBLEM, "no timestamp"),
        ([NOW_MS // 1000], PROBLEM, "look like seconds"),
        ([NOW_MS + 60_001], WARNING, "ahead of this machine's clock"),
        ([NOW_MS + 60_000], OK, "is sufficient"),
        ([NOW_MS, NOW_MS - 3 * HOUR_MS, *[NOW_MS] * 200], WARNING, "late records"),
    ],
)
def test_sampled_records(timestamps: list[int], level: Level, words: str) -> None:
    """Units, producers' clocks, and the out-of-orderness against the configured value or the default of 10 s."""
    findings = rules_topic.evaluate_sample(SPEC, "ingest", {PARTITIONS[0]: timestamps, PARTITIONS[1]: []}, NOW_MS)

    assert worst(findings) is level
    assert words in texts_of(findings, level)


def test_configured_out_of_orderness_is_what_counts() -> None:
    """The default does not count if a value is set."""
    sample = {PARTITIONS[0]: [NOW_MS + 3_000, NOW_MS]}

    assert worst(rules_topic.evaluate_sample(SPEC, "ingest", sample, NOW_MS)) is OK
    strict = replace(SPEC, max_out_of_orderness_ms=1_000)
    assert "to 5s or more" in texts_of(rules_topic.evaluate_sample(strict, "ingest", sample, NOW_MS), WARNING)


@pytest.mark.parametrize(
    ("partitions", "seen", "recommended_s"),
    [
        ([], OutOfOrderness(0, 0, 0, 0), 0),
        ([[1, 2, 3]], OutOfOrderness(3, 0, 0, 0), 0),
        ([[5_000, 3_800, 6_000, 5_900]], OutOfOrderness(4, 2, 1_200, 1_200), 2),
        # Each partition has its own running maximum.
        ([[9_000_000], [1_000]], OutOfOrderness(2, 0, 0, 0), 0),
        ([[2_000, -1, 1_000]], OutOfOrderness(2, 1, 1_000, 1_000), 1),
        # One outlier does not determine the recommendation.
        (
            [[100_000_000, *[99_999_000] * 199, 0, *[100_000_000] * 100]],
            OutOfOrderness(301, 200, 1_000, 100_000_000),
            1,
        ),
        ([[8_000_000, 0]], OutOfOrderness(2, 1, 8_000_000, 8_000_000), 3 * 3600),
    ],
)
def test_out_of_orderness(partitions: list[list[int]], seen: OutOfOrderness, recommended_s: int) -> None:
    """How far records are behind the highest timestamp before them, and the common duration that covers it."""
    measured = measure(partitions)

    assert (measured.records, measured.late, measured.p99_ms, measured.max_ms) == (
        seen.records,
        seen.late,
        seen.p99_ms,
        seen.max_ms,
    )
    assert measured.recommended_ms == recommended_s * 1000


KEEP_MS = 30 * 24 * HOUR_MS
GOOD_LOG = TopicFacts(16, "id-2", APPEND, None, -1, "compact", KEEP_MS, 1_048_588, 3, 2)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (None, OK, "creates it"),
        (GOOD_LOG, OK, "cleanup.policy=compact"),
        (replace(GOOD_LOG, partitions=3), PROBLEM, "has 3 partitions"),
        (replace(GOOD_LOG, max_message_bytes=10_000), PROBLEM, "max.message.bytes="),
        (replace(GOOD_LOG, cleanup_policy="delete"), PROBLEM, "cleanup.policy=compact"),
        (replace(GOOD_LOG, cleanup_policy="compact,delete"), PROBLEM, "can delete a clock's last record"),
        (replace(GOOD_LOG, timestamp_type=CREATE), WARNING, "message.timestamp.type=LogAppendTime"),
        (replace(GOOD_LOG, min_compaction_lag_ms=0), WARNING, "min.compaction.lag.ms="),
        (replace(GOOD_LOG, min_compaction_lag_ms=KEEP_MS - 1), WARNING, f"min.compaction.lag.ms={KEEP_MS}"),
        (replace(GOOD_LOG, allowed=frozenset({"READ", "WRITE"})), PROBLEM, "lacks DescribeConfigs"),
        (replace(GOOD_LOG, replication=1), WARNING, "kafka-reassign-partitions"),
    ],
)
def test_tick_log(facts: TopicFacts | None, level: Level, words: str) -> None:
    """Evaluated by `tick_log_topic`; check adds a level."""
    findings = rules_kafka.evaluate_tick_log("tick log t", "t", facts, brokers=3, keep_ms=KEEP_MS)

    assert worst(findings) is level
    assert words in texts_of(findings, level)
    assert all(one.to_do for one in findings if one.level is not OK)


def test_checkpoint_topic() -> None:
    """It must have the partitions of the tick log. It is compacted sooner. A missing one is created."""
    good = replace(GOOD_LOG, min_compaction_lag_ms=0)
    (finding,) = rules_kafka.evaluate_checkpoint_topic("t-checkpoints", replace(good, partitions=1), brokers=3)

    assert (finding.level, finding.part) == (PROBLEM, "checkpoint topic t-checkpoints")
    assert "has 1 partitions, wanted 16" in finding.text
    assert rules_kafka.evaluate_checkpoint_topic("t-checkpoints", good, brokers=3) == []
    assert rules_kafka.evaluate_checkpoint_topic("t-checkpoints", None, brokers=3) == []


OURS = Installation("ours", "redis:6379")


def records_of(*prefixes: str, store: str = OURS.store) -> list[LogRecord]:
    """The records of one log, with a snapshot of each installation. The id of its store is its prefix."""
    owners = [LogOwner(Installation(prefix, store), prefix) for prefix in prefixes]
    messages = [message for owner in owners for message in snapshot_messages(owner, {}, 0, complete=True)]
    return [LogRecord(3, NOW_MS, message) for message in messages]


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (None, PROBLEM, "its number of partitions must be a multiple of 3"),
        (TopicFacts(6, "id", cleanup_policy="delete", allowed=frozenset({"WRITE"})), OK, ""),
        (TopicFacts(2, "id"), PROBLEM, "2 partitions, which 3 taskbrokers can't share evenly"),
        (TopicFacts(4, "id"), PROBLEM, "taskbroker.replicas.tasks"),
        (TopicFacts(3, "id", cleanup_policy="compact,delete"), PROBLEM, "cleanup.policy to delete"),
        (TopicFacts(3, "id", allowed=frozenset({"DESCRIBE"})), WARNING, "lacks Write"),
    ],
)
def test_topic_of_the_task_platform(facts: TopicFacts | None, level: Level, words: str) -> None:
    """Three taskbrokers share it. It is missing, has too few partitions, or rejects tasks."""
    findings = rules_kafka.evaluate_task_topic("tasks", facts, 3)

    assert worst(findings) is level
    assert words in texts_of(findings, level)


@pytest.mark.parametrize(
    ("records", "levels"),
    [
        ([], []),
        ([LogRecord(3, NOW_MS, Message(b"checkins", b"{}", "tick"))], []),
        (records_of("ours"), [OK]),
        (records_of("theirs", "ours"), [OK]),
        (records_of("ours", "theirs"), [PROBLEM]),
        ([*records_of("ours"), *[replace(record, log=4) for record in records_of("theirs")]], [PROBLEM]),
    ],
)
def test_installation_of_the_tick_log(records: list[LogRecord], levels: list[Level]) -> None:
    """The newest record of each log counts. A log of another installation holds all of its clocks."""
    for marks in ({3: StoreMark("ours"), 4: StoreMark("ours")}, None):
        findings = rules_kafka.evaluate_owner("tick log t", OURS, marks, records)

        assert [finding.level for finding in findings] == levels
        assert all("'theirs' there" in finding.text for finding in findings if finding.level is PROBLEM)


@pytest.mark.parametrize(
    ("store", "mark", "words"),
    [
        (OURS.store, None, ""),
        ("other:6379", StoreMark("ours"), ""),
        ("other:6379", StoreMark("new", adopts="ours"), ""),
        ("other:6379", None, "clocksvc init --adopt-tick-log"),
        ("other:6379", StoreMark("new"), "its own redis.prefix and tick_log.topic"),
        (OURS.store, StoreMark("new"), "its own redis.prefix and tick_log.topic"),
    ],
)
def test_store_of_the_tick_log(store: str, mark: StoreMark | None, words: str) -> None:
    """The same prefix with another Redis: the leader would hold with store_mismatch, and the check says what to do."""
    findings = rules_kafka.evaluate_owner("tick log t", OURS, {3: mark}, records_of("ours", store=store))

    assert [finding.level for finding in findings] == [PROBLEM if words else OK]
    assert words in findings[0].to_do
    assert not words or "redis:6379" in findings[0].text


def test_a_second_installation_in_another_log() -> None:
    """This Redis leads log 3, and has no mark of log 4, in which another Redis leads. Both are named."""
    theirs = [replace(record, log=4) for record in records_of("ours", store="other:6379")]

    (finding,) = rules_kafka.evaluate_owner(
        "tick log t", OURS, {3: StoreMark("ours"), 4: None}, [*records_of("ours"), *theirs]
    )

    assert finding.level is PROBLEM
    assert "log 4 of the tick log" in finding.text
    assert "other:6379" in finding.text
    assert "this Redis leads other logs of the tick log (3)" in finding.to_do
    assert "--adopt-tick-log" not in finding.to_do


ALL = frozenset(PARTITIONS)
COMMITTED = dict.fromkeys(PARTITIONS, 7)


@pytest.mark.parametrize(
    ("facts", "level", "words"),
    [
        (GroupFacts("STABLE", 2, ALL, COMMITTED), OK, "2 members"),
        (GroupFacts("DEAD"), WARNING, "does not exist in Kafka"),
        (GroupFacts("DEAD", similar=("consumer",)), WARNING, "Kafka has consumer"),
        (GroupFacts("EMPTY", 0, frozenset(), COMMITTED), WARNING, "no members"),
        (
            GroupFacts("STABLE", 1, ALL - {PARTITIONS[2]}, COMMITTED),
            WARNING,
            "1 of 3 partitions are not assigned: ingest:2",
        ),
        (GroupFacts("STABLE", 1, frozenset({Partition("other", 0)}), {}), PROBLEM, "the group reads other"),
        (GroupFacts("STABLE", 1, frozenset(), {}), PROBLEM, "none of which reads ingest"),
        (GroupFacts("STABLE", 1, ALL, {PARTITIONS[0]: 1}), WARNING, "no offset for 2 of 3 partitions"),
        (GroupFacts("UNKNOWN", 1, ALL, COMMITTED), OK, "1 member,"),
    ],
)
def test_group(facts: GroupFacts, level: Level, words: str) -> None:
    """The group must exist and read these topics: a wrong name holds the clock for ever."""
    findings = rules_kafka.evaluate_group(SPEC, facts, PARTITIONS)

    assert worst(findings) is level
    assert words in texts_of(findings, level)


REPORTED = Snapshot(
    NOW_MS, ClockParameters("consumers", ("ingest",), 60_000, 0, 60_000), None, "host:1", 0, None, 3, 0, 0, 0, ()
)
UNREPORTED = replace(REPORTED, known=0, unknown=3)
GROUP = GroupFacts("STABLE", 1, ALL, COMMITTED)


@pytest.mark.parametrize(
    ("facts", "snapshot", "level", "words"),
    [
        (GROUP, REPORTED, OK, ""),
        (GROUP, UNREPORTED, PROBLEM, "no partition is reported → compare URL, database, prefix, clock name"),
        (GROUP, replace(UNREPORTED, known=1, unknown=2), OK, ""),
        (GROUP, replace(UNREPORTED, parameters=None), OK, ""),
        (GROUP, replace(UNREPORTED, unknown=0, excluded=3), OK, ""),
        (replace(GROUP, committed={}), UNREPORTED, OK, ""),
        (replace(GROUP, committed={Partition("other", 0): 1}), UNREPORTED, OK, ""),
        (GroupFacts("EMPTY", 0, frozenset(), COMMITTED), UNREPORTED, OK, ""),
        (GroupFacts("DEAD"), UNREPORTED, OK, ""),
        (GroupFacts("DEAD"), REPORTED, WARNING, "Kafka does not know it → compare group.id"),
    ],
)
def test_commits_and_reports(facts: GroupFacts, snapshot: Snapshot, level: Level, words: str) -> None:
    """A group that commits must report: otherwise its Reporter has another address, prefix or clock."""
    findings = rules_kafka.evaluate_reports(SPEC, facts, snapshot)

    assert worst(findings) is level
    assert words in texts_of(findings, level)


def test_group_of_topics_that_are_missing() -> None:
    """Without partitions there is no finding on the group: the missing topic is one."""
    assert worst(rules_kafka.evaluate_group(SPEC, GroupFacts("STABLE", 1, ALL, COMMITTED), [])) is OK


@pytest.mark.parametrize(
    ("ahead_ms", "level", "words"),
    [
        (999, OK, "less than a second"),
        (-999, OK, "less than a second"),
        (1_500, WARNING, "1.5 s ahead of this machine's"),
        (-59_999, WARNING, "60.0 s behind this machine's"),
        (-60_000, PROBLEM, "too far ahead"),
        (120_000, WARNING, "120.0 s ahead"),
    ],
)
def test_store_clock(ahead_ms: int, level: Level, words: str) -> None:
    """A store that is behind by `max_future` rejects every correct report; less only delays ticks."""
    finding = probe_redis.evaluate_store_time(ahead_ms, max_future_ms=60_000)

    assert finding.level is level
    assert words in finding.text


@pytest.mark.parametrize(
    ("appended_ms", "emitted_ms", "level", "words"),
    [
        (None, None, OK, "can't be compared"),
        (NOW_MS, None, OK, "can't be compared"),
        (NOW_MS - 5_000, NOW_MS - 5_010, OK, "differed by less than a second"),
        (NOW_MS - 5_000, NOW_MS - 9_000, WARNING, "4.0 s ahead of the leader's"),
        (NOW_MS - 9_000, NOW_MS - 5_000, WARNING, "4.0 s behind the leader's"),
        (NOW_MS + 8_000, NOW_MS + 8_000, WARNING, "8.0 s ahead of this machine's"),
    ],
)
def test_brokers_clock(appended_ms: int | None, emitted_ms: int | None, level: Level, words: str) -> None:
    """Compared by the last tick, because check writes no record."""
    finding = rules_kafka.evaluate_broker_time(appended_ms, emitted_ms, NOW_MS)

    assert finding.level is level
    assert words in finding.text


def test_worst_and_wire() -> None:
    """The exit code depends on the worst finding; JSON has every field, null if it is empty."""
    assert worst([]) is OK
    assert worst([ok("a", "b"), warning("a", "b", "c")]) is WARNING
    assert worst([problem("a", "b", "c"), ok("a", "b"), warning("a", "b", "c")]) is PROBLEM
    assert warning("redis", "text", "do").to_wire() == {
        "level": "warning",
        "part": "redis",
        "clock": None,
        "text": "text",
        "to_do": "do",
    }


@pytest.mark.parametrize(
    ("value_ms", "text"),
    [(0, "0s"), (500, "0.5s"), (60_000, "1m"), (90_000, "90s"), (HOUR_MS, "1h"), (86_400_000, "1d")],
)
def test_durations_as_the_configuration_writes_them(value_ms: int, text: str) -> None:
    """So that users can copy the advice."""
    assert format_duration(value_ms) == text


@pytest.mark.parametrize(
    ("scheduler", "clock", "is_warned"),
    [
        ({}, {"schedules": {"partitions": 2}}, True),
        ({"host": "0.0.0.0"}, {"schedules": {"partitions": 2}}, True),
        ({}, {}, False),
        ({"host": "127.0.0.9"}, {"schedules": {"partitions": 2}}, False),
        ({"port": 8082}, {"schedules": {"partitions": 2}}, False),
    ],
    ids=["the same", "all addresses", "no schedules", "another address", "another port"],
)
def test_serve_and_scheduler_on_one_port(scheduler: dict[str, str], clock: dict[str, object], is_warned: bool) -> None:
    """On one machine, only one of them could start."""
    clocks = {"checkins": {"topics": ["ingest"], "group": "consumers", **clock}}
    settings = settings_from({"clocks": clocks, "api": {"port": 8081}, "scheduler": scheduler})

    found = [one for one in probe_service.probe_service(settings) if one.part == "scheduler"]

    assert texts_of(found, WARNING) == (
        "api.port and scheduler.port are both 8081: on one machine, only one of the processes can start → "
        "set scheduler.port or api.port to another port, if they run on one machine"
        if is_warned
        else ""
    )


def test_all_pages_of_the_clocks_of_a_running_service_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured clock is not missing there because it is on a later page."""
    monkeypatch.setattr("clocksvc.api.clocks.MAX_COMPACT_BYTES", 900)
    fixtures = [ClockFixture(name) for name in ("a-clock", "b-clock", "checkins")]
    clocks = {fixture.spec.name: {"topics": ["ingest"], "group": "consumers"} for fixture in fixtures}
    with serving(*fixtures) as served:
        assert len(urllib3.request("GET", f"{served.url}/v1/clocks?view=brief").json()["clocks"]) == 1
        settings = settings_from({"clocks": clocks, "api": {"port": served.port}})
        found = [one for one in probe_service.probe_service(settings) if one.part == f"port {served.port}"]

    assert "with the configured clocks" in texts_of(found, OK)


@pytest.mark.parametrize(
    ("clocks", "every_ms", "level", "words"),
    [
        pytest.param(3, 60_000, None, "", id="a few clocks"),
        pytest.param(
            2_000, 60_000, Level.OK, "33 rounds a second for 2,000 clocks, each of them up to 40 s after", id="many"
        ),
        pytest.param(200, 1_000, Level.WARNING, "200 rounds a second for 200 clocks, which may be more", id="too many"),
    ],
)
def test_heartbeats_of_all_clocks(clocks: int, every_ms: int, level: Level | None, words: str) -> None:
    """How many rounds a second workers must send, and how late the last clock's heartbeat is."""
    offsets = spread_heartbeats({f"clock-{number:04}": every_ms for number in range(clocks)})
    specs = [replace(SPEC, heartbeat=HeartbeatSpec(every_ms, offset_ms=offset_ms)) for offset_ms in offsets.values()]

    found = rules_kafka.evaluate_heartbeats([*specs, replace(SPEC, heartbeat=None)])

    assert [one.level for one in found] == ([] if level is None else [level])
    assert words in "".join(one.text for one in found)


def test_heartbeats_of_many_clocks_on_one_topic() -> None:
    """One finding for all topics: the topic with most clocks, and the clock whose heartbeats are enough for it."""

    def spec(name: str, every_ms: int, *topics: str) -> ClockSpec:
        return replace(SPEC, name=name, topics=topics, heartbeat=HeartbeatSpec(every_ms))

    two = [spec("a", 60_000, "ingest"), spec("b", 30_000, "ingest"), replace(SPEC, name="c", heartbeat=None)]
    assert rules_kafka.evaluate_shared_heartbeats(two) == []

    (found,) = rules_kafka.evaluate_shared_heartbeats([*two, spec("d", 60_000, "other", "ingest")])
    assert found.level is WARNING
    assert found.text == "3 clocks write heartbeats to topic ingest, and the group of each one reads all of them"
    assert "for ingest those of b, and set clocks.*.heartbeat to null for the others" in found.to_do

    three = [spec(name, 60_000, "other") for name in "efg"]
    (found,) = rules_kafka.evaluate_shared_heartbeats([*two, spec("d", 60_000, "other", "ingest"), *three])
    assert found.text.startswith("4 clocks write heartbeats to topic other")
    assert found.text.endswith("; 1 more topic gets those of several clocks")
