"""The store, and for each clock a leader that keeps the order of the real one: minimum, observation, metadata, tick."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from clocksvc.clock.partition import Partition
from clocksvc.clock.roster import Roster, TopicMetadata, merge_metadata
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.progress import ClockParameters, StoreIdentity
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading
from clocksvc.memory.store_access import StoreAccess
from clocksvc.memory.store_state import StoredClock
from tests.observer_simulation.judge import Judge
from tests.observer_simulation.sometimes import Path
from tests.observer_simulation.world.answers import Answers
from tests.observer_simulation.world.cluster import Cluster

ROUNDS_MS = (300, 1_200, 1_200, 6_000)
"""How long after one round a leader begins the next one at most. The long one is a slow transaction."""
TOKEN = "leader"


class Leader:
    """Emits the ticks of one clock.

    Attributes:
        ticks: the ticks that readers see. They appear after their commit.
        excluded: the partitions that an operator excluded.
        unreadable_until_ms: until then, clocks after this one can't read it.
    """

    def __init__(
        self,
        cluster: Cluster,
        access: StoreAccess,
        spec: ClockSpec,
        sink: str,
        judge: Judge,
        ticked: "Callable[[Leader, int, Collection[Partition]], None]",
    ) -> None:
        self._cluster, self._access, self.spec, self._sink = cluster, access, spec, sink
        self._judge, self._sometimes, self._ticked = judge, cluster.sometimes, ticked
        self._time = cluster.skewed()
        self.committed: list[Tick] = []
        self.ticks: list[Tick] = []
        self.excluded: frozenset[Partition] = frozenset()
        self.unreadable_until_ms = 0
        self._topics: Mapping[str, TopicMetadata] = {}
        self._generation = 0
        self._round_ms = cluster.timeline.rng.choice(ROUNDS_MS)
        self.out_of_orderness_ms = 0 if spec.after else cluster.plan.out_of_orderness_ms
        self._again()

    @property
    def last_tick_ms(self) -> int | None:
        """The last committed tick."""
        return self.committed[-1].at_ms if self.committed else None

    @property
    def stored(self) -> StoredClock:
        """The clock's part of the store."""
        return self._access.content.clock(self.spec.name)

    def change_out_of_orderness(self, more_ms: int) -> None:
        """Wait for more disorder than producers make; with 0, for what they make. Clocks after others never wait."""
        self.out_of_orderness_ms = 0 if self.spec.after else self._cluster.plan.out_of_orderness_ms + more_ms
        if self.stored.parameters is not None:
            self.stored.parameters = replace(self.stored.parameters, out_of_orderness_ms=self.out_of_orderness_ms)

    def _again(self) -> None:
        timeline = self._cluster.timeline
        timeline.after(timeline.rng.randint(1, self._round_ms), self._round)

    def _round(self) -> None:
        stored = self.stored
        if stored.parameters is None:
            self._rebuild(stored)
        elif not self._write_roster(stored):
            self._emit(stored)
        self._again()

    def _rebuild(self, stored: StoredClock) -> None:
        parameters = ClockParameters(
            self.spec.reporting_group,
            self.spec.topics,
            self.spec.interval_ms,
            self.out_of_orderness_ms,
            self.spec.max_future_ms,
        )
        stored.claimed_by, stored.identity, stored.parameters = TOKEN, StoreIdentity("cluster"), parameters
        stored.ticks, stored.written = list(self.committed), True
        self._write_roster(stored, always=True)

    def _write_roster(self, stored: StoredClock, *, always: bool = False) -> bool:
        """Read the metadata, and write the roster if it changed."""
        listed = {topic: TopicMetadata(*self._cluster.described(topic)) for topic in self.spec.topics}
        roster = merge_metadata(self._topics, listed, self.spec.topics, self.excluded)
        changed = roster.topics != self._topics or stored.excluded != self.excluded
        if always or changed:
            self._generation += 1
            stored.replace_roster(TOKEN, Roster(roster.topics, self.excluded), self._generation)
            self._topics = roster.topics
        return changed

    def _emit(self, stored: StoredClock) -> None:
        lowest_ms, interval_ms = stored.lowest_ms(), self.spec.interval_ms
        if lowest_ms is None:
            return
        upto_ms = min(lowest_ms - self.out_of_orderness_ms, self._time.now_ms(), self._access.time.now_ms())
        excluded = set(self.excluded)
        if self.spec.after:
            observation = stored.observation
            if observation is None or observation.upstream_ms is None:
                return
            upto_ms = min(upto_ms, observation.upstream_ms)
            excluded.update(observation.excluded)
        upto_ms -= upto_ms % interval_ms
        last_ms = self.last_tick_ms
        first_ms = upto_ms if last_ms is None else last_ms + interval_ms
        if not self._write_roster(stored):
            for at_ms in range(first_ms, upto_ms + 1, interval_ms):
                self._commit(at_ms, tuple(sorted(excluded)))

    def _commit(self, at_ms: int, excluded: tuple[Partition, ...]) -> None:
        timeline, names = self._cluster.timeline, [upstream.clock for upstream in self.spec.after]
        timeline.say(f"tick {self.spec.name} {at_ms} excluded {[str(one) for one in excluded]}")
        for topic in self.spec.topics:
            for log in self._cluster.topics[topic]:
                if Partition(topic, log.number) in self.excluded:
                    continue
                if names:
                    self._judge.claims_after(log, at_ms, names)
                else:
                    self._judge.claims(log, at_ms)
        self._judge.emitted(
            self.spec.name,
            at_ms,
            upstreams=names,
            excluded=excluded,
            next_topics=self._cluster.topics.get(self._sink, ()),
            previous_ms=self.last_tick_ms,
        )
        self._ticked(self, at_ms, excluded)
        if names and excluded:
            self._sometimes.took(Path.EXCLUDED_UPSTREAM)
        tick = Tick(self.spec.name, at_ms, self.last_tick_ms, self.spec.interval_ms, timeline.now_ms, excluded)
        self.committed.append(tick)
        self.stored.ticks.append(tick)
        timeline.after(timeline.rng.choice((0, 5, 300)), lambda: self.ticks.append(tick))


class Clocks:
    """All clocks of a seed: their leaders, and the stores and upstream clocks as the observer sees them."""

    def __init__(self, leaders: Sequence[Leader], access: StoreAccess, answers: Answers, cluster: Cluster) -> None:
        self.leaders = {leader.spec.name: leader for leader in leaders}
        self._access, self._answers, self._cluster = access, answers, cluster

    def read(self, after_ms: Mapping[UpstreamKey, int | None]) -> Mapping[UpstreamKey, UpstreamReading]:
        """`Upstreams.read`."""
        with self._answers.call("upstreams"):
            return {key: self._reading(key, cursor_ms) for key, cursor_ms in after_ms.items()}

    def _reading(self, key: UpstreamKey, cursor_ms: int | None) -> UpstreamReading:
        leader = self.leaders[key.clock]
        if self._cluster.timeline.now_ms < leader.unreadable_until_ms:
            return UpstreamReading((), UpstreamObservation(key.clock, key.url, None, problem="no answer"))
        ticks = leader.ticks
        found = ticks[-1:] if cursor_ms is None else [tick for tick in ticks if tick.at_ms > cursor_ms]
        last_ms = ticks[-1].at_ms if ticks else None
        return UpstreamReading(tuple(found), UpstreamObservation(key.clock, key.url, last_ms, "running"))
