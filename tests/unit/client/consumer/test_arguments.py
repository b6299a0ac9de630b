"""Arguments and librdkafka settings of a BufferedConsumer that are not valid."""

import re
import signal
import sys
from typing import Any

import pytest

from clocksvc.consumer import BufferedConsumer, RetryPolicy
from clocksvc.errors import InvalidValue
from clocksvc.kafka.consumer_group import KafkaConsumerGroup
from tests.unit.client.fake_sink import SteppedReporter

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"topics": ""}, "topics: '' is not valid: wanted the name of a topic"),
        ({"topics": []}, "topics"),
        ({"group": ""}, "group"),
        ({"process": None}, "process: None is not valid: wanted a function"),
        ({"batch_records": 0}, "batch_records: 0 is not valid: wanted an integer of at least 1"),
        ({"buffer_bytes": 1.5}, "buffer_bytes"),
        ({"batch_seconds": -1}, "batch_seconds: -1 is not valid: wanted a number of seconds, 0 or more"),
        ({"batch_seconds": float("nan")}, "batch_seconds"),
        ({"buffer_records": 10}, "buffer_records: 10 is not valid: wanted at least batch_records (1000)"),
        ({"concurrent_flushes": True}, "concurrent_flushes"),
        ({"retry": RetryPolicy(attempts=0)}, "retry.attempts: 0 is not valid: wanted at least 1, or None"),
        ({"retry": RetryPolicy(first_seconds=2, limit_seconds=1)}, "retry.first_seconds"),
        ({"processes": -1}, "processes"),
        (
            {"reporter": SteppedReporter().reporter},
            "reporter: \"Reporter(…, group='workers')\" is not valid: wanted a Reporter with group='g'",
        ),
    ],
)
def test_an_argument_is_checked(arguments: dict[str, Any], text: str) -> None:
    """The error names the argument and what is wanted."""
    given: dict[str, Any] = {"topics": "orders", "group": "g", "process": str, "flush": list} | arguments

    with pytest.raises(InvalidValue, match="^" + re.escape(text)):
        BufferedConsumer(given.pop("topics"), **given)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("enable.auto.commit", True, "the consumer commits an offset after its record is flushed"),
        ("enable.auto.offset.store", True, "the consumer commits an offset after its record is flushed"),
        ("group.id", "x", "use the argument group"),
        ("bootstrap.servers", "x", "use the argument bootstrap_servers"),
        ("on_commit", print, "the consumer needs the outcome of each commit"),
        ("auto.offset.reset", "latest", "records would be skipped"),
        ("no.such.setting", 1, "No such configuration property"),
    ],
)
def test_a_setting_that_breaks_a_promise_is_refused(name: str, value: Any, reason: str) -> None:
    """Others, such as those for TLS, are passed on."""
    with pytest.raises(InvalidValue, match=reason):
        KafkaConsumerGroup("localhost:1", "g", {name: value})


def test_a_signal_can_interrupt_the_handler_of_another_one() -> None:
    """SIGTERM and Ctrl-C at once: a lock in the handler would block the main thread for ever."""
    consumer = BufferedConsumer("orders", group="g", process=str, flush=list)
    depth = 0

    def interrupt(frame: Any, event: str, _: object) -> None:
        nonlocal depth
        if event == "call" and frame.f_code.co_filename.endswith("threading.py") and depth < 50:
            depth += 1
            signal.raise_signal(signal.SIGINT)

    def give_up(*_: object) -> None:
        raise TimeoutError("blocked in the handler")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        with consumer._signals():
            signal.setitimer(signal.ITIMER_REAL, 1.0)
            sys.setprofile(interrupt)
            signal.raise_signal(signal.SIGTERM)
            sys.setprofile(None)
    finally:
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_a_function_for_processes_must_be_importable() -> None:
    """A lambda can't be sent to another process."""
    consumer = BufferedConsumer("orders", group="g", process=lambda message: message, flush=list, processes=2)

    with pytest.raises(InvalidValue, match=r"process: .*wanted a function of a module"):
        consumer.run()
