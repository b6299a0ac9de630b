"""A pipeline of three stages: the leader of its clocks and their observer, in memory, with the contents of the sink."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from clocksvc.clock.holds import Reason
from clocksvc.clock.partition import Partition
from clocksvc.clock.request import Request, RequestKind
from clocksvc.clock.spec import Source, UpstreamSpec
from clocksvc.clock.tick import Tick
from clocksvc.committed.observer import Observer
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading
from clocksvc.memory.committed_offsets import MemoryCommittedOffsets
from tests.faulty.shared_log import SharedLog
from tests.unit.leader.clocks import published_hold

PARTITIONS = 2


class StoreUpstreams:
    """`Upstreams` that reads the streams in the stores."""

    def __init__(self, shared: SharedLog) -> None:
        self._shared = shared

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        return {key: self._read(key, cursor_ms) for key, cursor_ms in after_ms.items()}

    def _read(self, key: UpstreamKey, cursor_ms: int | None) -> UpstreamReading:
        store = self._shared.stores[key.clock]
        kept = store.newest_ticks(1_000)
        found = kept[-1:] if cursor_ms is None else [tick for tick in kept if tick.at_ms > cursor_ms]
        last_ms = kept[-1].at_ms if kept else None
        return UpstreamReading(tuple(found), UpstreamObservation(key.clock, key.url, last_ms, "running"))


class Pipeline:
    """Three clocks, each after the one before, and one group a stage that moves records to the next stage's topic.

    Attributes:
        sink: the times of the source's records that the last stage has stored, with their partition in the source.
        frozen: the stages that do not work.
        stuck: the partitions that no stage works on.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.shared = SharedLog(3, partitions=PARTITIONS)
        specs = dict(self.shared.specs)
        for position, name in enumerate(self.shared.names):
            after = (UpstreamSpec(self.shared.names[position - 1]),) if position else ()
            late_ms = None if after else 0
            specs[name] = replace(
                specs[name],
                group=f"group-{position}",
                source=Source.COMMITTED,
                after=after,
                max_out_of_orderness_ms=late_ms,
            )
        self.shared.specs = specs
        self.kafka = MemoryCommittedOffsets()
        for name in self.shared.names:
            self.kafka.create(name, PARTITIONS, self.shared.topics.metadata(name).id)
        self.contents: dict[Partition, list[tuple[int, int]]] = {}
        self.position: dict[Partition, int] = {}
        self.source: list[tuple[int, int]] = []
        self.sink: set[tuple[int, int]] = set()
        self.frozen: set[int] = set()
        self.stuck: set[Partition] = set()
        self.restart()
        self.shared.add_leader(settle=False)

    @property
    def last(self) -> str:
        """The last clock."""
        return self.shared.names[-1]

    def ticks(self) -> list[Tick]:
        """The ticks of the last clock."""
        return self.shared.stores[self.last].newest_ticks(1_000)

    def restart(self) -> None:
        """Replace the observer by one that knows nothing."""
        shared = self.shared
        self.observer = Observer(
            shared.specs.values(),
            offsets=self.kafka,
            upstreams=StoreUpstreams(shared),
            stores=shared.stores,
            time=shared.time,
        )

    def run(self, seconds: int) -> None:
        """Let all stages work. Each tick of the last clock must be right at the moment it appears."""
        for _ in range(seconds):
            known = len(self.ticks())
            self.shared.time.advance(1)
            self._produce()
            for stage in range(len(self.shared.names)):
                self._work(stage)
            self.observer.poll(self.shared.names)
            self.shared.settle()
            for tick in self.ticks()[known:]:
                self._check(tick)

    def ask(self, kind: RequestKind, partition: Partition) -> None:
        """An operator excludes or includes a partition of the first clock."""
        store = self.shared.stores[self.shared.names[0]]
        now_ms = store.now_ms()
        assert store.submit_request(Request(f"r{now_ms}", kind, "ada", now_ms, "why", now_ms + 10_000, partition))
        self.shared.settle()

    def _produce(self) -> None:
        now_ms = self.shared.time.now_ms()
        number = self.rng.choice((0, 0, 0, 1, None, None))
        if number is not None:
            self._append(Partition(self.shared.names[0], number), (now_ms, number))
            self.source.append((now_ms, number))

    def _append(self, partition: Partition, record: tuple[int, int]) -> None:
        # Stages write the time at which they work: it says nothing about the source.
        self.kafka.append(partition, self.shared.time.now_ms())
        self.contents.setdefault(partition, []).append(record)

    def _work(self, stage: int) -> None:
        if stage in self.frozen or self.rng.random() < 0.4:
            return
        for number in range(PARTITIONS):
            partition = Partition(self.shared.names[stage], number)
            if partition in self.stuck:
                continue
            records, at = self.contents.get(partition, []), self.position.get(partition, 0)
            upto = self.rng.randint(at, len(records))
            for record in records[at:upto]:
                if stage + 1 < len(self.shared.names):
                    self._append(Partition(self.shared.names[stage + 1], self.rng.randrange(PARTITIONS)), record)
                else:
                    self.sink.add(record)
            if upto > at:
                self.position[partition] = upto
                self.kafka.commit(f"group-{stage}", partition, upto)

    def _check(self, tick: Tick) -> None:
        excluded = {partition.number for partition in tick.excluded if partition.topic == self.shared.names[0]}
        missing = {record for record in self.source if record[0] < tick.at_ms and record[1] not in excluded} - self.sink
        assert not missing, (tick, sorted(missing)[:3])


