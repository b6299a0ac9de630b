"""The mistakes: what is wrong, and the cause that a person must be able to read in every place where they look."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Place(StrEnum):
    """Where a person looks."""

    LOG = "consumer's log"
    STATUS = "clocksvc status"
    PAGE = "page"
    CHECK = "clocksvc check"


EVERYWHERE = frozenset(Place)
SERVER_SIDE = frozenset({Place.STATUS, Place.PAGE, Place.CHECK})
"""The consumer knows nothing of it: it reports what it processes, or has no Reporter."""


@dataclass(frozen=True)
class Mistake:
    """One mistake, made on a clock of its own.

    In texts, `{topic}` and `{group}` are the clock's, `{other_clock}` and `{other_topic}` those of the clock without a
    mistake, `{url}` is the service, `{redis}` the store's address alone, `{redis_as_http}` the same with http://,
    `{prefix}` the installation's, `{port}` a port without server.

    Attributes:
        name: the mistake's name. The clock's is another one, so that no text names the cause by its name.
        what: the mistake in words.
        cause: a regular expression that must match in each of `places`. Upper and lower case are the same.
        places: where it can be seen.
        clock: changes of the clock's configuration.
        consumers: changes of the options of its consumers, one for each consumer.
        steps: what operators do, as arguments of the command line.
        produced: the partitions that get records. Heartbeats are written by the producer, as the worker does.
        heartbeats: False if the clock's quiet partitions get no heartbeats.
        ticks: the clock ticks, and rightly.
        raises: a call of the Reporter raises, and ends the consumer: its arguments are wrong, for every clock.
    """

    name: str
    what: str
    cause: str
    places: frozenset[Place] = EVERYWHERE
    clock: Mapping[str, Any] = field(default_factory=dict)
    consumers: tuple[Mapping[str, Any], ...] = ({},)
    produced: tuple[int, ...] = (0, 1, 2)
    heartbeats: bool = True
    ticks: bool = False
    steps: tuple[str, ...] = ()
    raises: bool = False


def _consumer(**changes: Any) -> tuple[Mapping[str, Any], ...]:
    return (changes,)


def _elsewhere(name: str, what: str, **consumer: Any) -> Mistake:
    """The reports never reach the clock's store. The log names the address or the clock, the others what to compare."""
    address = r"no-such-clockx|prefix|127\.0\.0\.1|404"
    return Mistake(name, what, rf"compare .*Reporter|{address}", consumers=_consumer(**consumer))


RIGHT = Mistake("right", "no mistake", r"running", frozenset({Place.STATUS, Place.PAGE}), ticks=True)

_SECONDS = r"looks? like seconds|not_milliseconds"
_AHEAD = r"too_far_ahead|further ahead"
_MICROSECONDS = r"looks? like (seconds or )?microseconds|not_milliseconds"

