"""With TLS, passwords, and exactly the permissions of docs/security.md everything works; without one, errors name it.

Tests run in the order of the file: before the first one, the clock has never been led.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from clocksvc import Schedules
from clocksvc.celery.due_sink import open_celery_sink
from clocksvc.cli.main import main
from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.checkpoints import TICK_TASKS
from clocksvc.interfaces.committed_offsets import ReadRequest
from clocksvc.interfaces.time import SystemTime
from clocksvc.kafka.fenced_log import TIMEOUT_S
from clocksvc.service import heartbeats as heartbeat
from clocksvc.service.bootstrap import Service, open_dispatcher, open_store, open_topics
from clocksvc.service.observer_bootstrap import open_committed_offsets
from clocksvc.service.schedule_service import ScheduleService
from clocksvc.settings import Settings
from tests import http_client
from tests.system.consumer import ConsumerThread
from tests.system.evidence import partition_of
from tests.system.security.certificates import Authority
from tests.system.security.document import KafkaAcl, redis_user
from tests.system.security.secured_installation import (
    ALL_ACLS,
    CHECK_ACLS,
    CLOCK,
    CONSUMER,
    CONSUMER_ACLS,
    DISPATCHER_ACLS,
    GROUP,
    OBSERVER_ACLS,
    PARTITIONS,
    SCHEDULER_ACLS,
    SERVICE,
    SERVICE_ACLS,
    TICK_LOG,
    TOPIC,
    WORKER,
    WORKER_ACLS,
    SecuredInstallation,
    secured_installation,
)
from tests.unit.jobs.dispatcher_fixture import RecordingTaskQueue
from tests.waiting import eventually

pytestmark = pytest.mark.path

WITHIN_S = 30.0
TO_CREATE = next(acl for acl in SERVICE_ACLS if acl.operation == "CREATE")
FOR_TIMESTAMPS = next(acl for acl in SERVICE_ACLS if (acl.operation, acl.name) == ("DESCRIBE_CONFIGS", TOPIC))
READ_BY_DISPATCHERS = [acl for acl in DISPATCHER_ACLS if acl.kind == "GROUP" or acl.name == TICK_LOG]
NAMED_BY_DISPATCHERS = sorted(
    (acl for acl in DISPATCHER_ACLS if acl not in READ_BY_DISPATCHERS), key=lambda acl: acl.operation != "CREATE"
)
"""Create is first: the topic must not exist yet."""
HOLDING = [acl for acl in SERVICE_ACLS if acl not in (TO_CREATE, FOR_TIMESTAMPS)]
REASONS = {TOPIC: "metadata_unavailable", TICK_LOG: "ticklog_unavailable"}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredInstallation]:
    """Shared by this module, with worker and beat."""
    with secured_installation(tmp_path_factory.mktemp("secured")) as made:
        yield made


@pytest.fixture(scope="module")
def consumer(secured: SecuredInstallation) -> Iterator[ConsumerThread]:
    """The clock's only consumer, for the whole module."""
    made = secured.consumer()
    yield made
    made.close()


def without(*gone: KafkaAcl) -> list[KafkaAcl]:
    """All permissions but some, and but those that only `check` needs, because they imply Describe."""
    return [acl for acl in ALL_ACLS if acl not in (*gone, *CHECK_ACLS)]


def right(acl: KafkaAcl) -> str:
    """A permission as an error names it."""
    name = acl.name if acl.pattern == "LITERAL" else f"{acl.name}{partition_of(CLOCK)}"
    return f"{acl.operation.title().replace('_', '')} on {acl.kind.lower().replace('_', ' ')} {name}"


def held_for(service: Service, words: str) -> dict[str, Any]:
    """The first hold, as the API shows it, whose detail contains these words."""
    seen: list[dict[str, Any]] = []

    def named() -> dict[str, Any] | None:
        hold = service.views[CLOCK].state().hold
        seen.append({} if hold is None else hold.to_wire())
        return seen[-1] if words in seen[-1].get("detail", "") else None

    try:
        return eventually(named, within=WITHIN_S, what=f"a hold that names {words}") or {}
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {seen[-2:]}") from error


