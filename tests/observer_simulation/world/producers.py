"""Producers of the first topic: they keep the conditions of the promise, except for records that are named late."""

from clocksvc.clock.partition import Partition
from tests.observer_simulation.world.cluster import Cluster
from tests.observer_simulation.world.log import PartitionLog, Record, State, TransactionPart


class Producer:
    """A producer of one partition.

    Attributes:
        partition: where it produces.
        pause_ms: the mean pause between two batches; 0 if the partition stays empty.
        transactional: True if batches are transactions.
        quiet_until_ms: nothing is produced until then.
        next_timestamp_ms: the timestamp of the next record, if it is a wrong one.
    """

    def __init__(self, cluster: Cluster, topic: str, number: int) -> None:
        self._cluster, self.partition = cluster, Partition(topic, number)
        rng = cluster.timeline.rng
        self.pause_ms = rng.choice((0, 300, 1_000, 1_000, 4_000, 15_000))
        self.transactional = rng.random() < 0.3
        self.quiet_until_ms = 0
        self.next_timestamp_ms: int | None = None
        self._time = cluster.skewed()
        self._open: tuple[PartitionLog, TransactionPart] | None = None
        if self.pause_ms:
            self._again()

    def _again(self) -> None:
        timeline = self._cluster.timeline
        timeline.after(timeline.rng.expovariate(1 / self.pause_ms) + 1 if self.pause_ms else 1_000, self._work)

    def _work(self) -> None:
        timeline, log = self._cluster.timeline, self._log
        if timeline.now_ms >= self.quiet_until_ms and log.writable(timeline.now_ms):
            if self.transactional:
                self._transaction(log)
            else:
                for _ in range(timeline.rng.choice((1, 1, 2, 5))):
                    self._append(log, None)
        self._again()

    def _transaction(self, log: PartitionLog) -> None:
        rng = self._cluster.timeline.rng
        if self._open is not None and self._open[0].deleted:
            self._open = None
        if self._open is None:
            part = log.begin()
            self._open = log, part
            self._append(log, part)
        elif rng.random() < 0.5:
            self._append(log, self._open[1])
        else:
            state = State.ABORTED if rng.random() < 0.3 else State.COMMITTED
            log.finish(self._open[1], state, self._time.now_ms())
            log.advance(self._cluster.timeline.now_ms)
            self._open = None

    def end_transaction(self) -> None:
        """Commit what is open."""
        if self._open is not None and not self._open[0].deleted:
            log, part = self._open
            log.finish(part, State.COMMITTED, self._time.now_ms())
            log.advance(self._cluster.timeline.now_ms)
        self._open = None

    def _append(self, log: PartitionLog, part: TransactionPart | None) -> Record:
        plan, rng = self._cluster.plan, self._cluster.timeline.rng
        if self.next_timestamp_ms is not None and plan.create_time:
            timestamp_ms, self.next_timestamp_ms = self.next_timestamp_ms, None
            return self._cluster.append(log, timestamp_ms, part)
        if not plan.create_time:
            return self._cluster.append(log, None, part)
        delay_ms = rng.choice((0, 0, rng.randint(0, plan.delay_ms)))
        return self._cluster.append(log, self._time.now_ms() - delay_ms, part)

    @property
    def _log(self) -> PartitionLog:
        return self._cluster.topics[self.partition.topic][self.partition.number]

    def refill(self, records: int) -> None:
        """Send the records of a recreated topic again."""
        for _ in range(records):
            self.produce_now()

    def produce_now(self) -> None:
        """Append one record, also to a partition that was empty."""
        log = self._log
        if self._open is None and log.writable(self._cluster.timeline.now_ms):
            self._append(log, None)
