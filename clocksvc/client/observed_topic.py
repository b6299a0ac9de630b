"""The topic that a reporter observes, and whether its topic and group fit the configuration of the clock."""

import logging
from collections.abc import Iterable

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import COMMITTED_OFFSETS
from clocksvc.interfaces.progress import ClockParameters

logger = logging.getLogger("clocksvc.reporter")

_CREATE = "create one Reporter(…, topic=…) for each topic"


class ObservedTopic:
    """The topic of one reporter. A partition number alone does not identify a partition. Not thread-safe.

    The topic is the one that was given; otherwise that of the first message; otherwise the only topic of which the
    consumer was assigned partitions; otherwise, if numbers of partitions were observed and none was ever assigned, the
    clock's only topic. Numbers are never of the given topic if the consumer was assigned partitions of other topics
    only. A wrong configuration is logged once for each change. It raises no error.

    Attributes:
        name: the topic; None while it is not known.
        used: True if numbers of partitions were observed without a message, so that their topic must be known.
    """

    def __init__(self, clock: str, group: str, given: str | None) -> None:
        self.name = given
        self.used = False
        self._clock, self._group, self._given = clock, group, given
        self._assigned: dict[str, int] = {}
        self._claimed = self._assumed = self._accepted_logged = False
        self._problems: list[str] | None = None
        self._other_topics: set[str] = set()
        self._number_logged = False

    # -- what names the topic -----------------------------------------------------------------------------------------

    def assign(self, partitions: Iterable[Partition]) -> bool:
        """Record the topics of assigned partitions.

        Returns:
            True if numbers of partitions that were observed before may be of another topic.
        """
        before = len(self._assigned)
        for topic, number in partitions:
            self._assigned.setdefault(topic, number)
        return len(self._assigned) > before and self._set_name()

    def claim(self, topic: str) -> bool:
        """Use the topic of a message, unless the topic is known. True if it was not known before."""
        self._claimed = self._given is None and not self._assumed
        if self.name is not None:
            return False
        self.name = topic
        return True

    def use_number(self, number: int) -> bool:
        """Record that the number of a partition was observed. True if `compare` must be called."""
        if self.used:
            return False
        self.used = True
        if self._given is not None and not self._assigned:
            self._assigned[self._given] = number  # this consumer has partitions that on_assign does not get
        self._set_name()
        return True

    def _set_name(self) -> bool:
        before = self.name
        only = next(iter(self._assigned)) if len(self._assigned) == 1 else None
        if self._given is not None:
            elsewhere = bool(self._assigned) and self._given not in self._assigned
            self.name = only if elsewhere and self.used else self._given
            return self.name != before or elsewhere
        if not self._claimed and self._assigned:
            self.name, self._assumed = only, False
        return self.name != before

    @property
    def is_assigned_several(self) -> bool:
        """True if the consumer was assigned partitions of several topics."""
        return len(self._assigned) > 1

    # -- whether it fits the clock ------------------------------------------------------------------------------------

    def compare(self, parameters: ClockParameters) -> None:
        """Compare topic and group with the parameters of the clock. Call this when any of them have changed."""
        if self.name is None and self.used and not self._assigned and len(parameters.topics) == 1:
            self.name, self._assumed = parameters.topics[0], True
        problems = self._find_problems(parameters)
        extra = {"clock": self._clock, "topic": self.name, "group": self._group}
        for problem in problems:
            if problem not in (self._problems or ()):
                logger.error(problem, extra=extra)
        if problems or self.name is not None:
            self._accepted_logged = self._accepted_logged and not problems
            self._problems = problems

    def log_accepted(self, parameters: ClockParameters) -> None:
        """Log that a report was accepted, once until the next problem."""
        if not self._accepted_logged and self._problems == []:
            self._accepted_logged = True
            extra = {"clock": self._clock, "topic": self.name, "group": self._group}
            logger.info(self._describe(parameters), extra=extra)

    def foreign_assignment(self, parameters: ClockParameters) -> list[Partition]:
        """Return one partition of each assigned topic, if none of these topics is the clock's; otherwise []."""
        if not self.is_assigned_elsewhere(parameters):
            return []
        return [Partition(topic, number) for topic, number in self._assigned.items()]

    def is_assigned_elsewhere(self, parameters: ClockParameters) -> bool:
        """True if no topic was given, and the consumer was assigned only topics that are not the clock's.

        May be called without a lock.
        """
        return (
            self._given is None
            and bool(self._assigned)
            and not any(topic in self._assigned for topic in parameters.topics)
        )

    def possible_topics(self, parameters: ClockParameters) -> list[str]:
        """Return the topics of which observed numbers can be while the topic is not known."""
        return list(self._assigned or parameters.topics)

    def log_other_topic(self, topic: str, parameters: ClockParameters | None) -> None:
        """Log that messages of another topic were observed, once for each topic."""
        if topic in self._other_topics:
            return
        self._other_topics.add(topic)
        text = f"messages of topic {topic!r} are rejected: this reporter has topic {self.name!r}"
        if parameters is None or topic in parameters.topics:
            text += "; create the Reporter without a topic to observe all topics of the clock"
        else:
            text += f", and clock {self._clock} has topics {', '.join(parameters.topics)}"
        logger.error(text, extra={"clock": self._clock, "topic": topic})

    def log_number(self) -> None:
        """Log that numbers of partitions were observed although messages of several topics are, once."""
        if not self._number_logged:
            self._number_logged = True
            text = f"reports without a topic are rejected: the consumer reads several topics: {_CREATE}"
            logger.error(text, extra={"clock": self._clock, "topic": self.name})

    def _describe(self, parameters: ClockParameters) -> str:
        text = (
            f"reporting the progress of group {self._group} in topic {self.name} to clock {self._clock}, which ticks "
            f"every {parameters.interval_ms // 1000} s"
        )
        if self._assumed:
            text += (
                "; the topic is assumed, because it is the only one of the clock: on_assign was not called, and the "
                "reporter was given no topic"
            )
        return text

    def _find_problems(self, parameters: ClockParameters) -> list[str]:
        clock, topics, problems = self._clock, ", ".join(parameters.topics), []
        assigned = ", ".join(sorted(self._assigned))
        if parameters.group != self._group:
            belongs = f"clock {clock} belongs to group {parameters.group!r}"
            if parameters.group.startswith(COMMITTED_OFFSETS):
                belongs = f"clock {clock} follows committed offsets: remove the Reporter, or set source: reports"
            problems.append(f"reports of group {self._group!r} are rejected: {belongs}")
        if self.name is not None and self.name not in parameters.topics:
            problems.append(f"reports of topic {self.name!r} are rejected: clock {clock} has topics {topics}")
        elif self.name is None and self.is_assigned_elsewhere(parameters):
            problems.append(f"reports of topics {assigned} are rejected: clock {clock} has topics {topics}")
        elif self.name is None and self.used:
            several = f"clock {clock} has several topics ({topics})"
            if self._assigned:
                several = f"the consumer was assigned partitions of several topics ({assigned})"
            problems.append(f"reports without a topic are rejected: {several}: {_CREATE}")
        elif self._assumed and len(parameters.topics) > 1:
            problems.append(
                f"reports will be rejected after a restart: clock {clock} has several topics now ({topics}), but this "
                f"reporter was given none, and reports {self.name!r}: {_CREATE}"
            )
        return problems