def until_ticking(service: Service) -> None:
    """Wait until the clock emits a new tick and is not held."""
    last = service.views[CLOCK].state().last_tick

    def ticked() -> bool:
        state = service.views[CLOCK].state()
        return state.last_tick is not None and state.last_tick != last and state.hold is None

    eventually(ticked, within=WITHIN_S, what="the clock to go on")


def check(secured: SecuredInstallation, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """`clocksvc check`: the exit code, and each finding that is not ok, with its advice."""
    capsys.readouterr()
    code = main(["check", "--json", "--config", str(secured.file(SERVICE))])
    findings = json.loads(capsys.readouterr().out)["findings"]
    return code, [f"{one['part']}: {one['text']} → {one['to_do']}" for one in findings if one["level"] != "ok"]


def test_without_create_the_tick_log_is_awaited(
    secured: SecuredInstallation, consumer: ConsumerThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hold and `check` name the permission; once it is granted, the clock starts by itself."""
    with secured.allowing(without(TO_CREATE)), secured.leading() as service:
        hold = held_for(service, right(TO_CREATE))
        code, said = check(secured, capsys)
        secured.kafka.allow(ALL_ACLS)
        until_ticking(service)

    assert hold["reason"] == "ticklog_unavailable"
    assert code == 1
    assert any("can't be created" in one and "allow this user Create" in one for one in said), said


def test_the_whole_runs_with_exactly_these(
    secured: SecuredInstallation, consumer: ConsumerThread, capsys: pytest.CaptureFixture[str]
) -> None:
    """Heartbeats by Celery, a consumer that reports to Redis, a service that emits ticks, and a `check` without
    findings; neither Redis nor a log shows a rejected command."""
    url, asked = f"http://127.0.0.1:{secured.port}/v1/clocks/{CLOCK}", {"Authorization": f"Bearer {secured.token}"}

    def ticked_up_to() -> int:
        state = http_client.get(url, headers=asked, timeout=5).json()
        return 0 if state["hold"] else state["timestamp_seconds"] or 0

    secured.redis.admin.acl_log_reset()
    with secured.running("serve", SERVICE, "clocksvc.cli.main", "serve") as serve:
        first = eventually(ticked_up_to, within=WITHIN_S, what="the clock to run")
        eventually(lambda: ticked_up_to() >= first + 3, within=WITHIN_S, what="three more ticks")
        found = check(secured, capsys)
    refused = {entry["object"] for entry in secured.redis.admin.acl_log(count=100)}

    assert found == (0, [])
    assert refused <= {"client|setinfo"}
    assert "authorization failed" not in serve.output()
    assert any(note.heartbeat for note in consumer.notes)
    assert secured.wrong_with(consumer) == []


@pytest.mark.parametrize("acl", HOLDING, ids=str)
def test_the_service_names_what_it_lacks(
    secured: SecuredInstallation, consumer: ConsumerThread, capsys: pytest.CaptureFixture[str], acl: KafkaAcl
) -> None:
    """A hold with a reason and the permission's name; `check` names it too."""
    with secured.allowing(without(acl)), secured.leading() as service:
        hold = held_for(service, right(acl))
        code, said = check(secured, capsys)

    assert hold["reason"] == REASONS.get(acl.name, "ticklog_unavailable")
    assert code == 1
    named = right(acl).partition(" on ")[0]
    assert any(
        f"this user lacks {named}" in one or f"allow this user {named}" in one or right(acl) in one for one in said
    )


@pytest.mark.parametrize("rule", ["+xadd", "~clocksvc:*"])
def test_a_redis_permission_is_revoked_from_a_running_service(
    secured: SecuredInstallation, consumer: ConsumerThread, rule: str
) -> None:
    """The hold names it, though the store still answers other commands; once it is granted again, every tick comes."""
    user, rules = redis_user("The service's user")
    named = f"'{rule[1:]}'" if rule[0] == "+" else "one of the clock's keys"
    with secured.leading() as service:
        until_ticking(service)
        secured.redis.allow(user, [one for one in rules if one != rule])
        try:
            hold = held_for(service, named)
        finally:
            secured.redis.allow(user, rules)
        until_ticking(service)

    assert hold["reason"] == "store_unavailable"
    assert secured.wrong_with(consumer) == []


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        (FOR_TIMESTAMPS, "allow this user DescribeConfigs on the topic"),
        *(
            (acl, f"allow this user {right(acl).split()[0]} on the {acl.kind.lower()}; only check")
            for acl in CHECK_ACLS
        ),
    ],
    ids=str,
)
def test_what_check_alone_needs(
    secured: SecuredInstallation, capsys: pytest.CaptureFixture[str], gone: KafkaAcl, named: str
) -> None:
    """One warning, which names the permission; the exit code stays 0."""
    with secured.allowing([acl for acl in ALL_ACLS if acl != gone]):
        code, said = check(secured, capsys)

    assert code == 0
    assert [named in one for one in said if "has no members" not in one] == [True], said


