"""The observer and the store: parameters, reports, losses, failures."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from clocksvc.clock.logs import log_of
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.committed_offsets import PartitionEnds
from clocksvc.memory.store_access import StoreAccess, StoreContent
from clocksvc.memory.store_server import MemoryStoreServer
from tests.unit.committed.observed import CLOCK, GROUP, MINUTE, ORDERS, P0, P1, SPEC, TOKEN, Scene, with_poll


def test_nothing_is_asked_before_a_leader_has_written_parameters() -> None:
    scene = Scene()
    scene.flush()
    scene.work(P0, -4)
    scene.run(20)
    scene.server.leases(log_of(CLOCK)).acquire(TOKEN, "replica", 10**12)
    scene.lead(SPEC, roster=False)
    scene.run(20)
    assert scene.observer.stats.requests == {}, "the roster has the ids of topics, which may have changed"
    scene.lead(SPEC)
    scene.run(10)
    assert scene.minute(P0) == -4


def test_a_clock_with_a_long_poll_does_not_wait_for_it_at_the_start() -> None:
    scene = Scene(specs=(with_poll(SPEC, 60),))
    scene.flush()
    scene.work(P0, -4)
    scene.run(2)
    scene.lead_all()
    scene.run(5)
    assert scene.minute(P0) == -4


def test_everything_is_reported_again_after_a_loss_of_the_store() -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.run(80)
    scene.flush()
    scene.run(7)
    scene.lead_all()
    scene.run(8)
    assert (scene.minute(P0), scene.minute(P1)) == (1, 1)


def test_everything_is_reported_again_after_a_loss_that_the_observer_did_not_notice() -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.run(80)
    scene.flush()
    scene.lead_all()
    scene.run(16)
    assert (scene.minute(P0), scene.minute(P1)) == (1, 1)
    assert scene.observation().topic_ids == {ORDERS: scene.kafka.topic_ids([ORDERS])[ORDERS][0]}


def test_progress_is_repeated_every_10_s() -> None:
    """So the store knows that an observer is alive."""
    scene = Scene()
    scene.work(P0, -4)
    for _ in range(5):
        scene.run(20)
        reported_ms = scene.clocks()[P0].reported_ms
        assert reported_ms is not None
        assert scene.time.now_ms() - reported_ms <= 15_000


def test_a_report_that_was_not_accepted_is_repeated() -> None:
    """The roster did not have the topic yet."""
    scene = Scene()
    scene.work(P0, -4)
    scene.kafka.create("payments", 1)
    scene.lead(replace(SPEC, topics=("payments",)))
    scene.run(3)
    scene.lead(SPEC, generation=2)
    scene.run(5)
    assert scene.minute(P0) == -4


def test_another_configuration_of_the_leader() -> None:
    """The leader follows Reporters, or other upstream clocks: nothing is observed, and nothing is rejected."""
    scene = Scene()
    scene.lead(replace(SPEC, source=Source.REPORTS))
    scene.work(P0, -4)
    scene.run(30)
    assert scene.minute(P0) is None
    assert scene.store.foreign_reports().group is None
    scene.lead(SPEC, generation=2)
    scene.run(10)
    assert scene.minute(P0) == -4


def test_another_out_of_orderness() -> None:
    """A topic becomes a CreateTime topic: drained boundaries are passed later from then on."""
    scene = Scene()
    scene.work(P0, -4)
    scene.run(30)
    scene.out_of_orderness_ms = 10_000
    scene.lead(SPEC, generation=2)
    scene.run(48)
    assert scene.minute(P0) == pytest.approx(10 / 60)
    scene.run(20)
    assert scene.minute(P0) == pytest.approx(1 + 10 / 60)


def test_another_out_of_orderness_after_a_loss_of_the_store() -> None:
    """The parameters are gone for a moment. What is known with the former value does not count with the new one."""
    scene = Scene(out_of_orderness_ms=MINUTE)
    scene.work(P0, -4)
    scene.run(30)
    scene.flush()
    scene.run(12)
    scene.out_of_orderness_ms = 0
    scene.lead_all()
    scene.run(38)
    assert scene.minute(P0) == 1  # 80 s less drain_delay
    scene.run(60)
    assert scene.minute(P0) == 2


class FailingAccess(StoreAccess):
    """Gives no answers."""

    @contextmanager
    def answering(self) -> Iterator[StoreContent]:
        raise StoreUnavailable("no answer")
        yield


def test_a_store_that_does_not_answer_affects_only_its_clocks() -> None:
    other = ClockSpec("other", (ORDERS,), GROUP, max_out_of_orderness_ms=0, source=Source.COMMITTED)
    scene = Scene(specs=(SPEC, other))
    scene.work(P0, -4)
    scene.stores[CLOCK] = MemoryStoreServer(scene.time, FailingAccess(scene.time)).store(CLOCK)
    scene.restart()
    scene.run(30)
    assert scene.minute(P0, "other") == 0
    assert scene.observer.stats.failures > 0


def test_a_store_that_hangs_is_waited_for_once_in_a_poll() -> None:
    """And not once for each clock of the log: the observer's process would count as stuck."""
    scene = Scene()

    class HangingAccess(FailingAccess):
        @contextmanager
        def answering(self) -> Iterator[StoreContent]:
            scene.time.advance(2)
            raise StoreUnavailable("no answer in time")
            yield

    names = [name for number in range(400) if log_of(name := f"c{number}") == log_of(CLOCK)]
    server = MemoryStoreServer(scene.time, HangingAccess(scene.time))
    scene.specs = tuple(replace(SPEC, name=name) for name in names)
    scene.stores = {name: server.store(name) for name in names}
    scene.restart()
    began_s = scene.time.monotonic()
    scene.observer.poll(names)
    assert len(names) > 10
    assert scene.time.monotonic() - began_s == 2


