"""The topic that a reporter observes, and whether its topic and group fit the configuration of the clock."""

import logging

from clocksvc.interfaces.progress import ClockParameters

logger = logging.getLogger("clocksvc.reporter")


class ObservedTopic:
    """The topic of one reporter. A partition number alone does not identify a partition. Not thread-safe.

    A wrong configuration is logged once for each change. It raises no error.

    Attributes:
        name: the topic that was given; otherwise the topic of the first message; otherwise the clock's only topic.
            None while it is not known. Once it is known, it does not change.
    """

    def __init__(self, clock: str, group: str, given: str | None) -> None:
        self.name = given
        self._assumed = False
        self._clock, self._group = clock, group
        self._problems: list[str] | None = None
        self._other_topics: set[str] = set()

    def compare(self, parameters: ClockParameters) -> None:
        """Compare topic and group with the parameters of the clock. Call this when they are known or have changed."""
        if self.name is None and len(parameters.topics) == 1:
            self.name, self._assumed = parameters.topics[0], True
        before, self._problems = self._problems, self._find_problems(parameters)
        extra = {"clock": self._clock, "topic": self.name, "group": self._group}
        for problem in self._problems:
            if problem not in (before or ()):
                logger.error(problem, extra=extra)
        if not self._problems and before != []:
            logger.info("reporting", extra=extra)

    def log_other_topic(self, topic: str | None) -> None:
        """Log that messages of another topic were observed, once for each topic."""
        if topic is not None and topic not in self._other_topics:
            self._other_topics.add(topic)
            logger.error(
                "messages of topic %r do not count, because this reporter has topic %r: create one reporter for each "
                "topic",
                *(topic, self.name),
                extra={"clock": self._clock, "topic": topic},
            )

    def _find_problems(self, parameters: ClockParameters) -> list[str]:
        clock, topics, problems = self._clock, ", ".join(parameters.topics), []
        if parameters.group != self._group:
            problems.append(
                f"reports do not count: clock {clock} counts the progress of group {parameters.group!r}, but this "
                f"reporter has group {self._group!r}"
            )
        create = "create one Reporter(…, topic=…) for each topic"
        if self.name is None:
            problems.append(
                f"reports do not count: clock {clock} has several topics ({topics}), but this reporter has none: "
                f"{create}"
            )
        elif self.name not in parameters.topics:
            problems.append(
                f"reports do not count: topic {self.name!r} is not a topic of clock {clock}, which has {topics}"
            )
        elif self._assumed and len(parameters.topics) > 1:
            problems.append(
                f"reports will not count after a restart: clock {clock} has several topics now ({topics}), but this "
                f"reporter was given none, and reports {self.name!r}: {create}"
            )
        return problems
