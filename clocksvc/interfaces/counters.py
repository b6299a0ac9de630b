"""Counters of consumers, heartbeat workers and dispatchers, and the memory of finished tasks.

These are diagnostics: the store can lose them at any time, and they restart.

An implementation serves one clock. Each method is atomic, can be called from any thread, and blocks for at most the
implementation's timeout. If the store does not answer, the method raises StoreUnavailable. In that case a write may
have taken effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

MAX_COUNT = 2**53 - 1
"""The largest value of a counter. Every JSON parser reads it exactly. A counter that reaches it stays there."""


class TaskCounterKey(NamedTuple):
    """The labels of a task counter. `queue` is a queue or a topic; "" if it is not known in advance."""

    namespace: str
    queue: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters of consumers and workers, kept in the store.

    Attributes:
        reports, heartbeats: counts by outcome.
        late_records: the number of late records.
        heartbeat_success_ms: store time of the last complete round of heartbeats; None if there was none.
        tasks: counts by dispatcher and labels.
        dispatcher_checkpoints_ms: the tick up to which each dispatcher has sent all tasks.
        task_duplicates: how often a task was delivered again after it had finished.
    """

    reports: Mapping[str, int] = field(default_factory=dict)
    heartbeats: Mapping[str, int] = field(default_factory=dict)
    late_records: int = 0
    heartbeat_success_ms: int | None = None
    tasks: Mapping[str, Mapping[TaskCounterKey, int]] = field(default_factory=dict)
    dispatcher_checkpoints_ms: Mapping[str, int] = field(default_factory=dict)
    task_duplicates: int = 0


class CounterStore(Protocol):
    """The counters and finished tasks of one clock."""

    def count_heartbeats(self, outcomes: Mapping[str, int], *, success: bool) -> None:
        """Add to the heartbeat counters. `success` sets the time of the last complete round to now."""

    def count_tasks(
        self, dispatcher: str, handled: Mapping[TaskCounterKey, int], at_ms: int | None, ttl_ms: int
    ) -> None:
        """Add to a dispatcher's counters. Adding zero creates a counter.

        `at_ms` is the dispatcher's checkpoint; with None, the stored checkpoint is not changed. The store keeps the
        largest checkpoint that it has received. It drops this checkpoint `ttl_ms` after the last call with an `at_ms`.
        """

    def counters(self) -> Counters:
        """Return all counters."""

    def mark_task_done(self, task_id: str, kept_ms: int, most: int) -> None:
        """Remember for `kept_ms` that a task has finished. If there are more than `most` tasks, those that expire first
        are dropped."""

    def is_task_done(self, task_id: str) -> bool:
        """True if a task is remembered as finished. In that case, a duplicate is counted."""
