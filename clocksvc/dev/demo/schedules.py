"""The demo's schedules: a product writes them over HTTP, and a consumer reads what is due."""

import threading
from typing import Any, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from clocksvc import Schedules
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.dev.demo.delivery_checks import Due, DueSequence
from clocksvc.dev.demo.demo_config import CLOCK, SCHEDULE_PARTITIONS, SCHEDULES, DemoConfig
from clocksvc.interfaces.schedule_topics import due_topic
from clocksvc.kafka.client import ClientLog, client_settings

_DUE_HEADERS = {"clocksvc-schedule", "clocksvc-id", "clocksvc-due", "clocksvc-tick"}
_POLL_S = 0.1
_BATCH = 100
_WRITTEN_WITHIN_S = 60.0
_JOIN_S = 2.0


class DemoSchedules:
    """Writes the schedules once the scheduler is ready, and reads the topic of due records, in two threads.

    Attributes:
        due: what was due, and whether each due time came once and in order.
        written: the number of schedules that were written.
    """

    def __init__(self, config: DemoConfig) -> None:
        self.due = DueSequence()
        self.written = 0
        self.failure: Exception | None = None
        self._config = config
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=f"demo-schedules-{name}", daemon=True)
            for name, run in (("write", self._write), ("read", self._read))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads. Waits for up to 2 s."""
        self._stop.set()
        self._threads[1].join(_JOIN_S)

    def _guarded(self, run: Any) -> None:
        try:
            run()
        except Exception as error:
            if not self._stop.is_set():
                self.failure = error

    def _write(self) -> None:
        with Schedules(self._config.url, CLOCK, timeout=_WRITTEN_WITHIN_S) as schedules:
            for name, schedule in SCHEDULES.items():
                schedules.put(name, schedule)
                self.written += 1

    def _read(self) -> None:
        settings = client_settings(
            {"bootstrap.servers": self._config.bootstrap, "isolation.level": "read_committed"},
            group_id="demo",
            enable_auto_commit=False,
        )
        consumer = Consumer(settings, logger=ClientLog())
        topic = due_topic(CLOCK)
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(SCHEDULE_PARTITIONS)])
        while not self._stop.is_set():
            for message in consumer.consume(_BATCH, _POLL_S):
                if message.error() is None:  # the topic does not exist before the scheduler has started
                    self._take(message)
        consumer.close()

    def _take(self, message: Message) -> None:
        headers = {
            name: value.decode(errors="replace")
            for name, value in cast("list[tuple[str, bytes]]", message.headers() or [])
        }
        # Records with a type are about missed runs, and the scheduler's position. Other programs can write here, too.
        if "clocksvc-type" not in headers and headers.keys() >= _DUE_HEADERS:
            due_ms, tick_ms = (parse_timestamp(name, headers[f"clocksvc-{name}"]) for name in ("due", "tick"))
            self.due.add(Due(headers["clocksvc-schedule"], headers["clocksvc-id"], due_ms, tick_ms))