@pytest.mark.parametrize("seed", range(3))
def test_a_tick_of_the_last_stage_says_that_everything_before_it_is_in_the_sink(seed: int) -> None:
    """With restarts of the observer, losses of the store, and stages that stop. In the end it is on time."""
    pipeline = Pipeline(seed)
    pipeline.run(200)
    for fault in ("restart", "wipe", "freeze 0", "freeze 1", "freeze 2", "wipe and restart"):
        if "wipe" in fault:
            pipeline.shared.store_server.wipe()
        if "restart" in fault:
            pipeline.restart()
        if "freeze" in fault:
            pipeline.frozen = {int(fault[-1])}
        pipeline.run(100)
        pipeline.frozen = set()
        pipeline.run(pipeline.rng.randint(20, 100))
    pipeline.run(180)

    ticks = pipeline.ticks()
    assert len(ticks) > 12
    assert pipeline.shared.time.now_ms() - ticks[-1].at_ms <= 120_000


def test_an_exclusion_of_the_first_stage_is_in_the_ticks_of_the_last_one() -> None:
    """While it lasts, records of the excluded partition can be missing in the sink. Also over a restart of the
    observer. After its end, ticks have no exclusion, and nothing is missing."""
    pipeline = Pipeline(7)
    pipeline.run(200)
    stuck = Partition(pipeline.shared.names[0], 1)
    before = len(pipeline.ticks())
    pipeline.stuck = {stuck}
    pipeline.ask(RequestKind.EXCLUDE, stuck)
    pipeline.run(150)
    pipeline.restart()
    pipeline.run(150)
    during = len(pipeline.ticks())
    pipeline.stuck = set()
    pipeline.ask(RequestKind.INCLUDE, stuck)
    pipeline.run(240)

    ticks = pipeline.ticks()
    assert [tick.excluded for tick in ticks[before + 1 : during]] == [(stuck,)] * (during - before - 1)
    assert during - before > 3
    assert [tick.excluded for tick in ticks[-2:]] == [(), ()]


def test_the_stage_that_has_stopped_is_to_blame() -> None:
    """The clocks after it hold because of their upstream clock; the one before it ticks."""
    pipeline = Pipeline(3)
    pipeline.run(200)
    pipeline.frozen = {1}
    pipeline.run(240)

    reasons = [published_hold(pipeline.shared.stores[name])[0] for name in pipeline.shared.names]
    assert reasons == [None, Reason.PARTITION_BEHIND, Reason.UPSTREAM_BEHIND]
