"""Counters of consumers, heartbeat workers and dispatchers. They are diagnostics: the store can lose them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


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
