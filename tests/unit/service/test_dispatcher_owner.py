"""A dispatcher that beat opens compares the owner of the tick log with the configured Redis."""

from unittest.mock import Mock

import pytest

from clocksvc.clock.log_owner import Installation, LogOwner, StoreMark
from clocksvc.clock.logs import log_of
from clocksvc.memory.store_server import MemoryStoreServer
from clocksvc.service import bootstrap
from clocksvc.settings import load
from tests.faulty.checkpoints import FaultyCheckpoints
from tests.faulty.tick_consumer import FaultyTickConsumer
from tests.unit.jobs.dispatcher_fixture import DispatcherFixture
from tests.unit.jobs.test_dispatcher_owner import schedules

ENVIRON = {"CLOCKSVC_REDIS__URL": "redis://here.example", "CLOCKSVC_CLOCKS": '{"c": {"topics": ["t"], "group": "g"}}'}
HERE = "here.example:6379, database 0"


@pytest.mark.parametrize(
    ("store", "mark", "sent"),
    [
        (HERE, None, [1]),
        ("there.example:6379, database 0", StoreMark("a1"), [1]),
        ("there.example:6379, database 0", None, []),
        (HERE, StoreMark("b2"), []),
    ],
)
def test_tasks_are_sent_only_for_the_own_redis(
    monkeypatch: pytest.MonkeyPatch, store: str, mark: StoreMark | None, sent: list[int]
) -> None:
    """Its mark has the log's id, or it has no mark and the log's address."""
    fixture = DispatcherFixture()
    server = MemoryStoreServer(fixture.time)
    assert mark is None or server.leases(log_of("c")).adopt(mark)
    monkeypatch.setattr(bootstrap, "open_store_server", lambda _: server)
    monkeypatch.setattr(bootstrap, "DispatcherMetrics", Mock())
    monkeypatch.setattr(bootstrap, "KafkaTickConsumer", lambda *_: FaultyTickConsumer(fixture.group, fixture.log))
    monkeypatch.setattr(bootstrap, "KafkaCheckpoints", lambda *_: FaultyCheckpoints(fixture.topic, "c", "beat"))
    fixture.log.begin_own([LogOwner(Installation("clocksvc", store), "a1").message()])
    fixture.log.end_own(committed=True)
    fixture.tick(0)
    settings = load(None, ENVIRON)
    dispatcher = bootstrap.open_dispatcher(
        settings, settings.clock_spec("c"), "beat", schedules("bills"), fixture.queue, {}, fixture.time
    )

    fixture.run(dispatcher)
    fixture.tick(1)
    fixture.run(dispatcher)

    assert fixture.queue.due("bills") == sent