def test_an_observer_runs_with_exactly_these(secured: SecuredInstallation, consumer: ConsumerThread) -> None:
    """And names what it lacks, before it is granted and after it was revoked."""
    partition = Partition(TOPIC, 0)
    request = ReadRequest(partition, 0, 1, first_only=True)
    for gone in OBSERVER_ACLS:
        with closing(open_committed_offsets(secured.settings())) as offsets:
            with secured.allowing([acl for acl in (*SERVICE_ACLS, *OBSERVER_ACLS) if acl != gone]):
                assert offsets.topic_ids([TOPIC])[TOPIC][1] == PARTITIONS
                end = offsets.ends([partition])[partition]
                found = offsets.committed({GROUP: [partition]})[GROUP]
                records = offsets.read([request])
                if gone.kind == "GROUP":
                    assert (found.offsets, list(records)) == ({}, [request])
                    assert found.problem.endswith(f"the Kafka user lacks {right(gone)}")
                else:
                    assert (found.problem, list(records)) == ("", [])
                    assert offsets.problem(TOPIC).endswith(f"the Kafka user lacks {right(gone)}")
            assert 0 < offsets.committed({GROUP: [partition]})[GROUP].offsets[partition] <= end.high + 1_000
            assert list(offsets.read([request])) == [request]
            assert offsets.problem(TOPIC) == ""


@pytest.mark.parametrize("acl", WORKER_ACLS, ids=str)
def test_the_worker_names_what_it_lacks(
    secured: SecuredInstallation, caplog: pytest.LogCaptureFixture, acl: KafkaAcl
) -> None:
    """Heartbeats fail for every partition, with a warning that names the permission."""
    settings = secured.settings(WORKER)
    spec = settings.clock_specs()[CLOCK]
    store, topics, time = open_store(settings, spec), open_topics(settings), SystemTime()
    with secured.allowing(without(acl)):
        made = heartbeat.beat(spec, store, topics, time, time.now_ms())
    topics.close()

    reasons = [*made.failed.values(), *made.unread.values()]
    assert reasons
    assert all(f"on topic {TOPIC}" in one for one in reasons), reasons
    assert [record.message for record in caplog.records if record.name == "clocksvc.heartbeat"] == ["heartbeats failed"]


