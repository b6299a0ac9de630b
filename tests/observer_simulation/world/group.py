"""Consumer groups: one member for each partition. It commits what it has processed, and never earlier."""

from functools import partial

from clocksvc.clock.partition import Partition
from tests.observer_simulation.sometimes import Path
from tests.observer_simulation.world.cluster import Cluster
from tests.observer_simulation.world.log import PartitionLog, Record, State, TransactionPart

NEVER_ABORTED = 0.9
FORMER_TOPIC_MS = 60_000
"""How long a member works on records of a former topic at most."""


class Member:
    """The work of a group on one partition.

    Attributes:
        commits_by_message: True if it commits the offset after the last record; otherwise the position, which is also
            past markers.
        latest: True if it begins at the end where nothing was committed.
        paused_until_ms: it does nothing until then.
        sink: the topic to which it writes; "" if none.
    """

    def __init__(self, cluster: Cluster, group: str, partition: Partition, sink: str) -> None:
        self._cluster, self._group, self.partition, self._sink = cluster, group, partition, sink
        rng = cluster.timeline.rng
        self.commits_by_message = rng.random() < 0.5
        self.latest = rng.random() < 0.2
        self.read_committed = rng.random() < 0.7
        self.transactional = bool(sink) and rng.random() < 0.5
        self.paused_until_ms = 0
        self._batch = rng.choice((1, 5, 50))
        self._pause_ms = rng.choice((200, 600, 2_000))
        self._commit_delay_ms = rng.choice((0, 300, 3_000))
        self._position: int | None = None
        self._former_until_ms = 0
        self._log: PartitionLog | None = None
        self._unacknowledged: list[tuple[PartitionLog, Record]] = []
        self._term = 0
        self._busy = False
        self._again()

    def crash(self, down_ms: int) -> None:
        """Forget what was not committed, and begin again from the committed offset later."""
        self._term += 1
        self._position, self._busy, self._unacknowledged = None, False, []
        self.paused_until_ms = self._cluster.timeline.now_ms + down_ms

    def hurry(self) -> None:
        """Work on, and faster than records come."""
        self.paused_until_ms, self._batch, self._pause_ms = 0, 500, 200

    def jump(self, offset: int) -> None:
        """An operator moves the group, forward or back."""
        self._term += 1
        self._busy, self._unacknowledged = False, []
        log = self._cluster.log(self.partition)
        assert log is not None
        self._log, self._position = log, offset
        log.pass_over(offset)
        self._cluster.commit(self._group, self.partition, offset)

    def _again(self) -> None:
        timeline = self._cluster.timeline
        timeline.after(timeline.rng.random() * 2 * self._pause_ms + 1, self._work)

    def _work(self) -> None:
        timeline = self._cluster.timeline
        if timeline.now_ms >= self.paused_until_ms and not self._busy:
            self._fetch()
        self._again()

    def _fetch(self) -> None:
        log = self._cluster.log(self.partition)
        if log is None or self._cluster.timeline.now_ms < log.available_from_ms:
            return
        if self._log is not None and self._log is not log and self._position is not None:
            self._former_until_ms = self._former_until_ms or self._cluster.timeline.now_ms + FORMER_TOPIC_MS
            if self._cluster.timeline.now_ms < self._former_until_ms and self._cluster.timeline.chance(0.7):
                # It still works on records of the former topic that it has fetched, and commits them.
                self._position += 1
                self._cluster.sometimes.took(Path.STALE_COMMIT)
                if self._cluster.timeline.chance(0.3):
                    self.paused_until_ms = self._cluster.timeline.now_ms + 30_000
                self._cluster.commit(self._group, self.partition, self._position)
                return
            log.pass_over(self._position)
        self._log, self._former_until_ms = log, 0
        self._find_position(log)
        self._process(log)

    def _find_position(self, log: PartitionLog) -> None:
        begun = self._position is None
        if self._position is None:
            self._position = self._cluster.committed(self._group, self.partition)
        if self._position is None or not log.low <= self._position <= log.high:
            self._position = log.high if self.latest else log.low
            begun = True
        if begun:
            passed = log.pass_over(self._position)
            self._cluster.timeline.say(f"{self._group} begins {log} at {self._position}, passes over {passed}")

    def _process(self, log: PartitionLog) -> None:
        assert self._position is not None
        limit = log.last_stable if self.read_committed else log.high
        found = [
            record
            for record in log.records[self._position : limit]
            if not (record.marker or record.gone or (self.read_committed and record.aborted))
        ][: self._batch]
        if not found:
            if limit > self._position and not self.commits_by_message:
                self._position = limit
                self._commit_later(log, limit)
            return
        end = found[-1].offset + 1
        self._position = end
        if self._sink:
            self._write(log, found, end)
            return
        for record in found:
            log.note_processed(record)
        self._commit_later(log, end)

    def _commit_later(self, log: PartitionLog, offset: int) -> None:
        term, self._busy = self._term, True

        def commit() -> None:
            if term == self._term:
                self._busy = False
                self._cluster.commit(self._group, self.partition, offset)

        self._cluster.timeline.after(self._cluster.timeline.rng.random() * self._commit_delay_ms, commit)

    # -- stages -------------------------------------------------------------------------------------------------------

    def _write(self, log: PartitionLog, found: list[Record], end: int) -> None:
        """Write the results to the next topic. The input is committed once all of them are acknowledged."""
        cluster, rng, now_ms = self._cluster, self._cluster.timeline.rng, self._cluster.timeline.now_ms
        targets = cluster.topics[self._sink]
        if not all(target.writable(now_ms) for target in targets):
            self._position = found[0].offset
            return
        parts: dict[int, TransactionPart] = {}
        for record in found:
            if record.outputs is None:
                record.outputs = tuple([] for _ in range(rng.choice((0, 1, 1, 2))))
            for slot in record.outputs:
                target = targets[rng.randrange(len(targets))]
                if self.transactional and target.number not in parts:
                    parts[target.number] = target.begin()
                timestamp_ms = rng.choice((-1, now_ms, now_ms - rng.randint(0, 10**6)))
                copy = cluster.append(target, timestamp_ms, parts.get(target.number))
                slot.append(copy)
                self._unacknowledged.append((target, copy))
        if self.transactional:
            self._finish_later(log, found, end, [(targets[number], part) for number, part in parts.items()])
        else:
            for record in found:
                log.note_processed(record)
            self._await_acknowledgements(log, end)

    def _await_acknowledgements(self, log: PartitionLog, end: int) -> None:
        term, self._busy = self._term, True

        def look() -> None:
            if term != self._term:
                return
            if all(target.deleted or target.high > copy.offset for target, copy in self._unacknowledged):
                self._unacknowledged = []
                self._commit_later(log, end)
            else:
                self._cluster.timeline.after(100, look)

        self._cluster.timeline.after(20, look)

    def _finish_later(
        self, log: PartitionLog, found: list[Record], end: int, parts: list[tuple[PartitionLog, TransactionPart]]
    ) -> None:
        """End the transaction. The group's offset and the markers become visible at different times."""
        term, timeline, self._busy = self._term, self._cluster.timeline, True

        def finish() -> None:
            alive = term == self._term
            acknowledged = all(target.high > copy.offset for target, copy in self._unacknowledged if not target.deleted)
            if alive and not acknowledged:
                timeline.after(100, finish)
                return
            committed = alive and timeline.chance(NEVER_ABORTED)
            state = State.COMMITTED if committed else State.ABORTED
            for target, part in parts:
                timeline.after(timeline.rng.random() * 1_500, partial(self._mark, target, part, state))
            if committed:
                for record in found:
                    log.note_processed(record)
                self._cluster.commit(self._group, self.partition, end)
            elif alive:
                self._position = None
            if alive:
                self._busy, self._unacknowledged = False, []

        timeline.after(timeline.rng.random() * 1_000, finish)

    def _mark(self, target: PartitionLog, part: TransactionPart, state: State) -> None:
        if not target.deleted:
            now_ms = self._cluster.timeline.now_ms
            target.finish(part, state, now_ms)
            target.advance(now_ms)
