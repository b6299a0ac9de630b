"""The store of one clock as the observer sees it. Accepted reports are judged; calls can be lost, or come late."""

from collections.abc import Callable
from typing import Any

from clocksvc.clock.partition import Outcome, Partition
from clocksvc.errors import StoreUnavailable
from clocksvc.interfaces.progress import Report, ReportAnswer
from clocksvc.memory.store import MemoryStore
from tests.observer_simulation.judge import Judge
from tests.observer_simulation.sometimes import Path
from tests.observer_simulation.world.answers import Answers
from tests.observer_simulation.world.cluster import Cluster
from tests.observer_simulation.world.leaders import Leader


class StoreFaults:
    """How calls fail.

    Attributes:
        lossy_until_ms: until then, some calls have no answer; some of these take effect, and some of these later.
    """

    def __init__(self) -> None:
        self.lossy_until_ms = 0


class ObservedStore:
    """A `Store`."""

    def __init__(
        self, store: MemoryStore, leader: Leader, cluster: Cluster, answers: Answers, judge: Judge, faults: StoreFaults
    ) -> None:
        self._store, self._leader, self._cluster = store, leader, cluster
        self._answers, self._judge, self._faults = answers, judge, faults

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)
        return lambda *arguments, **named: self._call(name, lambda: method(*arguments, **named))

    def report(self, report: Report) -> ReportAnswer:
        """A report of the observer."""
        answer: ReportAnswer = self._call("report", lambda: self._report(report))
        return answer

    def _call(self, name: str, effect: Callable[[], Any]) -> Any:
        timeline = self._cluster.timeline
        with self._answers.call(f"store {name}"):
            lost = timeline.now_ms < self._faults.lossy_until_ms and timeline.chance(0.5)
            if not lost:
                return effect()
            if timeline.chance(0.6):
                timeline.after(timeline.rng.choice((0, 50, 4_000, 20_000)), effect)
        raise StoreUnavailable("no answer")

    def _report(self, report: Report) -> ReportAnswer:
        answer = self._store.report(report)
        for (partition, raw_ms), outcome in zip(report.timestamps, answer.outcomes, strict=True):
            self._cluster.timeline.say(f"report {self._leader.spec.name} {partition} {raw_ms}: {outcome}")
            if outcome is Outcome.ACCEPTED:
                self._claim(partition, raw_ms)
        return answer

    def _claim(self, partition: Partition, raw_ms: int) -> None:
        leader, log = self._leader, self._cluster.log(partition)
        topic_id = leader.stored.topics[partition.topic].id
        if log is None or log.topic_id != topic_id:
            return
        passed_ms = raw_ms - leader.out_of_orderness_ms
        time_ms = passed_ms - passed_ms % leader.spec.interval_ms
        drained = Path.PASSED_EMPTY if log.low == log.high else Path.PASSED_DRAINED
        self._cluster.sometimes.took(drained if passed_ms == time_ms else Path.PASSED_BY_RECORD)
        if log.high < log.end:
            self._cluster.sometimes.took(Path.ABOVE_HIGH_WATERMARK)
        if leader.spec.after:
            self._judge.claims_after(log, time_ms, [upstream.clock for upstream in leader.spec.after])
        else:
            self._judge.claims(log, time_ms)