class BeatDispatcher:
    """The dispatcher of `celery -A clocksvc beat`, with one task for each tick and a queue that accepts everything."""

    def __init__(self, secured: SecuredInstallation) -> None:
        configuration = secured.configuration(WORKER)
        configuration["clocks"][CLOCK]["tasks"] = [{"task": "close_minute"}]
        settings = Settings.model_validate(configuration)
        spec, schedules = settings.clock_specs()[CLOCK], [task.schedule() for task in settings.clocks[CLOCK].tasks]
        self._queue = RecordingTaskQueue()
        self._dispatcher = open_dispatcher(settings, spec, TICK_TASKS, schedules, self._queue, {}, SystemTime())

    def step(self) -> None:
        """One step, which waits for half a second at most."""
        self._dispatcher.step(0.5)

    def until_sending(self) -> None:
        """Wait for a task that is sent from now on."""
        self._queue.tasks.clear()

        def sent() -> bool:
            self.step()
            return bool(self._queue.tasks)

        eventually(sent, within=WITHIN_S, what="a task")

    def until_named(self, permission: str, caplog: pytest.LogCaptureFixture) -> None:
        """Wait until a line in the dispatcher's log names a permission."""

        def named() -> bool:
            self.step()
            logged = [vars(record) for record in caplog.records if record.name == "clocksvc.dispatcher"]
            return any(permission in line["detail"] for line in logged if line["message"] == "dispatcher retries")

        eventually(named, within=WITHIN_S, what=f"a line in the log that names {permission}")

    def sends_nothing_during_a_tick(self, service: Service) -> bool:
        """Whether steps send no task until the service emits another tick. Each step ends before requests time out."""
        last = service.views[CLOCK].state().last_tick

        def ticked() -> bool:
            began = SystemTime().monotonic()
            self.step()
            assert SystemTime().monotonic() - began < TIMEOUT_S
            return service.views[CLOCK].state().last_tick != last

        eventually(ticked, within=WITHIN_S, what="another tick")
        return not self._queue.tasks

    def close(self) -> None:
        self._dispatcher.close()


@pytest.mark.parametrize("acl", NAMED_BY_DISPATCHERS, ids=str)
def test_a_dispatcher_names_what_it_lacks(
    secured: SecuredInstallation, consumer: ConsumerThread, caplog: pytest.LogCaptureFixture, acl: KafkaAcl
) -> None:
    """The dispatcher's log names the permission; once it is granted, tasks are sent."""
    with secured.leading() as service, secured.allowing(without(acl)):
        until_ticking(service)
        with closing(BeatDispatcher(secured)) as dispatcher:
            dispatcher.until_named(right(acl), caplog)
            secured.kafka.allow(ALL_ACLS)
            dispatcher.until_sending()


@pytest.mark.parametrize("acl", READ_BY_DISPATCHERS, ids=str)
def test_a_dispatcher_without_permission_to_read_ticks_names_it(
    secured: SecuredInstallation, consumer: ConsumerThread, caplog: pytest.LogCaptureFixture, acl: KafkaAcl
) -> None:
    """Once it is granted, a restarted dispatcher sends tasks. A running one may need 5 minutes to notice."""
    with secured.leading() as service:
        with secured.allowing(without(acl)):
            until_ticking(service)
            with closing(BeatDispatcher(secured)) as dispatcher:
                dispatcher.until_named(right(acl), caplog)
                assert dispatcher.sends_nothing_during_a_tick(service)
        with closing(BeatDispatcher(secured)) as restarted:
            restarted.until_sending()


class SchedulerWithOneSchedule:
    """`clocksvc scheduler` in this process, without HTTP, and a schedule that is due at each tick."""

    def __init__(self, secured: SecuredInstallation) -> None:
        configuration = secured.configuration(SERVICE)
        configuration["clocks"][CLOCK]["schedules"] = {"partitions": 1}
        self._kafka = secured.kafka.settings(SERVICE)
        self.service = ScheduleService(Settings.model_validate(configuration), "http://127.0.0.1:1", open_celery_sink)
        self.service.start()

    def problems(self) -> str:
        """Why no schedule is due, as far as this process knows."""
        stats = self.service.stats().values()
        return f"{self.service.clocks[CLOCK].problem}; {[one.problem for one in stats]}"

    def until_due(self) -> None:
        """Write the schedule, and wait until it is due at a tick."""
        eventually(lambda: any(one.position_ms for one in self.service.stats().values()), within=WITHIN_S)
        before = sum(one.due for one in self.service.stats().values())
        with Schedules(kafka=self._kafka, clock=CLOCK) as schedules:
            schedules.put("one", {"interval": "1s", "task": "a.b", "created_at": "2026-01-01T00:00:00Z"})
        eventually(lambda: sum(one.due for one in self.service.stats().values()) > before, within=WITHIN_S)

    def close(self) -> None:
        self.service.stop()


