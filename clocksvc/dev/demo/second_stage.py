"""The second stage of the demo: a consumer group that has no Reporter, and what its clock shows."""

import threading
from collections.abc import Iterator

from confluent_kafka import Consumer

from clocksvc.clock.holds import Status
from clocksvc.dev.demo import presentation
from clocksvc.dev.demo.delivery_checks import StoredRecords, TickSequence
from clocksvc.dev.demo.demo_config import INTERVAL_S, SECOND_CLOCK, DemoConfig
from clocksvc.dev.demo.demo_service import ServiceWatch
from clocksvc.kafka.client import ClientLog, client_settings

_POLL_S = 0.2
_MOST_AT_ONCE = 500
_JOIN_S = 3.0


class WarehouseConsumer:
    """A consumer group like any other, in a thread: it stores records, and then commits their offsets."""

    def __init__(self, config: DemoConfig, stored: StoredRecords) -> None:
        self.failure: Exception | None = None
        self._config, self._stored = config, stored
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-warehouse", daemon=True)

    def start(self) -> None:
        """Join the group and start reading."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the group. Waits for up to 3 s."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        settings = client_settings(
            {
                "bootstrap.servers": self._config.bootstrap,
                "group.id": self._config.second_group,
                "enable.auto.commit": "false",
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer = Consumer(settings, logger=ClientLog())
            consumer.subscribe([self._config.handled_topic])
            while not self._stop.is_set():
                messages = [one for one in consumer.consume(_MOST_AT_ONCE, _POLL_S) if one.error() is None]
                for message in messages:
                    self._stored.store(int(message.value() or b""))
                if messages:
                    consumer.commit(asynchronous=False)
            consumer.close()
        except Exception as error:
            self.failure = error


class SecondStage:
    """The second stage's consumer, and its clock.

    Attributes:
        stored: what the consumer has stored.
        sequence: the ticks of its clock.
        watch: reads the clock.
    """

    def __init__(self, config: DemoConfig, stored: StoredRecords) -> None:
        self.stored = stored
        self.sequence = TickSequence(INTERVAL_S * 1000)
        self.watch = ServiceWatch(config.url, SECOND_CLOCK)
        self._consumer = WarehouseConsumer(config, stored)
        self._shown_hold = False

    @property
    def failure(self) -> Exception | None:
        """Why a thread failed; None if none has."""
        return self._consumer.failure or self.watch.failure

    @property
    def problems(self) -> list[str]:
        """A sentence for each tick that was missing, repeated, out of order or early."""
        return self.sequence.problems + self.stored.problems

    def start(self) -> None:
        """Start the consumer, and reading its clock."""
        self._consumer.start()
        self.watch.start()

    def stop(self) -> None:
        """Stop both. Waits for up to 3 s."""
        self.watch.stop()
        self._consumer.stop()

    def events(self, now_ms: int) -> Iterator[presentation.EventLine]:
        """Check new ticks, and return what a viewer should see: the first tick, and each hold with its end."""
        ticks = self.watch.new_ticks()
        for tick in ticks:
            first = self.sequence.count == 0
            self.sequence.add(tick)
            self.stored.check(tick.at_ms)
            if first or (self._shown_hold and tick is ticks[-1]):
                self._shown_hold = False
                yield presentation.second_tick(now_ms, tick)
        state = self.watch.state
        if state is None or state.status is not Status.HOLDING or state.hold is None or state.last_tick is None:
            return
        # The state can be older than the last tick.
        if state.last_tick.at_ms == self.sequence.last_ms and not self._shown_hold:
            self._shown_hold = True
            yield presentation.second_hold(now_ms, str(state.hold.reason))

    def text(self) -> str:
        """Describe the clock, and how many records are stored."""
        state = self.watch.state
        status = "" if state is None else str(state.status)
        return presentation.second_stage(status, self.sequence.last_ms, self.stored.count)
