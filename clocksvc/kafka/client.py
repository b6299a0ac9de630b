"""Functions for all Kafka clients: settings of librdkafka, log forwarding, ids, translation of errors, and deadlines.

librdkafka's log lines go to the logger `clocksvc.kafka`, never to stderr, and repeated ones are left out. Their level
is at most WARNING, because only the caller knows whether a lost connection or a fenced producer is an error. No
exception of confluent_kafka leaves this package.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException

from clocksvc.errors import Unavailable
from clocksvc.interfaces.tick_log import KeepAlive
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.runtime.repeated_lines import RepeatedLines, without_numbers

_logger = logging.getLogger("clocksvc.kafka")

_time = SystemTime()
_repeated_lines = RepeatedLines(_logger)
_CONNECTION = frozenset({"FAIL", "ERROR"})
"""The facilities of lines about connections, which do not depend on the client."""

_THREAD = re.compile(r"^\[thrd:[^\]]*\]: ")
_AUTHORIZATION_FAILED = "authorization failed"


class ClientLog:
    """Forwards the log lines of one client. Pass it as `logger` to a confluent_kafka client.

    Attributes:
        last: the newest line, to explain a failed request, because librdkafka reports a rejected certificate or
            password only in its log. Lines arrive only while the client is polled. Set `last` to "" before the request.
    """

    def __init__(self) -> None:
        self.last = ""

    def log(self, level: int, _format: str, facility: str, client: str, line: str) -> None:
        self.last = _THREAD.sub("", line)
        # Every client of the process reports a broker that can't be reached, many times a second.
        broker, _, rest = self.last.partition(": ")
        reporter = "" if facility in _CONNECTION else client
        state = (facility, reporter, broker, without_numbers(rest))
        extra = {"facility": facility, "client": client}
        level = min(level, logging.WARNING)
        _repeated_lines.log(_time.monotonic(), level, state, "kafka client: %s", self.last, extra=extra)


def client_settings(settings: Mapping[str, str], **fixed: Any) -> dict[str, Any]:
    """Return the librdkafka settings for one client.

    Args:
        settings: the user's settings: addresses, TLS, SASL and any other librdkafka setting.
        fixed: settings that override the user's. Their names have an underscore where librdkafka's names have a dot.
    """
    overrides = {name.replace("_", "."): value for name, value in fixed.items()}
    # After an outage, an idle client must not wait 10 s (librdkafka's default) before it connects again.
    defaults = {"log_level": 4, "reconnect.backoff.max.ms": 1_000}
    return {**defaults, **settings, **overrides, "allow.auto.create.topics": False, "error_cb": _log_error}


def writer_id(topic: str, partition: int) -> str:
    """Return the transactional id of the one writer of a partition: a log's leader, or the owner of schedules."""
    return f"clocksvc.{topic}.{partition}"


def dispatcher_id(topic: str, clock: str, dispatcher: str) -> str:
    """Return the id of a dispatcher. It is its transactional id and also the name of its consumer group.

    Names of topics and clocks can't contain a colon. Therefore ids of different topics, clocks, dispatchers and leaders
    always differ.
    """
    return f"clocksvc.{topic}:{clock}:{dispatcher}"


def outbox_id(topic: str) -> str:
    """Return the transactional id with which the relay of an outbox writes the topic of a clock's schedules."""
    return f"clocksvc.{topic}:outbox"


def explain_missing_acl(text: str, acls: Mapping[str, str]) -> str:
    """Return Kafka's error text. If the request was not authorized, append the missing permission.

    Args:
        text: Kafka's error text, such as `Broker: Topic authorization failed`.
        acls: the permissions that the request needs, such as `Write on topic x`. The keys are the first words of the
            resource types: `Topic`, `Transactional`, `Group`.
    """
    if _AUTHORIZATION_FAILED not in text.lower():
        return text
    matching = [acl for resource, acl in acls.items() if f"{resource} " in text]
    acl = next(iter(matching or acls.values()), "a permission that docs/security.md lists")
    return f"{text.rstrip('. ')}: the Kafka user lacks {acl}"


def _log_error(error: object) -> None:
    # Must not raise, because an unrelated poll would then raise the exception. The failed call reports the error, too.
    _logger.debug("kafka client error", extra={"detail": str(error)})


NO_ANSWER = {
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._DESTROY_BROKER,
    KafkaError._PARTIAL,
}
UNKNOWN_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_EXCEPTION}
NOT_AUTHORIZED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
_FENCED = {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED}

NO_ACLS: Mapping[str, str] = MappingProxyType({})


def error_of(raised: KafkaException) -> KafkaError:
    """Return the error inside an exception."""
    return cast(KafkaError, raised.args[0])


def error_code(future: "Future[Any]") -> int | None:
    """Return the error code with which a finished admin request failed; None if the request succeeded."""
    raised = future.exception(0)
    return error_of(raised).code() if isinstance(raised, KafkaException) else None


def is_fenced(raised: KafkaException) -> bool:
    """True if a newer producer with the same transactional id fenced this one."""
    return error_of(raised).code() in _FENCED


def describe_error(raised: KafkaException | None, acls: Mapping[str, str] = NO_ACLS) -> str:
    """Return the reason of a failure, for an error message.

    Args:
        raised: Kafka's exception. None means that no answer came before the deadline.
        acls: see `explain_missing_acl`.
    """
    return "no answer" if raised is None else explain_missing_acl(error_of(raised).str().strip(), acls)


@contextmanager
def translate_errors(unavailable: type[Unavailable], failure: str, acls: Mapping[str, str] = NO_ACLS) -> Iterator[None]:
    """Translate a KafkaException to the error class `unavailable`.

    The text of the error is `failure` and Kafka's reason, such as `FAILURE: Broker: Topic authorization failed`.
    """
    try:
        yield
    except KafkaException as raised:
        raise unavailable(f"{failure}: {describe_error(raised, acls)}") from raised


SLICE_S = 1.0
PAUSE_S = 0.05
"""The pause between two attempts of a request that fails immediately."""


class SlicedDeadline:
    """Splits a wait into slices of at most one second, and calls `keep_alive` between them.

    Iterate over this object. Each value is the number of seconds that the next call may block. The iteration ends at
    the deadline. An exception of `keep_alive` ends the wait: a leader renews its lease in `keep_alive`, or raises there
    to give up. Several loops may use the same object one after another: they then have a common deadline.
    """

    def __init__(self, time: Time, timeout_s: float, keep_alive: KeepAlive = lambda: None) -> None:
        self._time = time
        self._keep_alive = keep_alive
        now = time.monotonic()
        self._deadline = now + timeout_s
        self._next_keep_alive = now + SLICE_S

    def __iter__(self) -> Iterator[float]:
        while True:
            now = self._time.monotonic()
            if now >= self._next_keep_alive:
                self._keep_alive()
                self._next_keep_alive = self._time.monotonic() + SLICE_S
            elif now >= self._deadline:
                return
            else:
                yield min(self._next_keep_alive, self._deadline) - now
