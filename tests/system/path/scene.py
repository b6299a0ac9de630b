"""One clock of an installation with a topic of its own, and who comes and goes there: consumers, writers, followers.

Whoever is brought in leaves with the scene.
"""

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from tests.system.path.doors import Follower
from tests.system.path.installation import Installation
from tests.system.path.member import Member
from tests.system.path.notes import (
    TickWithOffset,
    read_tick_log,
)
from tests.system.path.writer import Writer
from tests.waiting import eventually

T = TypeVar("T")

PATIENCE_S = 30.0


class Scene:
    """A clock named `clock` on the topic `topic`, as `settings` configures it."""

    def __init__(self, run: str, clock: str, partitions: int, timestamp_type: str = "LogAppendTime") -> None:
        self.clock, self.partitions, self.timestamp_type = clock, partitions, timestamp_type
        self.topic, self.group, self.tick_log = f"{run}-{clock}", f"{run}-{clock}-group", f"{run}-{clock}-ticks"
        self._guests = ExitStack()
        self._installation: Installation | None = None

    def settings(self, **more: Any) -> dict[str, Any]:
        """The clock as configured: a tick a second, a hold after two."""
        named = {"topics": [self.topic], "group": self.group, "tick_log": self.tick_log}
        return {**named, "interval": "1s", "hold_after": "2s", "heartbeat": {"every": "1s"}, **more}

    def of(self, installation: Installation) -> Self:
        """The scene in a running installation."""
        self._installation = installation
        return self

    @property
    def installation(self) -> Installation:
        """Where the clock runs."""
        assert self._installation is not None
        return self._installation

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self.installation.bootstrap

    @property
    def redis_url(self) -> str:
        """What a Reporter takes that writes the store."""
        return f"{self.installation.redis_url}?prefix={self.installation.prefix}"

    # -- who comes and goes ---------------------------------------------------------------------------------------

    def member(self, *, url: str | None = None, group: str | None = None, offset_reset: str = "earliest") -> Member:
        """A consumer that reports; by Redis and in the clock's group, unless told otherwise."""
        group, url = group or self.group, url or self.redis_url
        member = Member(self.bootstrap, self.topic, group, url, self.clock, offset_reset)
        self._guests.callback(member.close)
        return member

    def writer(self, *partitions: int) -> Writer:
        """Somebody who writes into these partitions, again and again."""
        writer = Writer(self.bootstrap, self.topic, partitions)
        self._guests.callback(writer.close)
        return writer

    def write(self, timestamps_ms: dict[int, int]) -> None:
        """One record into each of these partitions, with these timestamps, delivered."""
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        producer = Producer({"bootstrap.servers": self.bootstrap})
        for partition, timestamp_ms in timestamps_ms.items():
            producer.produce(self.topic, b"x", partition=partition, timestamp=timestamp_ms, on_delivery=delivered)
        assert producer.flush(PATIENCE_S) == 0
        assert failures == []

    def grow(self, partitions: int) -> None:
        """Give the topic more partitions."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_partitions([NewPartitions(self.topic, partitions)])[self.topic].result(PATIENCE_S)

    def follow(self, *urls: str, after: int | None = None, hang_up_every: int | None = None) -> Follower:
        """A client of the clock's stream that has begun."""
        follower = Follower(urls or [self.installation.url], self.clock, after=after, hang_up_every=hang_up_every)
        self._guests.callback(follower.stop)
        eventually(follower.begun, within=PATIENCE_S, what=f"the stream to begin: {follower.trouble}")
        return follower

    # -- what is seen ---------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """`GET /v1/clocks/{clock}`."""
        return self.installation.state(self.clock)

    def time_s(self) -> int:
        """The global clock in epoch seconds; 0 before the first tick."""
        return self.state()["timestamp_seconds"] or 0

    def until(self, seen: Callable[[dict[str, Any]], T], what: str) -> dict[str, Any]:
        """The first state in which something is seen."""

        def looked() -> dict[str, Any] | None:
            self.installation.check_alive()
            state = self.state()
            last.append(state)
            return state if seen(state) else None

        last: list[dict[str, Any]] = []
        try:
            return eventually(looked, within=PATIENCE_S, what=what) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; the last states were {last[-2:]}") from error

    def until_reached(self, at_s: int) -> dict[str, Any]:
        """The first state seen in which the global clock is at or past a time, epoch seconds."""
        return self.until(lambda state: (state["timestamp_seconds"] or 0) >= at_s, f"{self.clock} to reach {at_s}")

    def until_held(self, *reasons: str) -> dict[str, Any]:
        """The first state seen in which one of these reasons holds the clock."""
        wanted = f"the hold {' or '.join(reasons)}"
        return self.until(lambda state: state["hold"] and state["hold"]["reason"] in reasons, wanted)

    def until_running(self) -> dict[str, Any]:
        """The first state seen in which the clock has ticked and nothing holds it."""
        return self.until(
            lambda state: state["timestamp_seconds"] and not state["hold"] and state["status"] == "running",
            f"{self.clock} to run",
        )

    def log(self) -> list[TickWithOffset]:
        """The tick log."""
        return read_tick_log(self.bootstrap, self.tick_log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._guests.close()
