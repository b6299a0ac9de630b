"""The trackers and senders of one reporter: one of each for each topic. They share the sink and the thread."""

import threading
from collections.abc import Callable, Sequence

from clocksvc.client.progress import Progress
from clocksvc.client.progress_tracker import ProgressTracker
from clocksvc.client.report_sender import ReportSender
from clocksvc.clock.partition import Partition
from clocksvc.interfaces.progress import ReportSink
from clocksvc.interfaces.time import Time

Create = Callable[[str | None, threading.Event], tuple[ProgressTracker, ReportSender]]


class TopicSenders:
    """The first tracker has the reporter's topic. Without one, it has the topic of the first message, and what is
    observed by number. Then each further topic of the clock gets a tracker with the first message of this topic.

    One thread calls `step`; all other methods are thread-safe.

    Args:
        topic: the topic that was given to the reporter; None for the topics of its messages.
        create: creates a tracker and its sender, which sets the event when a step is due.
        sink: the sink of all senders. `close` closes it.

    Attributes:
        wake: an event that is set when a step is due.
        first: the first tracker.
        progress: the progress of each topic of which messages are observed, by partition number.
    """

    def __init__(self, topic: str | None, create: Create, sink: ReportSink, time: Time) -> None:
        self.wake = threading.Event()
        self.first, sender = create(topic, self.wake)
        self.progress: dict[str, dict[int, Progress]] = {}
        self._given, self._create, self._sink, self._time = topic, create, sink, time
        self._trackers: dict[str, ProgressTracker] = {}
        self._member_of: str | None = None
        self._senders = [sender]
        self._lock = threading.Lock()
        if topic is not None:
            self._use(topic, self.first)

    # -- called by the consumer's threads -----------------------------------------------------------------------------

    def tracker_of(self, topic: str) -> ProgressTracker | None:
        """Return the tracker for messages of a topic; None if these messages must be rejected.

        Raises:
            ReporterMisuse: the reporter is closed.
        """
        found = self._trackers.get(topic)
        return found if found is not None or self._given is not None else self._add(topic)

    @property
    def all(self) -> list[ProgressTracker]:
        """All trackers."""
        return list({id(tracker): tracker for tracker in (self.first, *self._trackers.values())}.values())

    @property
    def only_topic(self) -> str | None:
        """The topic of all messages that can count; None while it is not known, or if there are several topics."""
        if self._given is not None:
            return self._given
        parameters = self.first.parameters
        only = parameters is not None and len(parameters.topics) == 1 and len(self._trackers) == 1
        return next(iter(self._trackers)) if only else None

    @property
    def several(self) -> bool:
        """True if messages have named a topic, and the number of a partition does not identify its topic."""
        topics = len(self._trackers)
        return self._given is None and (topics > 1 or (topics == 1 and self.first.is_assigned_several))

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Start these partitions without progress."""
        self.first.assign(partitions)
        for topic, tracker in tuple(self._trackers.items()):
            own = [partition for partition in partitions if partition.topic == topic]
            if tracker is not self.first and own:
                tracker.assign(own)

    def join(self, group: str) -> None:
        """Start without progress, because the consumer is a member of this group."""
        with self._lock:
            self._member_of = group
            for tracker in self.all:
                tracker.join(group)

    @property
    def has_unsent(self) -> bool:
        """True if something was observed that the store has not accepted or counted yet."""
        return any(tracker.has_unsent for tracker in self.all)

    def flush(self, timeout_s: float, *, stepping: bool, keep_trying: bool) -> bool:
        """Flush all senders, one after the other, within one timeout. See `ReportSender.flush`."""
        deadline = self._time.monotonic() + timeout_s
        flushed = [
            sender.flush(max(0.0, deadline - self._time.monotonic()), stepping=stepping, keep_trying=keep_trying)
            for sender in tuple(self._senders)
        ]
        return all(flushed)

    def close_trackers(self) -> None:
        """Make every later observation raise ReporterMisuse."""
        with self._lock:
            for tracker in self.all:
                tracker.close()

    def _add(self, topic: str) -> ProgressTracker | None:
        with self._lock:
            if topic in self._trackers:
                return self._trackers[topic]
            self.first.raise_if_closed()
            parameters = self.first.parameters
            if self.first.claim_topic(topic) == topic:
                return self._use(topic, self.first)
            if parameters is not None and topic not in parameters.topics:
                return None
            self.first.drop_numbers()
            tracker, sender = self._create(topic, self.wake)
            if self._member_of is not None:
                tracker.join(self._member_of)
            self._senders.append(sender)
            return self._use(topic, tracker)

    def _use(self, topic: str, tracker: ProgressTracker) -> ProgressTracker:
        self.progress[topic] = tracker.progress
        self._trackers[topic] = tracker
        self.wake.set()
        return tracker

    # -- called by the sending thread ---------------------------------------------------------------------------------

    def step(self) -> float:
        """Send what is due, and return the seconds until the next step. Blocks while the sink blocks. Never raises."""
        return min(sender.step() for sender in tuple(self._senders))

    def close(self) -> None:
        """Close the sink. While a thread calls `step`, only this thread may call `close`."""
        self._sink.close()