def test_a_scheduler_runs_with_exactly_these(secured: SecuredInstallation, consumer: ConsumerThread) -> None:
    """It creates the topics, and a schedule is due at a tick."""
    with secured.leading() as service, closing(SchedulerWithOneSchedule(secured)) as scheduler:
        until_ticking(service)
        scheduler.until_due()


@pytest.mark.parametrize("acl", [acl for acl in SCHEDULER_ACLS if acl.name == f"clocksvc.{CLOCK}-due."], ids=str)
def test_a_scheduler_names_what_it_lacks(secured: SecuredInstallation, consumer: ConsumerThread, acl: KafkaAcl) -> None:
    """As its problem; once it is granted, schedules are due. `check` finds the other permissions."""
    named = f"Write on transactional id {acl.name}0"
    with secured.leading() as service, secured.allowing(without(acl)):
        until_ticking(service)
        with closing(SchedulerWithOneSchedule(secured)) as scheduler:
            eventually(lambda: named in scheduler.problems(), within=WITHIN_S, what=f"a problem that names {named}")
            secured.kafka.allow(ALL_ACLS)
            scheduler.until_due()


@pytest.mark.parametrize("acl", CONSUMER_ACLS, ids=str)
def test_a_consumer_gets_kafkas_error(secured: SecuredInstallation, acl: KafkaAcl) -> None:
    """clocksvc adds no permission that a consumer needs."""
    consumer = Consumer({**secured.kafka.settings(CONSUMER), "group.id": GROUP, "log_level": 0})
    if acl.kind == "GROUP":
        consumer.subscribe([TOPIC])
    else:  # no rebalance with the clock's own consumer
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        # A consumer that never knew the topic's leader reports no error.
        eventually(lambda: consumer.consume(1, 1.0), within=WITHIN_S, what="a record")

    def consumer_error() -> str:
        # Many at once: records that were fetched before the permission was revoked come before the error.
        errors = [error for message in consumer.consume(1_000, 1.0) if (error := message.error()) is not None]
        return errors[0].str() if errors else ""

    with secured.allowing(without(acl)):
        said = eventually(consumer_error, within=WITHIN_S, what="an error")
    consumer.close()

    assert f"{acl.kind.title()} authorization failed" in said


def test_errors_of_tls_and_passwords_are_named(secured: SecuredInstallation) -> None:
    """The error is Kafka's, or the TLS library's: no time-out without a reason."""
    other = Authority(secured.authority.certificate.parent, "other")
    other_name = {
        "bootstrap.servers": secured.kafka.secured.replace("127.0.0.1", "localhost"),
        "broker.address.family": "v4",  # the broker does not listen on IPv6, which would be another error
    }
    wrong = [
        ("Authentication failed", {"sasl.password": "not-this-one"}),
        ("certificate verify failed", {"ssl.ca.location": str(other.certificate)}),
        ("certificate verify failed", other_name),
        ("mechanism", {"sasl.mechanism": "SCRAM-SHA-512"}),
    ]

    def said(settings: dict[str, str]) -> str:
        topics = open_topics(secured.settings(kafka=settings))
        with pytest.raises(MetadataUnavailable) as refused:
            topics.describe([TOPIC])
        topics.close()
        return str(refused.value)

    def said_in_time(words: str, settings: dict[str, str]) -> str:
        """On a busy machine a client may time out before it has the error."""
        for _ in range(2):
            if words in (answer := said(settings)):
                return answer
        return said(settings)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(said_in_time, *zip(*wrong, strict=True)))

    assert [words in answer for (words, _), answer in zip(wrong, answers, strict=True)] == [True] * 4, answers
    assert not any("not-this-one" in answer for answer in answers)


def test_after_all_that_no_tick_is_lost_or_early(secured: SecuredInstallation, consumer: ConsumerThread) -> None:
    """The clock goes on where it was before the first permission was revoked."""
    with secured.leading() as service:
        until_ticking(service)

    assert secured.wrong_with(consumer) == []
