"""Deliberate defects of the consumer, and how to find them: `make interleavings` searches each one by seeds.

Most change the inputs or the actions of the state machine. The others replace a rule of one of its parts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import PropertyMock, patch

from clocksvc.client.consumer import commits, loop, processing
from clocksvc.client.consumer.actions import Commit, Drained, Report, Resume, SendDeadLetter, StartFlush
from clocksvc.client.consumer.assignment import Assignment
from clocksvc.client.consumer.batches import Batch, BatchLimits, OpenBatch
from clocksvc.client.consumer.buffer_bound import BufferBound
from clocksvc.client.consumer.flushes import FlushSlots
from clocksvc.client.consumer.loop import ConsumerLoop
from clocksvc.client.consumer.machine import ConsumerMachine
from clocksvc.client.consumer.watermark import Timestamps, Watermark
from clocksvc.clock.partition import Partition
from tests.seed_runs import defect as seed_runs


@dataclass(frozen=True, slots=True)
class Defect(seed_runs.Defect):
    """One deliberate bug in the consumer.

    Attributes:
        example: the consumer with which it is searched.
    """

    example: str


DEFECTS: dict[str, Defect] = {}


def defect(does: str, *words: str, example: str = "orders") -> Callable[[seed_runs.Patch], seed_runs.Patch]:
    """Add a defect to the table. The name of the function is its name."""

    def add(make: seed_runs.Patch) -> seed_runs.Patch:
        name = seed_runs.defect_name(make)
        DEFECTS[name] = Defect(name, does, words, make, example)
        return make

    return add


def with_machine(changed: type[ConsumerMachine[Any]]) -> AbstractContextManager[object]:
    """Consumers whose loop has another state machine: its inputs or its actions differ."""
    return patch.object(loop, "ConsumerMachine", changed)


def with_actions(change: Callable[[ConsumerMachine[Any], list[Any]], list[Any]]) -> AbstractContextManager[object]:
    """Consumers whose state machine returns other actions."""

    class Changed(ConsumerMachine[Any]):
        def poll(self, now: float) -> list[Any]:
            return change(self, super().poll(now))

    return with_machine(Changed)


# -- commits ----------------------------------------------------------------------------------------------------------


@defect("offsets are committed when records are received", "committed before done")
def commit_before_flush() -> AbstractContextManager[object]:
    def extend(self: Watermark, token: int, end: int, timestamps: Timestamps | None) -> None:
        self.position = end

    return patch.object(Watermark, "extend", extend)


@defect("a flush is committed although earlier records of its partition are not flushed", "committed before done")
def gap_ignored() -> AbstractContextManager[object]:
    done = Watermark.done

    def jump(self: Watermark, token: int) -> bool:
        while self._segments and self._segments[0].token != token and token in self._open:
            self.done(self._segments[0].token)
        return done(self, token)

    return patch.object(Watermark, "done", jump)


@defect("a failed flush counts as done", "committed before done")
def failed_flush_done() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def flush_failed(self, flush_id: int, error: BaseException) -> None:
            self.flush_succeeded(flush_id)

    return with_machine(Changed)


@defect("before a revocation, received records are committed although they are not flushed", "committed before done")
def revocation_commits_all() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def take_commit(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
            partitions = list(partitions)
            offsets = super().take_commit(partitions)
            for partition in partitions:
                found = self.assignment(partition)
                if found is not None and found.watermark.received is not None:
                    offsets[partition] = found.watermark.received
            return offsets

    return with_machine(Changed)


@defect("the flush of a revoked partition is not awaited, and its result is committed later", "foreign commit")
def commit_after_revocation() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def are_done(self, partitions: Iterable[Partition]) -> bool:
            return True

        def removed(self, partitions: Iterable[Partition]) -> None:
            pass

    return with_machine(Changed)


@defect("a rejected commit is repeated as it was, after a later one", "commit goes back")
def commit_repeated() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        failed: Mapping[Partition, int] | None = None

        def commit_failed(self, offsets: Mapping[Partition, int]) -> None:
            super().commit_failed(offsets)
            self.failed = offsets

        def poll(self, now: float) -> list[Any]:
            actions = super().poll(now)
            if self.failed is not None and any(isinstance(action, Commit) for action in actions):
                offsets = {one: offset for one, offset in self.failed.items() if self.assignment(one) is not None}
                actions.append(Commit(offsets))
                self.failed = None
            return actions

    return with_machine(Changed)


@defect("a rejected commit counts as acknowledged", "reported too much", "not done")
def rejection_ignored() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def commit_failed(self, offsets: Mapping[Partition, int]) -> None:
            self.committed(offsets)

    return with_machine(Changed)


@defect("a commit without an answer is awaited for ever", "not done")
def answer_awaited_for_ever() -> AbstractContextManager[object]:
    return patch.object(commits, "COMMIT_TIMEOUT_S", float("inf"))


@defect(
    "an offset whose commit is in progress is not committed again when the partition moves",
    "not reported",
    "not drained",
)
def commit_in_progress_trusted() -> AbstractContextManager[object]:
    def uncommitted(self: Assignment) -> bool:
        newest = self._commits[-1].offset if self._commits else self.committed
        return self.watermark.position not in (None, newest)

    return patch.object(Assignment, "uncommitted", property(uncommitted))


@defect("the last offsets are not committed when the consumer drains", "not drained")
def drained_without_commit() -> AbstractContextManager[object]:
    return patch.object(ConsumerMachine, "_is_drained", lambda self: not self.busy)


# -- reports ----------------------------------------------------------------------------------------------------------


@defect("a timestamp is reported when its commit is sent", "reported too much")
def report_before_commit() -> AbstractContextManager[object]:
    def report(self: ConsumerMachine[Any], actions: list[Any]) -> list[Any]:
        early = [
            Report({one: Timestamps(2, self.read_ms[one], self.read_ms[one]) for one in action.offsets})
            for action in actions
            if isinstance(action, Commit)
        ]
        return [*early, *actions]

    return with_actions(report)


@defect("the timestamp of the last received record is reported with a commit", "reported too much")
def later_timestamp_reported() -> AbstractContextManager[object]:
    acknowledge = Assignment.acknowledge

    def later(self: Assignment, offset: int) -> Timestamps | None:
        found = acknowledge(self, offset)
        waiting = [one.timestamps for one in self.watermark._segments if one.timestamps is not None]
        return found and waiting[-1] if waiting else found

    return patch.object(Assignment, "acknowledge", later)


@defect("the timestamps of a failed commit are forgotten", "not done", "not drained", "not reported")
def timestamps_forgotten() -> AbstractContextManager[object]:
    return patch.object(Watermark, "restore_timestamps", lambda self, taken: None)


@defect("a batch in two parts is reported with the timestamps of both when the first one is done", "reported too much")
def part_with_all_timestamps() -> AbstractContextManager[object]:
    extend = Watermark.extend

    def early(self: Watermark, token: int, end: int, timestamps: Timestamps | None) -> None:
        before = self._segments[-1] if self._segments else None
        if before is not None and before.token != token and timestamps and before.timestamps:
            before.timestamps = before.timestamps.followed_by(timestamps)
        extend(self, token, end, timestamps)

    return patch.object(Watermark, "extend", early)


# -- rebalances -------------------------------------------------------------------------------------------------------


@defect("the buffer is not cleared when a partition is lost or revoked", "removed partition flushed")
def buffer_not_cleared() -> AbstractContextManager[object]:
    return patch.object(Batch, "remove_inactive", lambda self: None)


@defect(
    "a removed partition that is assigned again continues its watermark", "committed before done", "commit goes back"
)
def late_result_accepted() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def removed(self, partitions: Iterable[Partition]) -> None:
            partitions = list(partitions)
            kept = {one: found for one in partitions if (found := self.assignment(one)) is not None}
            super().removed(partitions)
            self.kept = getattr(self, "kept", {}) | kept

        def assigned(self, partitions: Iterable[Partition]) -> None:
            partitions = list(partitions)
            super().assigned(partitions)
            for one in partitions:
                old = getattr(self, "kept", {}).pop(one, None)
                if old is not None:
                    old.active = True
                    self._assignments[one] = old

    return with_machine(Changed)


@defect("a batch with records of a revoked partition is dropped", "committed before done")
def others_dropped() -> AbstractContextManager[object]:
    def clear(self: Batch[Any]) -> None:
        if not all(span.assignment.active for span in self.spans):
            self.items, self.records = [], []

    return patch.object(Batch, "remove_inactive", clear)


@defect("a removal of partitions forgets the flushes of all partitions", "not done", "not drained", "too many flushes")
def result_after_revocation_lost() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def removed(self, partitions: Iterable[Partition]) -> None:
            partitions = list(partitions)
            super().removed(partitions)
            if partitions:
                self._slots.running.clear()

    return with_machine(Changed)


# -- flushes ----------------------------------------------------------------------------------------------------------


@defect("a failed flush is forgotten", "not done", "not drained", "stuck")
def failed_flush_forgotten() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def flush_failed(self, flush_id: int, error: BaseException) -> None:
            self._slots.running.pop(flush_id, None)

    return with_machine(Changed)


@defect("a batch is never too old", "not done", "not drained")
def age_ignored() -> AbstractContextManager[object]:
    return patch.object(OpenBatch, "due_at", property(lambda self: None))


@defect("a batch can have one item more than allowed", "batch too large")
def batch_too_large() -> AbstractContextManager[object]:
    create = OpenBatch.__init__

    def larger(self: OpenBatch[Any], limits: BatchLimits, *rest: Any) -> None:
        create(self, limits._replace(records=limits.records + 1), *rest)

    return patch.object(OpenBatch, "__init__", larger)


@defect("more flushes run at the same time than allowed", "too many flushes")
def too_many_flushes() -> AbstractContextManager[object]:
    create = FlushSlots.__init__

    def more(self: FlushSlots[Any], slots: int, *rest: Any) -> None:
        create(self, slots + 1, *rest)

    return patch.object(FlushSlots, "__init__", more)


@defect("the items of a batch are in another order", "order")
def order_reversed() -> AbstractContextManager[object]:
    def turn(self: ConsumerMachine[Any], actions: list[Any]) -> list[Any]:
        return [
            action._replace(batch=action.batch[::-1]) if isinstance(action, StartFlush) else action
            for action in actions
        ]

    return with_actions(turn)


@defect("flushes with a state run at the same time", "wrong state", "too many flushes", example="totals")
def state_shared() -> AbstractContextManager[object]:
    return too_many_flushes()


# -- dead letters -----------------------------------------------------------------------------------------------------


@defect("a dead letter counts as done when it is sent", "committed before done")
def dead_letter_not_awaited() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def poll(self, now: float) -> list[Any]:
            actions = super().poll(now)
            for action in actions:
                if isinstance(action, SendDeadLetter):
                    self.dead_letter_delivered(action.letter_id)
            return actions

    return with_machine(Changed)


@defect("a record that can't be processed is skipped", "committed before done")
def poison_skipped() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def poisoned(self, assignment: Assignment, record: Any, cause: Any, timestamps: Timestamps | None) -> bool:
            return self.received(assignment, [], [], record.offset() + 1, timestamps)

    return with_machine(Changed)


@defect("a dead letter that failed is not sent again", "not done", "not drained")
def dead_letter_sent_once() -> AbstractContextManager[object]:
    class Changed(ConsumerMachine[Any]):
        def dead_letter_failed(self, letter_id: int, reason: str) -> None:
            pass

    return with_machine(Changed)


@defect("heartbeats are processed", "heartbeat processed")
def heartbeat_processed() -> AbstractContextManager[object]:
    return patch.object(processing, "is_heartbeat", lambda message: False)


# -- back-pressure ----------------------------------------------------------------------------------------------------


@defect("paused partitions are never resumed", "not done")
def never_resumed() -> AbstractContextManager[object]:
    def drop(self: ConsumerMachine[Any], actions: list[Any]) -> list[Any]:
        return [action for action in actions if not isinstance(action, Resume)]

    return with_actions(drop)


@defect("records are received although the buffer is full", "buffer too large")
def buffer_unbounded() -> AbstractContextManager[object]:
    return patch.object(ConsumerMachine, "room", PropertyMock(return_value=1_000))


@defect("records that are flushed or dropped stay in the size of the buffer", "not done")
def buffer_never_emptied() -> AbstractContextManager[object]:
    return patch.object(BufferBound, "shrink", lambda self, records, size: None)


# -- the end ----------------------------------------------------------------------------------------------------------


@defect("the consumer ends before its flushes have finished", "not drained")
def drained_too_early() -> AbstractContextManager[object]:
    def end(self: ConsumerMachine[Any], actions: list[Any]) -> list[Any]:
        return actions if self.accepting else [*actions, Drained()]

    return with_actions(end)


@defect("the end does not wait for the last commit", "not drained", "not reported")
def closed_without_commit() -> AbstractContextManager[object]:
    commit = ConsumerLoop._commit_now

    def skip(self: ConsumerLoop[Any], partitions: Sequence[Partition]) -> None:
        if not self._closing:
            commit(self, partitions)

    return patch.object(ConsumerLoop, "_commit_now", skip)
