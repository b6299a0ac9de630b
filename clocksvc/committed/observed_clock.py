"""One observed clock: the progress of its partitions, and its reports to the store."""

from collections import Counter
from collections.abc import Iterator, Mapping

from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp, name_first
from clocksvc.clock.spec import ClockSpec
from clocksvc.committed.commits import Commits
from clocksvc.committed.leadership import MAX_SETTLED_S, SETTLED_S, PartitionLeader
from clocksvc.committed.poll_schedule import PollSchedule
from clocksvc.committed.rules import PartitionProgress, drained_boundary
from clocksvc.committed.upstream_ticks import UpstreamTicks
from clocksvc.interfaces.committed_offsets import GroupOffsets
from clocksvc.interfaces.observations import Observation, PartitionObservation
from clocksvc.interfaces.progress import ClockParameters, Report, ReportAnswer
from clocksvc.interfaces.store import Store

REPEAT_S = 10.0
MAX_NAMED = 20


class ObservedClock:
    """The state of one clock. It asks nothing of Kafka: the observer does that for all clocks together.

    Times `at_s` are monotonic, in seconds.

    Attributes:
        schedule: when the clock is polled.
        upstreams: its upstream clocks.
        last_tick_ms: the clock's last tick; None before the first one, and if it is not known.
    """

    def __init__(self, spec: ClockSpec, store: Store) -> None:
        self.spec, self.schedule, self.upstreams = (
            spec,
            PollSchedule(spec.name, spec.poll_ms / 1000),
            UpstreamTicks(spec),
        )
        self.last_tick_ms: int | None = None
        self._store = store
        self._parameters: ClockParameters | None = None
        self._out_of_orderness_ms = 0
        self._restored = False
        self._doubted: set[Partition] = set()
        self._topic_ids: dict[str, str] = {}
        self._missing: tuple[str, ...] = ()
        self._problem = ""
        self._committed_partitions: int | None = None
        self._progress: dict[Partition, PartitionProgress] = {}
        self._reported: dict[Partition, int] = {}
        self._repeat_at_s = 0.0

    @property
    def partitions(self) -> Mapping[Partition, PartitionProgress]:
        """The partitions of the topics that Kafka described, in order."""
        return self._progress

    def prepare(self) -> bool:
        """Read from the store what a poll needs. False if no leader has written parameters and roster yet.

        Raises:
            Unavailable, StoreMismatch: see `Store`.
        """
        if self._parameters is None:
            self._note_answer(self._store.report(Report(self.spec.reporting_group, ())))
        if self._parameters is not None and not self._restored:
            self._restore()
        return self._parameters is not None and self._restored

    def store_now_ms(self) -> int:
        """Return the time of the store's clock.

        Raises:
            StoreUnavailable: no answer.
        """
        return self._store.now_ms()

    def note_topics(self, found: Mapping[str, tuple[str, int]], at_s: float) -> None:
        """Note the ids and the numbers of partitions of topics. Topics without an id are not observed."""
        self._missing = tuple(topic for topic in self.spec.topics if not found.get(topic, ("", 0))[0])
        for topic in self.spec.topics:
            topic_id, partitions = found.get(topic, ("", 0))
            if not topic_id:
                continue
            if self._topic_ids.get(topic, topic_id) != topic_id:
                self._recreate(topic, partitions, at_s)
            self._topic_ids[topic] = topic_id
            for number in range(partitions):
                partition = Partition(topic, number)
                if partition not in self._progress:
                    self._progress[partition] = self._new_progress(partition, at_s)

    def observe(
        self,
        offsets: GroupOffsets | None,
        leaders: Mapping[Partition, PartitionLeader],
        problems: Mapping[str, str],
        now_ms: int,
        at_s: float,
    ) -> None:
        """Apply the rules to the answers of one poll.

        Args:
            offsets: those of the group; None if its coordinator did not answer.
            leaders: by partition.
            problems: why requests about topics failed, by topic. A topic without a problem is absent.
            now_ms: the earlier one of the observer's and the store's clocks, read before the ends.
        """
        boundary_ms = self._boundary_ms(now_ms)
        settled_s = SETTLED_S if self.spec.after else min(self.spec.drain_delay_ms / 1000, MAX_SETTLED_S)
        group_problem = "" if offsets is None else offsets.problem
        for partition, progress in self._progress.items():
            leader = leaders.get(partition)
            end = None if leader is None or partition.topic in self._missing else leader.end(settled_s)
            if end is None or offsets is None or group_problem:
                progress.note_no_answer()
            else:
                progress.observe(offsets.offsets.get(partition), end, boundary_ms, at_s)
        self._committed_partitions = None
        if self._progress and offsets is not None and not group_problem:
            self._committed_partitions = sum(partition in offsets.offsets for partition in self._progress)
        self._problem = self._describe_problem(group_problem, problems)

    def wants_retry(self, leaders: Mapping[Partition, PartitionLeader]) -> bool:
        """Return True if the leader of a partition has answered, but was not known to be alive before it was asked."""
        ends = (leaders[partition].end(0.0) for partition in self._progress if partition in leaders)
        return any(end is not None and not end.alive for end in ends)

    def nominations(self, now_ms: int) -> Iterator[tuple[Partition, PartitionProgress, int]]:
        """Return the partitions that a record can move, with the timestamp from which it does."""
        if self.spec.after:
            return
        for partition, progress in self._progress.items():
            threshold_ms = progress.threshold_ms(self.spec.interval_ms)
            if progress.wants_record() is not None and threshold_ms <= now_ms + self.spec.max_future_ms:
                yield partition, progress, threshold_ms

    def publish(self, now_ms: int, at_s: float) -> None:
        """Write the observation, then report what has moved; every 10 s, everything.

        Args:
            now_ms: the observer's wall time.

        Raises:
            Unavailable, StoreMismatch: see `Store`.
        """
        self._store.write_observation(self._observation(now_ms), self._partition_observations())
        if at_s >= self._repeat_at_s:
            self._reported.clear()
        moved = [
            PartitionTimestamp(partition, progress.raw_ms)
            for partition, progress in self._progress.items()
            if progress.raw_ms is not None and progress.raw_ms > self._reported.get(partition, -1)
        ]
        if not moved and at_s < self._repeat_at_s:
            return
        group, ids = self.spec.reporting_group, dict(self._topic_ids)
        create_time = {partition.topic for partition, progress in self._progress.items() if progress.create_time}
        report = Report(group, tuple(moved), create_time_topics=tuple(sorted(create_time)), topic_ids=ids)
        answer = self._store.report(report)
        for progress in self._progress.values():
            progress.create_time = False
        if at_s >= self._repeat_at_s:
            self._repeat_at_s = at_s + REPEAT_S
        for (partition, timestamp_ms), outcome in zip(moved, answer.outcomes, strict=True):
            if outcome in (Outcome.ACCEPTED, Outcome.UNCHANGED):
                self._reported[partition] = timestamp_ms
        self._note_answer(answer)

    # -- what is known from before ------------------------------------------------------------------------------------

    def _restore(self) -> None:
        observation, topics = self._store.observation(), self._store.roster_topics()
        self._topic_ids = {topic: known.id for topic, known in topics.items()}
        if observation is not None:
            self._topic_ids |= observation.topic_ids
            self._doubted = set(observation.doubted)
            self.upstreams.restore(observation)
        self._restored = observation is not None or bool(topics)

    def _note_answer(self, answer: ReportAnswer) -> None:
        parameters = answer.parameters
        if parameters is not None and parameters.group != self.spec.reporting_group:
            parameters = None
        if answer.last_tick_ms is not None:
            if self.last_tick_ms is not None and answer.last_tick_ms < self.last_tick_ms:
                self.upstreams.read_again()  # `clocksvc init` has set an earlier time
            self.last_tick_ms = answer.last_tick_ms
        self._parameters = parameters
        if parameters is None or self.spec.after or parameters.out_of_orderness_ms == self._out_of_orderness_ms:
            return
        # What is already known depends on the former value. It also stays in use while the store has no parameters.
        self._out_of_orderness_ms = parameters.out_of_orderness_ms
        self._progress = {
            partition: self._make_progress(progress.commits) for partition, progress in self._progress.items()
        }

    # -- partitions ---------------------------------------------------------------------------------------------------

    def _make_progress(self, commits: Commits) -> PartitionProgress:
        return PartitionProgress(self._out_of_orderness_ms, self.spec.max_future_ms, commits)

    def _new_progress(self, partition: Partition, at_s: float) -> PartitionProgress:
        commits = Commits()
        if partition in self._doubted:
            commits.doubt(at_s, other_topic=True)
        return self._make_progress(commits)

    def _recreate(self, topic: str, partitions: int, at_s: float) -> None:
        known = max((partition.number + 1 for partition in self._progress if partition.topic == topic), default=0)
        self._doubted |= {Partition(topic, number) for number in range(max(known, partitions))}
        for number in range(known):
            partition = Partition(topic, number)
            self._progress[partition] = self._progress[partition].recreated(at_s)
        for number in range(partitions, known):
            del self._progress[Partition(topic, number)]

    def _boundary_ms(self, now_ms: int) -> int | None:
        if not self.spec.after:
            return drained_boundary(now_ms, self._out_of_orderness_ms, self.spec.drain_delay_ms, self.spec.interval_ms)
        upstream_ms = self.upstreams.upstream_ms
        return None if upstream_ms is None else upstream_ms - upstream_ms % self.spec.interval_ms

    # -- for the leader and for people --------------------------------------------------------------------------------

    def _describe_problem(self, group_problem: str, problems: Mapping[str, str]) -> str:
        found = [group_problem, *(f"{problems[topic]}" for topic in self.spec.topics if topic in problems)]
        described = [problem for problem in found if problem]
        undescribed = [topic for topic in self._missing if topic not in problems]
        if undescribed:
            described.append(f"Kafka does not describe {name_first(undescribed)}")
        return "; ".join(dict.fromkeys(described))

    def _observation(self, now_ms: int) -> Observation:
        waiting: dict[str, list[Partition]] = {}
        for partition, progress in self._progress.items():
            if progress.waits_for is not None:
                waiting.setdefault(progress.waits_for.value, []).append(partition)
        each = MAX_NAMED // max(1, len(waiting))
        return Observation(
            at_ms=now_ms,
            topic_ids=dict(self._topic_ids),
            doubted=tuple(one for one, progress in self._progress.items() if progress.commits.doubted),
            problem=self._problem,
            waiting=Counter({reason: len(partitions) for reason, partitions in waiting.items()}),
            named={reason: tuple(partitions[:each]) for reason, partitions in waiting.items()},
            upstreams=self.upstreams.states,
            upstream_ms=self.upstreams.upstream_ms,
            excluded=self.upstreams.excluded,
            skipped_records=sum(progress.commits.skipped for progress in self._progress.values()),
            committed_partitions=self._committed_partitions,
        )

    def _partition_observations(self) -> dict[Partition, PartitionObservation]:
        return {
            partition: PartitionObservation(
                committed=progress.commits.counting,
                end=None if progress.end is None else progress.end.high,
                waits_for="" if progress.waits_for is None else progress.waits_for.value,
            )
            for partition, progress in self._progress.items()
        }