def test_the_observation_is_written_before_the_report() -> None:
    """If only the report were written, ticks could be without the exclusions that the progress depends on."""
    scene = Scene()
    scene.work(P0, -4)
    store = scene.stores[CLOCK]
    calls: list[str] = []

    class Recording:
        def __getattr__(self, name: str) -> object:
            calls.append(name)
            return getattr(store, name)

    scene.stores[CLOCK] = Recording()  # type: ignore[assignment]
    scene.restart()
    scene.run(10)
    last = max(at for at, name in enumerate(calls) if name == "report")
    assert calls[last - 1] == "write_observation"


def test_a_clock_that_is_led_elsewhere_is_forgotten() -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.run(10)
    scene.time.advance(1)
    scene.observer.poll([])
    polls = scene.observer.stats.polls
    scene.time.advance(60)
    scene.observer.poll([])
    assert scene.observer.stats.polls == polls
    scene.run(10)
    assert scene.observer.stats.polls > polls


def test_requests_do_not_grow_with_clocks() -> None:
    """A poll of 30 clocks is as many requests as one of a single clock; only each group is a request of its own."""
    counted = {}
    for number in (1, 30):
        specs = tuple(
            ClockSpec(f"c{n}", (f"t{n % 7}",), GROUP, max_out_of_orderness_ms=0, source=Source.COMMITTED)
            for n in range(number)
        )
        scene = Scene(specs=specs)
        scene.run(60)
        before = scene.observer.stats
        scene.run(60)
        after = scene.observer.stats
        counted[number] = {kind: after.requests[kind] - before.requests[kind] for kind in ("topic_ids", "ends")}
        assert after.requests["committed"] - before.requests["committed"] <= after.polls - before.polls
    assert counted[1] == {"topic_ids": 12, "ends": 24}
    assert counted[30]["topic_ids"] <= 60
    assert counted[30]["ends"] <= 60


def test_a_record_is_read_once_for_each_boundary() -> None:
    """Kafka's nomination says when it is worth it: not for each commit, and not while nothing can be new."""
    scene = Scene(specs=(replace(SPEC, interval_ms=600_000, max_past_ms=7_200_000),))
    scene.work(P0, -4)
    scene.run(20)
    before = scene.observer.stats
    for tenth in range(5):
        scene.work(P0, 0.4 + tenth / 100)
        scene.run(6)
    after = scene.observer.stats
    assert after.record_reads == before.record_reads
    assert after.requests["offsets_at"] == before.requests["offsets_at"], "the next boundary is not within max_future"
    scene.run(540)
    scene.kafka.append(P0, scene.at(10))
    asked = scene.observer.stats
    scene.run(20)
    assert scene.observer.stats.requests["offsets_at"] > asked.requests["offsets_at"]
    assert scene.observer.stats.record_reads - asked.record_reads <= 1, "the nominated record is not processed"


def test_slow_answers_of_one_broker_stop_nothing() -> None:
    """All questions about ends take 3 s, because one broker does not answer. The others count, for many clocks."""
    specs = tuple(replace(SPEC, name=f"clock-{number}", poll_ms=10_000) for number in range(10))
    scene = Scene(specs=specs)
    scene.work(P0, -4)
    scene.kafka.partition(P1).reachable = False
    ends = scene.kafka.ends

    def slow(partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        scene.time.advance(3)
        return ends(partitions)

    scene.kafka.ends = slow  # type: ignore[method-assign]
    scene.run(120)
    now = (scene.time.now_ms() - scene.start_ms) / MINUTE
    assert [spec.name for spec in specs if (scene.minute(P0, spec.name) or 0) < now - 2] == []


def test_clocks_after_the_same_topic_at_different_times() -> None:
    """Each is asked for its own timestamp; Kafka answers one timestamp of a partition in a request."""
    other = ClockSpec(
        "other", (ORDERS,), "other", interval_ms=10_000, max_out_of_orderness_ms=0, source=Source.COMMITTED
    )
    scene = Scene(specs=(SPEC, other))
    scene.work(P0, -4, -3, -2)
    scene.kafka.commit("other", P0, 1)
    scene.run(10)
    assert (scene.minute(P0), scene.minute(P0, "other")) == (-2, -4)
    scene.kafka.commit("other", P0, 2)
    scene.run(10)
    assert scene.minute(P0, "other") == -3