MISTAKES: tuple[Mistake, ...] = (
    RIGHT,
    # -- units ------------------------------------------------------------------------------------------------------
    Mistake(
        "seconds", "seconds from the first report on", _SECONDS, consumers=_consumer(unit="seconds", way="observe")
    ),
    Mistake(
        "seconds-later",
        "a new version reports seconds on a running clock",
        _SECONDS,
        consumers=_consumer(unit="seconds", way="observe", after_s=8.0),
        ticks=True,
    ),
    Mistake("seconds-many", "seconds by observe_many", _SECONDS, consumers=_consumer(unit="seconds")),
    Mistake("seconds-http", "seconds by HTTP", _SECONDS, consumers=_consumer(unit="seconds", way="http", url="{url}")),
    Mistake("minutes", "minutes", _SECONDS, consumers=_consumer(unit="minutes", way="observe")),
    Mistake(
        "microseconds",
        "microseconds",
        _MICROSECONDS,
        consumers=_consumer(unit="microseconds", way="observe"),
    ),
    Mistake(
        "microseconds-http",
        "microseconds by HTTP",
        _MICROSECONDS,
        consumers=_consumer(unit="microseconds", way="http", url="{url}"),
    ),
    Mistake(
        "nanoseconds",
        "nanoseconds",
        r"looks? like (nanoseconds|seconds or microseconds)|not_milliseconds",
        consumers=_consumer(unit="nanoseconds", way="observe"),
    ),
    Mistake(
        "zero",
        "0 for every record",
        r"wanted milliseconds|not_milliseconds",
        consumers=_consumer(unit="zero", way="observe"),
    ),
    Mistake(
        "no-timestamp",
        "-1 for every record",
        r"no_timestamp|no timestamp",
        consumers=_consumer(unit="minus one", way="observe"),
    ),
    Mistake(
        "ahead",
        "local time instead of UTC, an hour ahead",
        _AHEAD,
        consumers=_consumer(unit="an hour ahead", way="observe"),
    ),
    Mistake(
        "behind",
        "local time instead of UTC, an hour behind",
        r"60 min|1 h",
        frozenset({Place.STATUS, Place.PAGE}),
        consumers=_consumer(unit="an hour behind", way="observe"),
        ticks=True,
    ),
    Mistake(
        "far-back",
        "records of forty days ago at the first start",
        r"max_past",
        SERVER_SIDE,
        consumers=_consumer(unit="forty days behind", way="observe"),
    ),
    Mistake(
        "text-http",
        "a timestamp as text by HTTP, as kafkajs gives it",
        r"timestamp_ms",
        frozenset({Place.LOG}),
        consumers=_consumer(unit="text", way="http", url="{url}"),
    ),
    # -- topics -----------------------------------------------------------------------------------------------------
    Mistake(
        "other-topic", "the consumer reads another topic", r"{other_topic}", consumers=_consumer(topic="{other_topic}")
    ),
    Mistake(
        "other-topic-message",
        "the same, by observe_message",
        r"{other_topic}",
        consumers=_consumer(topic="{other_topic}", way="observe_message"),
    ),
    Mistake(
        "other-topic-observe",
        "the same, by observe with on_assign",
        r"{other_topic}",
        consumers=_consumer(topic="{other_topic}", way="observe"),
    ),
    Mistake(
        "other-topic-given",
        "the same, with topic= of the consumer",
        r"{other_topic}",
        consumers=_consumer(topic="{other_topic}", report_topic="{other_topic}", way="observe", told=False),
    ),
    Mistake(
        "other-topic-http",
        "the same, by HTTP",
        r"{other_topic}",
        consumers=_consumer(topic="{other_topic}", way="http", url="{url}"),
    ),
    Mistake(
        "topic-misspelt-in-reporter",
        "topic= of the Reporter is misspelt",
        r"{topic}-x",
        consumers=_consumer(report_topic="{topic}-x", way="observe", told=False),
    ),
    Mistake(
        "topic-misspelt-in-clock",
        "the clock's topic does not exist",
        r"{topic}x",
        clock={"topics": ["{topic}x"]},
    ),
    Mistake(
        "one-topic-of-two",
        "the clock watches two topics, the consumers read one",
        r"{other_topic}:\d",
        SERVER_SIDE,
        clock={"topics": ["{topic}", "{other_topic}"]},
    ),
    Mistake(
        "no-topic-of-two",
        "two topics, and the Reporter learns none",
        r"several topics|one reporter for each topic",
        clock={"topics": ["{topic}", "{other_topic}"]},
        consumers=_consumer(way="observe", told=False),
    ),
    # -- groups -----------------------------------------------------------------------------------------------------
    Mistake(
        "other-group",
        "the consumer's group is not the clock's",
        r"wrong-group",
        consumers=_consumer(group="wrong-group", report_group="wrong-group"),
    ),
    Mistake(
        "other-group-http",
        "the same, by HTTP",
        r"wrong-group-http|foreign_group",
        consumers=_consumer(group="wrong-group-http", report_group="wrong-group-http", way="http", url="{url}"),
    ),
    Mistake(
        "copy-with-own-group",
        "a copy of the consumer has a group of its own, and the Reporter's group= is still the clock's",
        r"'my-own-copy'",
        consumers=_consumer(group="my-own-copy"),
    ),
    Mistake(
        "copy-beside-the-consumers",
        "such a copy runs beside the consumers of the clock's group",
        r"'my-second-copy'",
        frozenset({Place.LOG}),
        consumers=({}, {"group": "my-second-copy"}),
        ticks=True,
    ),
    Mistake("group-misspelt", "the clock's group is misspelt", r"of group '{group}'", clock={"group": "{group}x"}),
    Mistake(
        "second-group",
        "a second group reports to the clock, too",
        r"second-of-two",
        frozenset({Place.LOG}),
        consumers=({}, {"group": "second-of-two", "report_group": "second-of-two"}),
        ticks=True,
    ),
    # -- clocks and addresses -----------------------------------------------------------------------------------------
    _elsewhere("no-such-clock", "the Reporter names a clock that does not exist", clock="no-such-clockx"),
    _elsewhere("no-such-clock-http", "the same, by HTTP", clock="no-such-clockx", way="http", url="{url}"),
    Mistake(
        "other-clock",
        "the Reporter names another clock of the installation",
        r"are rejected|compare .*Reporter",
        consumers=_consumer(clock="{other_clock}"),
    ),
    _elsewhere("prefix", "the Reporter has another prefix", url="{redis}?prefix=someone-else"),
    _elsewhere("database", "the Reporter uses another database of Redis", url="{redis}/7?prefix={prefix}"),
    _elsewhere("redis-port", "no Redis at the Reporter's address", url="redis://127.0.0.1:{port}/0?prefix={prefix}"),
    _elsewhere("http-port", "no service at the Reporter's address", url="http://127.0.0.1:{port}"),
    _elsewhere("http-path", "a path too much in the service's address", url="{url}/api"),
    _elsewhere("http-to-redis", "the address of Redis with http://", url="{redis_as_http}"),
    # -- partitions ---------------------------------------------------------------------------------------------------
    Mistake("off-by-one", "partitions counted from 1", r"{topic}:3|{topic}:0", consumers=_consumer(shift=1)),
    Mistake("off-by-ten", "partitions counted from 10", r"{topic}:1[012]|{topic}:0", consumers=_consumer(shift=10)),
    Mistake(
        "negative",
        "partitions counted from -1",
        r"partition: -1|{topic}:[02]",
        raises=True,
        consumers=_consumer(shift=-1, way="observe", report_topic="{topic}", told=False),
    ),
    Mistake(
        "first-partition-only",
        "the consumer is assigned partition 0 only",
        r"{topic}:1",
        SERVER_SIDE,
        consumers=_consumer(partitions=(0,)),
    ),
    Mistake(
        "partition-forgotten",
        "the last partition was added later, and the assignment by hand does not have it",
        r"{topic}:2",
        SERVER_SIDE,
        consumers=_consumer(partitions=(0, 1)),
    ),
    Mistake(
        "stale-process",
        "an old process still has a partition, and does not report",
        r"{topic}:\d",
        SERVER_SIDE,
        consumers=({"partitions": (0, 1)}, {"partitions": (2,), "url": "redis://127.0.0.1:{port}/0"}),
    ),
    Mistake(
        "two-environments",
        "the consumers of staging report to the clock of production",
        r"staging",
        consumers=_consumer(topic="{other_topic}", group="staging", report_group="staging"),
    ),
    Mistake(
        "stops-reporting",
        "the consumer reads on, but its reporting thread ended",
        r"{topic}:\d",
        SERVER_SIDE,
        consumers=_consumer(stops_after_s=6.0, way="http", url="{url}"),
        ticks=True,
    ),
    # -- quiet partitions ---------------------------------------------------------------------------------------------
    Mistake(
        "no-heartbeats",
        "a quiet partition, and heartbeats are off",
        r"{topic}:2",
        SERVER_SIDE,
        clock={"heartbeat": None},
        produced=(0, 1),
        heartbeats=False,
    ),
    Mistake(
        "no-worker",
        "a quiet partition, heartbeats are on, no Celery worker runs",
        r"heartbeat",
        SERVER_SIDE,
        produced=(0, 1),
        heartbeats=False,
    ),
    Mistake(
        "heartbeats-passed-over",
        "the consumer passes over heartbeats before it reports",
        r"{topic}:2",
        SERVER_SIDE,
        produced=(0, 1),
        consumers=_consumer(heartbeats=False),
    ),
    Mistake(
        "create-time",
        "a clock with CreateTime records and timestamps of the future",
        _AHEAD,
        clock={"max_future": "1s"},
        consumers=_consumer(unit="an hour ahead"),
    ),
    # -- operators ----------------------------------------------------------------------------------------------------
    Mistake(
        "paused",
        "paused, and forgotten",
        r"paused by|\(paused\)",
        frozenset({Place.STATUS, Place.PAGE}),
        steps=("pause",),
    ),
    Mistake(
        "excluded",
        "a partition excluded, and forgotten",
        r"excluded by|\d excluded",
        frozenset({Place.STATUS, Place.PAGE}),
        steps=("exclude {topic}:2",),
        ticks=True,
    ),
)


