"""One clock of an installation with a topic of its own, and the consumers, producers and followers of a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.system.consumer import ConsumerThread
from tests.system.evidence import Note, TickWithOffset, by_time, read_controls, read_tick_log
from tests.system.installation import Installation, create_topic
from tests.system.producers import SteadyProducer
from tests.system.stream_follower import StreamFollower
from tests.waiting import eventually

T = TypeVar("T")

WITHIN_S = 30.0


class ClockFixture:
    """The clock `name` with a tick a second and a hold after two; `changes` are changes of these settings.

    A context manager: what a test added is closed at the end of the block. Usable once the clock is `in_`an
    installation; `running` does that.

    Attributes:
        shown: for each replica, by its URL, the global clocks that it showed, epoch seconds.
    """

    def __init__(
        self, run: str, name: str, partitions: int, timestamp_type: str = "LogAppendTime", **changes: Any
    ) -> None:
        self.name, self.partitions, self.timestamp_type = name, partitions, timestamp_type
        self.topic, self.group = f"{run}-{name}", f"{run}-{name}-group"
        self.shown: dict[str, list[int]] = {}
        self._changes = changes
        self._cleanup = ExitStack()
        self._installation: Installation | None = None

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The configuration of the clock."""
        named = {"topics": [self.topic], "group": self.group}
        fast = {"interval": "1s", "hold_after": "2s", "heartbeat": {"every": "1s"}}
        return {**named, **fast, **self._changes, **changes}

    def of(self, installation: Installation) -> Self:
        """Set the installation that runs the clock."""
        self._installation = installation
        return self

    @property
    def installation(self) -> Installation:
        """The installation that runs the clock."""
        assert self._installation is not None
        return self._installation

    @property
    def bootstrap(self) -> str:
        """The address of Kafka."""
        return self.installation.bootstrap

    # -- consumers, producers, followers --------------------------------------------------------------------------

    def consumer(
        self, *, url: str | None = None, group: str | None = None, offset_reset: str = "earliest"
    ) -> ConsumerThread:
        """A consumer that reports, to Redis and in the clock's group unless given otherwise."""
        url, group = url or self.installation.report_url, group or self.group
        consumer = ConsumerThread(self.bootstrap, self.topic, group, url, self.name, offset_reset)
        self._cleanup.callback(consumer.close)
        return consumer

    def producer(self, *partitions: int) -> SteadyProducer:
        """A producer that writes into these partitions all the time."""
        producer = SteadyProducer(self.bootstrap, self.topic, partitions)
        self._cleanup.callback(producer.close)
        return producer

    def write(self, timestamps_ms: dict[int, int]) -> None:
        """One record with this timestamp into each of these partitions. Returns when all are delivered."""
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        producer = Producer({"bootstrap.servers": self.bootstrap})
        for partition, timestamp_ms in timestamps_ms.items():
            producer.produce(self.topic, b"x", partition=partition, timestamp=timestamp_ms, on_delivery=delivered)
        assert producer.flush(WITHIN_S) == 0
        assert failures == []

    def grow(self, partitions: int) -> None:
        """Add partitions to the topic."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result(WITHIN_S)

    def follow(self, *urls: str, after: int | None = None, hang_up_every: int | None = None) -> StreamFollower:
        """A client of the clock's stream, once it has begun."""
        follower = StreamFollower(urls or [self.installation.url], self.name, after=after, hang_up_every=hang_up_every)
        self._cleanup.callback(follower.stop)
        eventually(follower.has_begun, within=WITHIN_S, what=f"the stream to begin: {follower.errors}")
        return follower

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self, replica: str | None = None) -> dict[str, Any]:
        """`GET /v1/clocks/{clock}`. The global clock in it is added to `shown`."""
        state = self.installation.state(self.name, replica)
        if state["timestamp_seconds"] is not None:
            url = self.installation.url if replica is None else self.installation.urls[replica]
            self.shown.setdefault(url, []).append(state["timestamp_seconds"])
        return state

    def went_back(self) -> list[str]:
        """The replicas that showed a global clock lower than one they had shown."""
        return [url for url, shown in self.shown.items() if shown != sorted(shown)]

    def time_s(self) -> int:
        """The global clock in epoch seconds; 0 before the first tick."""
        return self.state()["timestamp_seconds"] or 0

    def until(self, condition: Callable[[dict[str, Any]], T], what: str) -> dict[str, Any]:
        """The first state for which a condition holds."""

        def check() -> dict[str, Any] | None:
            self.installation.check_alive()
            state = self.state()
            last.append(state)
            return state if condition(state) else None

        last: list[dict[str, Any]] = []
        try:
            return eventually(check, within=WITHIN_S, what=what) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; the last states were {last[-2:]}") from error

    def until_reached(self, at_s: int) -> dict[str, Any]:
        """The first state with the global clock at or after a time, epoch seconds."""
        return self.until(lambda state: (state["timestamp_seconds"] or 0) >= at_s, f"{self.name} to reach {at_s}")

    def until_held(self, *reasons: str) -> dict[str, Any]:
        """The first state with a hold for one of these reasons."""
        wanted = f"the hold {' or '.join(reasons)}"
        return self.until(lambda state: state["hold"] and state["hold"]["reason"] in reasons, wanted)

    def until_running(self) -> dict[str, Any]:
        """The first state in which the clock has ticked and is not held."""
        return self.until(
            lambda state: state["timestamp_seconds"] and not state["hold"] and state["status"] == "running",
            f"{self.name} to run",
        )

    def until_led(self) -> str:
        """The replica that leads the clock, as soon as one does."""

        def leader() -> str | None:
            return self.installation.leader(self.state())

        return eventually(leader, within=WITHIN_S, what=f"a leader of {self.name}") or ""

    # -- evidence -------------------------------------------------------------------------------------------------

    def log(self) -> list[TickWithOffset]:
        """The ticks in the tick log."""
        return read_tick_log(self.bootstrap, self.installation.tick_log, self.name)

    def controls(self) -> list[dict[str, Any]]:
        """The control records with requests of operators in the tick log."""
        return read_controls(self.bootstrap, self.installation.tick_log, self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()


def notes_of(*consumers: ConsumerThread) -> list[Note]:
    """The notes of several consumers, in order of processing."""
    return by_time(note for consumer in consumers for note in consumer.notes)


@contextmanager
def running(
    folder: Path,
    bootstrap: str,
    redis_url: str,
    prefix: str,
    *clocks: ClockFixture,
    replicas: tuple[str, ...] = ("serve",),
    sections: dict[str, Any] | None = None,
) -> Iterator[Installation]:
    """An installation that runs these clocks, with their topics; its replicas are ready. No Celery, no consumers."""
    for clock in clocks:
        create_topic(bootstrap, clock.topic, clock.partitions, clock.timestamp_type)
    settings = {clock.name: clock.settings() for clock in clocks}
    with Installation(
        folder, bootstrap, redis_url, prefix, settings, replicas=replicas, sections=sections
    ) as installation:
        for clock in clocks:
            clock.of(installation)
        for name in replicas:
            installation.start_replica(name)
        yield installation
