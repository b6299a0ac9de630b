"""Whether a reporter observes the topic that it reports for. A partition's number means nothing without its topic."""

from collections.abc import Sequence


def wrong_topic(clock: str, told: str | None, seen: str | None, topics: Sequence[str]) -> str | None:
    """What is wrong with a reporter's topic, in words; None where nothing is.

    Args:
        told: the topic that the reporter was made for, if it was told one.
        seen: else the topic of the first message that it was given, if any.
        topics: the clock's.
    """
    listed = ", ".join(topics)
    if told is not None:
        return None if told in topics else f"topic {told!r} is not one of clock {clock}: {listed}"
    if len(topics) != 1:
        return f"clock {clock} has several topics ({listed}): wanted Reporter(…, topic=…), one reporter for each topic"
    if seen is not None and seen != topics[0]:
        return f"messages of topic {seen!r} were observed, but clock {clock} has topic {topics[0]!r}"
    return None