@dataclass(frozen=True)
class InvalidConfiguration:
    """A mistake that stops the start: `clocksvc check` and `clocksvc serve` must both name it.

    Attributes:
        change: `section.field` and so on, and its new value.
        cause: a regular expression that must match in both.
    """

    name: str
    change: tuple[str, Any]
    cause: str


INVALID: tuple[InvalidConfiguration, ...] = (
    InvalidConfiguration(
        "heartbeat longer than the interval", ("clocks.right.heartbeat.every", "5m"), r"heartbeat\.every"
    ),
    InvalidConfiguration("unknown field", ("clocks.right.intervall", "60s"), r"intervall"),
    InvalidConfiguration("interval without unit", ("clocks.right.interval", "sixty"), r"interval.*sixty"),
    InvalidConfiguration("interval of half a second", ("clocks.right.interval", "500ms"), r"interval"),
    InvalidConfiguration("no group", ("clocks.right.group", ""), r"group"),
    InvalidConfiguration("no topics", ("clocks.right.topics", []), r"topics"),
    InvalidConfiguration("clock in capitals", ("clocks.Right", {"topics": ["x"], "group": "g"}), r"Right"),
    InvalidConfiguration("weaker acks", ("kafka.acks", 1), r"acks"),
    InvalidConfiguration("no Redis URL", ("redis.url", "localhost:6379"), r"redis\.url"),
    InvalidConfiguration("port as text", ("api.port", "http"), r"api\.port"),
    InvalidConfiguration("recent_ticks longer than keep", ("tick_log.keep", "1d"), r"recent_ticks|keep"),
    InvalidConfiguration("a source that does not exist", ("clocks.right.source", "offsets"), r"source"),
)
