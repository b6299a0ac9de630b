"""The consumer's member of the group: it delivers rebalances, records, and answers to commits."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from clocksvc.clock.partition import Partition
from clocksvc.interfaces.consumer_group import GroupListener
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.judge import describe
from clocksvc.testing.consumer.log import Log
from clocksvc.testing.consumer.policy import Answer, Commit
from clocksvc.testing.consumer.record import Message
from clocksvc.testing.consumer.world import World

_EXPIRED = -1


class GroupMember:
    """Implements the interface `ConsumerGroup`.

    Attributes:
        world: Kafka.
        commits: those that are not answered yet, in the order of the requests.
        revoking: True while the consumer handles a revocation.
        left_with: the assignments with which it has left the group.
        expired: True if the group has removed this member, and it has not noticed.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.commits: list[Commit] = []
        self.left_with: dict[Log, int] = {}
        self.revoking = self.expired = False
        self._listener: GroupListener | None = None
        self._events: deque[tuple[Callable[[Sequence[Partition]], None], Sequence[Partition]]] = deque()
        self._generation = 1
        self._commit_failed = False
        self._first_fetch: set[Partition] = set()

    # -- the interface ------------------------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        self._listener = listener

    def consume(self, count: int, timeout_s: float) -> Sequence[Message]:
        for commit in [
            commit for commit in self.commits if not commit.lost and self.world.policy.answers_commit(commit)
        ]:
            self.answer(commit)
        while self._events:
            event, partitions = self._events.popleft()
            event(partitions)
        logs = [log for log in self.world.assigned() if log.next < len(log.records) and (log.fetched or not log.paused)]
        if not logs or self.expired:
            return []
        now = self.world.time.monotonic()
        deliveries = [log.deliver(now) for log in self.world.policy.records(logs, count)]
        judge, hits = self.world.judge, self.world.judge.hits
        for delivery in deliveries:
            stored = delivery.stored
            if stored.log.paused:
                stored.log.fetched -= 1
                hits[Interleaving.FETCHED_BEFORE_PAUSE] += 1
            if stored.deliveries > 1 and stored.log.partition in self._first_fetch:
                hits[Interleaving.DELIVERED_AGAIN] += 1
                self._first_fetch.discard(stored.log.partition)
            if stored.index and stored.timestamp_ms < stored.highest_ms:
                hits[Interleaving.LATE_TIMESTAMP] += 1
            if stored.heartbeat:
                judge.skipped(delivery)
        self.world.tell(lambda: f"the consumer gets {describe(deliveries) or 'no records'}")
        return [delivery.message for delivery in deliveries]

    def commit(self, offsets: Mapping[Partition, int], *, wait: bool) -> None:
        logs = self.world.logs
        generation = _EXPIRED if self.expired else self._generation
        commit = Commit(offsets, {partition: logs[partition].epoch for partition in offsets}, generation)
        self.world.tell(lambda: f"the consumer commits {commit}{' and waits' if wait else ''}")
        self.world.judge.commit_requested(logs, offsets)
        if not wait:
            self.commits.append(commit)
            return
        answer = self.world.policy.answer(commit)
        if answer is not Answer.REJECTED:
            self.apply(commit)  # it is not in `commits`, so it is the last one
        if answer is not Answer.ACCEPTED:
            commit.applied, commit.failure = False, answer.value
        self._tell_consumer(commit)

    def pause(self, partitions: Sequence[Partition]) -> None:
        hits = self.world.judge.hits
        self.world.tell(lambda: f"the consumer pauses {', '.join(map(str, partitions))}")
        for partition in partitions:
            log = self.world.logs[partition]
            if log.epoch and not log.paused:
                ahead = partition in self.world.policy.ahead()
                hits[Interleaving.PAUSED_AHEAD if ahead else Interleaving.PAUSED] += 1
                log.paused, log.fetched = True, self.world.policy.fetched()

    def resume(self, partitions: Sequence[Partition]) -> None:
        self.world.tell(lambda: f"the consumer resumes {', '.join(map(str, partitions))}")
        for partition in partitions:
            self.world.logs[partition].paused = False

    def close(self) -> None:
        assigned = self.world.assigned()
        if assigned and not self.expired:
            self.left_with = {log: log.epoch for log in assigned}
            self._revoke([log.partition for log in assigned])
        for log in self.world.assigned():
            log.remove(lost=True)

    # -- what the group does ------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """True if the consumer has not handled all rebalances."""
        return bool(self._events)

    def will_assign(self, partitions: Sequence[Partition]) -> None:
        """The next `consume` assigns partitions."""
        self._events.append((self._assign, partitions))

    def will_revoke(self, partitions: Sequence[Partition]) -> None:
        """The next `consume` revokes partitions."""
        self._events.append((self._revoke, partitions))

    def will_lose(self, partitions: Sequence[Partition]) -> None:
        """The group has removed this member: its commits are rejected. The next `consume` reports the loss."""
        self.expired = True
        self._generation += 1
        self._events.append((self._lose, partitions))

    def apply(self, commit: Commit) -> None:
        """Kafka handles a commit, unless it has done so, after all earlier ones of this member."""
        for earlier in self.commits:
            if earlier is commit:
                break
            self._apply(earlier)
        self._apply(commit)

    def _apply(self, commit: Commit) -> None:
        if commit.applied is not None:
            return
        if commit.generation != self._generation:
            commit.applied, commit.failure = False, "ILLEGAL_GENERATION"
            self.world.judge.hits[Interleaving.COMMIT_REJECTED] += 1
            return
        for partition, offset in commit.offsets.items():
            self.world.judge.commit_applied(self.world.logs[partition], offset)
        commit.applied = True

    def answer(self, commit: Commit) -> None:
        """The consumer gets Kafka's answer to a commit."""
        self.apply(commit)
        self.commits.remove(commit)
        self._tell_consumer(commit)

    def reject(self, commit: Commit, reason: str) -> None:
        """Kafka rejects a commit, and the consumer gets the answer."""
        self.commits.remove(commit)
        commit.applied, commit.failure = False, reason
        self._tell_consumer(commit)

    def _tell_consumer(self, commit: Commit) -> None:
        assert self._listener is not None
        world = self.world
        if not commit.applied:
            self._commit_failed = True
            world.tell(lambda: f"the commit of {commit} has failed: {commit.failure}")
            world.judge.commit_failed(commit.offsets)
            self._listener.commit_failed(commit.offsets, commit.failure)
            return
        world.tell(lambda: f"the commit of {commit} is acknowledged")
        for partition, offset in commit.offsets.items():
            world.judge.commit_acknowledged(world.logs[partition], offset, commit.epochs[partition])
        self._listener.committed(commit.offsets)

    def _uncommitted(self) -> set[Partition]:
        return {partition for commit in self.commits for partition in commit.offsets}

    def _assign(self, partitions: Sequence[Partition]) -> None:
        assert self._listener is not None
        world, logs = self.world, self.world.logs
        partitions = [partition for partition in partitions if not logs[partition].epoch]
        self._generation += 1
        self.expired = False
        if any(log.paused for log in world.assigned()) and partitions:
            world.judge.hits[Interleaving.ASSIGNED_WHILE_PAUSED] += 1
        for partition in partitions:
            logs[partition].assign(next(world.epochs))
            self._first_fetch.add(partition)
        world.tell(
            lambda: (
                "assigned: " + ", ".join(f"{partition} from {logs[partition].committed}" for partition in partitions)
            )
        )
        self._listener.assigned(partitions)

    def _revoke(self, partitions: Sequence[Partition]) -> None:
        assert self._listener is not None
        logs = [log for partition in partitions if (log := self.world.logs[partition]).epoch]
        self.world.tell(lambda: f"revoked: {', '.join(str(log.partition) for log in logs)}")
        self.world.judge.removed(logs, self.world.assigned(), self._uncommitted(), lost=False)
        self.revoking, self._commit_failed = True, False
        try:
            self._listener.revoked([log.partition for log in logs])
        finally:
            self.revoking = False
        self._generation += 1
        for log in logs:
            if not self._commit_failed:
                self.world.judge.revoked(log)
            log.remove(lost=False)

    def _lose(self, partitions: Sequence[Partition]) -> None:
        assert self._listener is not None
        logs = [log for partition in partitions if (log := self.world.logs[partition]).epoch]
        self.world.tell(lambda: f"lost: {', '.join(str(log.partition) for log in logs)}")
        self.world.judge.removed(logs, self.world.assigned(), self._uncommitted(), lost=True)
        for log in logs:
            log.remove(lost=True)
        self._listener.lost([log.partition for log in logs])
